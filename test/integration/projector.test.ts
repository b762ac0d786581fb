// The projector on a real nats-server: found by any NATS tool, asked by a bare client, watched through a crash of the server.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { pino } from 'pino';
import { type Event, encodeCommit } from '../../events/envelope.ts';
import { subjects } from '../../events/names.ts';
import { QueryAnswer, type QueryInput } from '../../events/queries.ts';
import { applyCommit, createViews } from '../../projections/views.ts';
import { rebuildAt } from '../../services/client/rebuild.ts';
import { systemClock } from '../../services/lib/clock.ts';
import type { Stream } from '../../services/lib/stream.ts';
import { connectNats } from '../../services/nats/connection.ts';
import { jetStream } from '../../services/nats/jetstream.ts';
import type { Service } from '../../services/nats/micro.ts';
import { STREAMS } from '../../services/nats/stream-config.ts';
import { provision } from '../../services/nats/streams.ts';
import { createProjector, type Projector } from '../../services/projector/projector.ts';
import { serveQueries } from '../../services/projector/serve.ts';
import { serveRebuild } from '../../services/projector/serve-rebuild.ts';
import { type WatchItem, watch } from '../../services/projector/watch.ts';
import { startNats, type TestNats, waitFor } from '../support/nats.ts';
import { RandomHistory } from '../support/random-history.ts';

const logger = pino({ level: 'silent' });
const history = new RandomHistory();
for (let n = 1; history.commits.length < 300; n++) {
  // the golden ratio, its square and two of its kin: spread evenly and never the same twice
  history.roll([(n * 0.618034) % 1, (n * 0.381966) % 1, (n * 0.754878) % 1, (n * 0.56984) % 1]);
}
const { commits } = history;
const FIRST = 200;

let nats: TestNats;
let connection: NatsConnection;
let client: NatsConnection;
let log: Stream;
let projector: Projector;
let service: Service;

const append = async (from: number, to: number): Promise<void> => {
  for (const { subject, position, events } of commits.slice(from, to)) {
    for (;;) {
      const appended = await log.append({ subject, body: encodeCommit(events), id: `c${position}` });
      if (appended.kind === 'appended') break;
    }
  }
};

before(async () => {
  nats = await startNats();
  connection = await connectNats({ url: nats.url, role: 'projector', log: logger });
  client = await nats.connect();
  const provisioned = await provision(connection, { sync: { kind: 'stated' } });
  assert.ok(provisioned.ok);
  log = jetStream(connection, STREAMS.log);
  await append(0, FIRST);
  projector = createProjector({ log, clock: systemClock, logger });
  service = serveQueries(connection, projector, logger, { version: '0.1.0', realm: 'test' });
  await connection.flush();
});
after(async () => {
  await service.stop();
  await projector.stop();
  await connection.close();
  await nats.stop();
});

const request = (name: string, query: QueryInput | string = {}): Promise<Msg> =>
  client.request(subjects.query(name), typeof query === 'string' ? query : JSON.stringify(query), { timeout: 10_000 });

const ask = async (name: string, query: QueryInput = {}): Promise<QueryAnswer> => {
  const message = await request(name, query);
  assert.equal(message.headers?.get('Nats-Service-Error') ?? '', '');
  return QueryAnswer.parse(message.json());
};

const rowsAt = (position: number) => {
  const views = createViews();
  for (const commit of commits.slice(0, position)) {
    applyCommit(views, commit.subject, commit.position, commit.events);
  }
  return views.rows;
};

const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

test('projector: found by the NATS services protocol', async () => {
  const ping = (await client.request('$SRV.PING.cnm-projector')).json<Record<string, unknown>>();
  assert.partialDeepStrictEqual(ping, { name: 'cnm-projector', version: '0.1.0', metadata: { realm: 'test' } });
  const info = (await client.request('$SRV.INFO.cnm-projector')).json<{ endpoints: readonly object[] }>();
  assert.partialDeepStrictEqual(info.endpoints, [{ name: 'query', subject: 'cnm.query.*' }]);
});

test('projector: an empty body asks for everything', async () => {
  const answer = QueryAnswer.parse((await request('endpoints', '')).json());
  assert.deepEqual(answer, { position: FIRST, rows: plain([...rowsAt(FIRST).endpoints.values()]) });
});

test('projector: what is wrong with a query comes back as code, number and detail', async () => {
  const cases: readonly (readonly [string, string, string, string])[] = [
    ['nonsense', '', 'QUERY_VIEW_UNKNOWN', '404'],
    ['networks', '{"limit":"many"}', 'QUERY_MALFORMED', '400'],
    ['networks', '{"asOf":123456}', 'QUERY_POSITION_UNKNOWN', '400'],
    ['networks', '{"atLeast":123456,"timeoutMs":10}', 'QUERY_NOT_YET', '425'],
  ];
  for (const [name, query, code, number] of cases) {
    const message = await request(name, query);
    assert.equal(message.headers?.get('Nats-Service-Error-Code'), number);
    assert.ok(message.headers?.get('Nats-Service-Error').startsWith(`${code}: `));
    assert.equal(message.json<{ code: string }>().code, code);
  }
});

test('projector: reads its writer’s writes, and the past beside', async () => {
  const waiting = ask('networks', { atLeast: FIRST + 20 });
  await append(FIRST, FIRST + 20);
  const { position, rows } = await waiting;
  assert.equal(position, FIRST + 20);
  assert.deepEqual(rows, plain([...rowsAt(FIRST + 20).networks.values()]));
  for (const asOf of [0, 1, 60, FIRST, 150]) {
    const past = await ask('commands', { asOf });
    assert.deepEqual(past, { position: asOf, rows: plain([...rowsAt(asOf).commands.values()]) });
  }
  const stored = await log.get(60);
  assert.ok(stored);
  const then = await ask('commands', { asOf: new Date(stored.recordedMs).toISOString() });
  assert.ok(then.position >= 60 && then.position <= FIRST);
  assert.deepEqual(then.rows, plain([...rowsAt(then.position).commands.values()]));
});

test('projector: a rebuilt set of views is the live one', async () => {
  const report = await projector.rebuild();
  assert.equal(report.equal, true);
  assert.equal(report.position, FIRST + 20);
});

test('projector: one of them is asked to rebuild its views, says how far it is, and puts them in place', async () => {
  const rebuilding = serveRebuild(connection, service.id, { projector, clock: systemClock, logger });
  await connection.flush();
  const told: [number, number][] = [];
  const request = { view: 'endpoints', swap: true } as const;
  const rebuilt = await rebuildAt(client, systemClock, service.id, request, (projectorId, position, of) => {
    assert.equal(projectorId, service.id);
    told.push([position, of]);
  });
  assert.ok(rebuilt.kind === 'report');
  assert.deepEqual(
    [rebuilt.view, rebuilt.equal, rebuilt.swapped, rebuilt.position],
    ['endpoints', true, true, FIRST + 20],
  );
  assert.ok(told.length >= 1);
  assert.deepEqual((await ask('endpoints')).rows, plain([...rowsAt(FIRST + 20).endpoints.values()]));
  const back = await rebuildAt(client, systemClock, service.id, { rollback: true }, () => {});
  assert.deepEqual(back, { kind: 'rollback', projector: service.id, views: ['endpoints'], position: FIRST + 20 });
  const refused = await rebuildAt(client, systemClock, service.id, { view: 'rooms' as never }, () => {});
  assert.ok(refused.kind === 'refused' && refused.code === 'QUERY_MALFORMED');
  await assert.rejects(
    rebuildAt(client, systemClock, 'nobody', {}, () => {}),
    /projector nobody does not answer/,
  );
  await rebuilding.stop();
});

test('projector: recorded events over the wire', async () => {
  const { rows } = await ask('events', { filter: { type: 'NetworkCreateRequested' } });
  const expected = commits
    .slice(0, FIRST + 20)
    .flatMap(({ position, events }) =>
      events.flatMap(({ type, meta }: Event, index) =>
        type === 'NetworkCreateRequested' ? [{ position: `${position}.${index}`, id: meta.id }] : [],
      ),
    );
  assert.deepEqual(
    rows.map(({ position, id }) => ({ position, id })),
    expected,
  );
});

test('projector: a watch misses nothing and repeats nothing through a crash of the server', async () => {
  const items = watch({ query: ask, log }, { view: 'networks', bufferMax: 16 });
  const seen: WatchItem[] = [];
  const watching = (async () => {
    for await (const item of items) seen.push(item);
  })();
  await waitFor(() => seen.length === 1, { what: 'the snapshot' });
  const [snapshot] = seen;
  assert.ok(snapshot?.kind === 'snapshot');
  assert.equal(snapshot.position, FIRST + 20);
  await append(FIRST + 20, FIRST + 50);
  await nats.restart();
  await append(FIRST + 50, commits.length);
  const expected = commits
    .slice(FIRST + 20)
    .flatMap(({ position, events }) => events.map((_, index) => `${position}.${index}`));
  await waitFor(() => seen.length > expected.length, { what: 'all events', timeoutMs: 30_000 });
  assert.deepEqual(
    seen.slice(1).map(({ position }) => position),
    expected,
  );
  await items.return?.();
  await watching;
  // A question is lost when nobody was connected to take it: whoever asks asks again.
  const settled = async () => (await ask('status', { atLeast: commits.length }).catch(() => null))?.rows.length === 1;
  await waitFor(settled, { what: 'the projector to answer again', timeoutMs: 30_000 });
  assert.deepEqual(
    (await ask('endpoints', { atLeast: commits.length })).rows,
    plain([...rowsAt(commits.length).endpoints.values()]),
  );
});
