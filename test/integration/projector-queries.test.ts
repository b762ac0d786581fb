// The projector over a stream in memory: queries about now and then, pages, recorded events, watching, and a log that cannot be read.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import { type Event, encodeCommit } from '../../events/envelope.ts';
import type { QueryAnswer } from '../../events/queries.ts';
import { applyCommit, createViews, type Views } from '../../projections/views.ts';
import { systemClock } from '../../services/lib/clock.ts';
import type { Stream } from '../../services/lib/stream.ts';
import { createProjector, type Projector, type ProjectorOptions } from '../../services/projector/projector.ts';
import { QueryFault } from '../../services/projector/query-fault.ts';
import { allRows } from '../../services/projector/rows.ts';
import { type WatchItem, type WatchOptions, watch } from '../../services/projector/watch.ts';
import { type MemoryStream, memoryStream } from '../support/memory-stream.ts';
import type { RandomCommit } from '../support/random-history.ts';
import { someHistory } from '../support/some-history.ts';
import { take } from '../support/watched-log.ts';

const logger = pino({ level: 'silent' });

const append = async (log: Stream, commits: readonly RandomCommit[]): Promise<void> => {
  for (const { subject, position, events } of commits) {
    const appended = await log.append({ subject, body: encodeCommit(events), id: `c${position}` });
    assert.deepEqual(appended, { kind: 'appended', position });
  }
};

const foldTo = (commits: readonly RandomCommit[], until: number): Views => {
  const views = createViews();
  for (const { subject, position, events } of commits) {
    if (position <= until) applyCommit(views, subject, position, events);
  }
  return views;
};

const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

interface Running {
  readonly log: MemoryStream;
  readonly projector: Projector;
  readonly commits: readonly RandomCommit[];
}

const run = async (commits: readonly RandomCommit[], options: ProjectorOptions = {}): Promise<Running> => {
  const log = memoryStream('CNM_LOG');
  await append(log, commits);
  const projector = createProjector({ log, clock: systemClock, logger }, options);
  await projector.caughtUp;
  return { log, projector, commits };
};

const refusedWith = (code: string, detail?: RegExp) => (error: unknown) => {
  assert.ok(error instanceof QueryFault, String(error));
  assert.equal(error.code, code);
  if (detail) assert.match(error.message, detail);
  return true;
};

const history = someHistory(400);

test('a query asked while the log is still being read waits until it is caught up with', async () => {
  const log = memoryStream('CNM_LOG');
  await append(log, history);
  const projector = createProjector({ log, clock: systemClock, logger });
  const { position, rows } = await projector.query('endpoints');
  assert.equal(position, history.length);
  assert.deepEqual(rows, plain([...foldTo(history, history.length).rows.endpoints.values()]));
  await projector.stop();
  await projector.closed;
});

test('every view as of every position is what folding up to there gives, whatever was asked before', async () => {
  const { projector } = await run(history);
  const positions = [17, history.length, 3, 0, 200, 199, 201, 3, 350, 120];
  const answers = await Promise.all(
    positions.map(async (asOf) => {
      const views = ['networks', 'endpoints', 'sandboxes', 'commands', 'garbage'] as const;
      const expected = foldTo(history, asOf);
      for (const view of views) {
        const { position, rows } = await projector.query(view, { asOf });
        assert.equal(position, asOf);
        assert.deepEqual(rows, plain([...expected.rows[view].values()]), `${view} as of ${asOf}`);
      }
      return asOf;
    }),
  );
  assert.deepEqual(answers, positions);
  await projector.stop();
});

test('as of a time is as of the last commit recorded then', async () => {
  const { projector, log } = await run(history);
  const recordedMs = log.stored()[99]?.recordedMs ?? 0;
  const { position } = await projector.query('networks', { asOf: new Date(recordedMs).toISOString() });
  assert.equal(position, 100);
  const before = await projector.query('networks', { asOf: '1969-12-31T00:00:00.000Z' });
  assert.deepEqual(before, { position: 0, rows: [] });
  await projector.stop();
});

test('atLeast waits for the position, or says how far the views are', async () => {
  const { projector, log } = await run(history.slice(0, 100));
  const waiting = projector.query('networks', { atLeast: 120 });
  await append(log, history.slice(100, 150));
  assert.ok((await waiting).position >= 120);
  await assert.rejects(
    projector.query('networks', { atLeast: 999, timeoutMs: 20 }),
    refusedWith('QUERY_NOT_YET', /150/),
  );
  await projector.stop();
});

test('wrong queries are refused with a code and what is wrong', async () => {
  const { projector } = await run(history);
  const cases: readonly (readonly [string, string, string, RegExp])[] = [
    ['nonsense', '{}', 'QUERY_VIEW_UNKNOWN', /networks/],
    ['networks', '{', 'QUERY_MALFORMED', /JSON/],
    ['networks', '{"limit":0}', 'QUERY_MALFORMED', /limit/],
    ['networks', '{"nonsense":1}', 'QUERY_MALFORMED', /nonsense/],
    ['networks', '{"filter":{"color":"red"}}', 'QUERY_MALFORMED', /color/],
    ['networks', '{"asOf":99999}', 'QUERY_POSITION_UNKNOWN', /99999/],
    ['networks', '{"asOf":"yesterday"}', 'QUERY_MALFORMED', /asOf/],
    ['networks', '{"after":"nosuchrow"}', 'QUERY_POSITION_UNKNOWN', /asOf/],
    ['events', '{"after":"x"}', 'QUERY_MALFORMED', /position/],
    ['events', '{"filter":{"type":"EndpointExploded"}}', 'QUERY_MALFORMED', /EndpointExploded/],
    ['events', '{"filter":{"since":"long ago"}}', 'QUERY_MALFORMED', /long ago/],
    ['events', '{"filter":{"colour":"red"}}', 'QUERY_MALFORMED', /colour/],
    ['events', '{"filter":{"host":["h1","h2"]}}', 'QUERY_MALFORMED', /one value of host/],
    ['incarnations', '{"filter":{"network":["a"]}}', 'QUERY_MALFORMED', /one value of network/],
    ['networks', '{"filter":{"label":[]}}', 'QUERY_MALFORMED', /label/],
    ['ports', '{"filter":{"mac":"02:00:00:00:00:01"}}', 'QUERY_MALFORMED', /mac/],
  ];
  for (const [name, body, code, detail] of cases) {
    await assert.rejects(projector.answer(name, body), refusedWith(code, detail), `${name} ${body}`);
  }
  await projector.stop();
});

test('an answer that does not fit comes in pages, all as of one position while the log goes on', async () => {
  const { projector, log } = await run(history.slice(0, 300), { answerBytesMax: 4_000 });
  const first = await projector.query('commands');
  assert.ok(first.next !== undefined && first.rows.length > 0);
  assert.ok(JSON.stringify(first).length < 4_300);
  await append(log, history.slice(300));
  const all = await allRows((name, query) => projector.query(name, query), 'commands', { asOf: first.position });
  assert.equal(all.position, 300);
  assert.deepEqual(all.rows, plain([...foldTo(history, 300).rows.commands.values()]));
  const few = await projector.query('commands', { limit: 3, filter: { host: 'h1' } });
  assert.equal(few.rows.length, 3);
  await projector.stop();
});

test('a rebuilt set of views is the live one, byte for byte', async () => {
  const { projector } = await run(history);
  const report = await projector.rebuild();
  assert.deepEqual(
    { ...report, view: 'all', durationMs: 0, digest: null },
    {
      ...{
        view: 'all',
        position: history.length,
        equal: true,
        differences: [],
        swapped: false,
        durationMs: 0,
        digest: null,
      },
    },
  );
  assert.equal(report.digest.live, report.digest.rebuilt);
  await projector.stop();
});

const allEvents = async (projector: Projector, filter: Record<string, string>, limit = 10_000) => {
  const rows: QueryAnswer['rows'][number][] = [];
  let after: string | undefined;
  let requests = 0;
  do {
    const answer = await projector.query('events', { filter, limit, ...(after === undefined ? {} : { after }) });
    rows.push(...answer.rows);
    after = answer.next;
    assert.ok(++requests < 2_000);
  } while (after !== undefined);
  return rows;
};

const flat = (commits: readonly RandomCommit[]): readonly { readonly position: string; readonly event: Event }[] =>
  commits.flatMap(({ position, events }) =>
    events.map((event, index) => ({ position: `${position}.${index}`, event })),
  );

test('events: all of them as CloudEvents with their positions, the same in pages of any size', async () => {
  const { projector } = await run(history);
  const all = await allEvents(projector, {});
  assert.deepEqual(
    all.map(({ position, id, data, type }) => ({ position, id, data, type })),
    [
      ...flat(history).map(({ position, event }) => ({
        ...{ position, id: event.meta.id, data: plain(event.data), type: `cnm.${event.type}.v${event.version}` },
      })),
    ],
  );
  assert.equal(all[0]?.specversion, '1.0');
  assert.match(String(all[0]?.recordedtime), /^1970-/);
  assert.deepEqual(await allEvents(projector, {}, 7), all);
  await projector.stop();
});

test('events: filtered by type, host, network, endpoint, sandbox, address, command, since when and until when', async () => {
  const { projector } = await run(history);
  const joins = await allEvents(projector, { type: 'EndpointJoined,EndpointLeft', host: 'h1' }, 2);
  assert.ok(joins.length > 0);
  assert.ok(joins.every(({ type, host }) => host === 'h1' && /Joined|Left/.test(String(type))));

  const created = flat(history).find(
    ({ event: { type, data } }) =>
      type === 'EndpointCreateRequested' && data.endpoint.networkId !== 'networkgone00' && data.endpoint.ipv4 !== null,
  );
  assert.ok(created?.event.type === 'EndpointCreateRequested');
  const { networkId, id, ipv4 } = created.event.data.endpoint;
  const inNetwork = await allEvents(projector, { network: networkId }, 5);
  assert.ok(inNetwork.length > 1);
  const { rows: incarnations } = await projector.query('incarnations', { filter: { network: networkId } });
  assert.partialDeepStrictEqual(incarnations, [{ id: networkId }]);
  const byName = await allEvents(projector, { network: `${incarnations[0]?.host}/${incarnations[0]?.name}` }, 5);
  for (const row of inNetwork) assert.ok(byName.some(({ position }) => position === row.position));

  const ofEndpoint = await allEvents(projector, { endpoint: id }, 2);
  assert.equal(ofEndpoint[0]?.position, created.position);
  const ofAddress = await allEvents(projector, { address: String(ipv4).split('/')[0] ?? '' }, 1);
  assert.deepEqual(ofAddress, ofEndpoint);

  const { commandid, correlationid } = created.event.meta;
  assert.ok((await allEvents(projector, { commandid })).length > 0);
  assert.deepEqual(await allEvents(projector, { correlationid }), await allEvents(projector, { commandid }));
  assert.equal((await allEvents(projector, { sandbox: 'nosuch' })).length, 0);

  const since = await allEvents(projector, { since: '100' });
  assert.equal(since[0]?.position, '100.0');
  const sinceTime = await allEvents(projector, { since: new Date(100).toISOString() });
  assert.deepEqual(sinceTime, since);
  const { rows, position } = await projector.query('events', { asOf: 5 });
  assert.equal(position, 5);
  assert.deepEqual(
    rows.map((row) => row.position),
    flat(history.slice(0, 5)).map((one) => one.position),
  );
  await projector.stop();
});

test('status says where the views are and what is in them', async () => {
  const { projector } = await run(history);
  const { rows } = await projector.query('status');
  const views = foldTo(history, history.length);
  assert.partialDeepStrictEqual(rows[0], {
    ...{ state: 'live', reason: null, position: history.length, head: history.length, lag: 0, realm: 'test' },
    ...{ views: { networks: views.rows.networks.size, commands: views.rows.commands.size } },
  });
  await projector.stop();
});

test('a commit that this version cannot read stops the views, and every query says so', async () => {
  const { projector, log } = await run(history.slice(0, 50));
  const waiting = projector.query('networks', { atLeast: 51 });
  const body = JSON.stringify([{ type: 'cnm.EndpointTeleported.v1', id: 'x', data: {} }]);
  const refused = assert.rejects(waiting, refusedWith('LOG_UNREADABLE', /EndpointTeleported/));
  const stopped = assert.rejects(projector.closed, /upgrade before reading on/);
  await log.append({ subject: 'cnm.event.host.h1', body, id: 'future' });
  await Promise.all([refused, stopped]);
  await assert.rejects(projector.query('networks'), refusedWith('LOG_UNREADABLE', /EndpointTeleported/));
  await assert.rejects(projector.query('events'), refusedWith('LOG_UNREADABLE'));
  const { rows } = await projector.query('status');
  assert.partialDeepStrictEqual(rows[0], { state: 'stopped', position: 50, head: 51, lag: 1 });
  assert.match(String(rows[0]?.reason), /EndpointTeleported/);
});

const watching = ({ projector, log }: Running, options: WatchOptions = {}): AsyncIterableIterator<WatchItem> =>
  watch({ query: (name, query) => projector.query(name, query), log }, options);

const positionsOf = (items: readonly WatchItem[]): readonly (string | number)[] =>
  items.map(({ position }) => position);

test('watch: the rows as of a position, then every event behind it, once, however slow the caller', async () => {
  const running = await run(history.slice(0, 150));
  const items = watching(running, { view: 'endpoints', bufferMax: 5 });
  const [snapshot] = await take(items, 1);
  assert.ok(snapshot?.kind === 'snapshot');
  assert.equal(snapshot.position, 150);
  assert.deepEqual(snapshot.rows, plain([...foldTo(history, 150).rows.endpoints.values()]));
  await append(running.log, history.slice(150));
  const expected = flat(history.slice(150)).map(({ position }) => position);
  assert.deepEqual(positionsOf(await take(items, expected.length)), expected);
  const waiting = items.next();
  await items.return?.();
  assert.equal((await waiting).done, true);
  await running.projector.stop();
});

test('watch: goes on from any event, and from a snapshot, without gap or duplicate', async () => {
  const running = await run(history);
  const all = flat(history).map(({ position }) => position);
  for (const index of [0, 1, 33, 150, all.length - 2]) {
    const items = watching(running, { from: all[index] ?? '' });
    assert.deepEqual(positionsOf(await take(items, all.length - index - 1)), all.slice(index + 1));
    await items.return?.();
  }
  const items = watching(running, { from: 100 });
  assert.equal(positionsOf(await take(items, 1))[0], '101.0');
  await items.return?.();
  await running.projector.stop();
});

test('watch: filtered by host, type and network, networks that come later included', async () => {
  const running = await run(history.slice(0, 60));
  const wanted = (network: string, from: number): readonly string[] => {
    const ids = new Set<string>();
    return flat(history).flatMap(({ position, event }) => {
      if (event.type === 'NetworkCreateRequested' && event.data.network.name === network)
        ids.add(event.data.network.id);
      const id = event.type === 'NetworkCreateRequested' ? event.data.network.id : '';
      const { networkId = id, endpoint } = event.data as { networkId?: string; endpoint?: { networkId: string } };
      const culprits = event.type === 'CommandRefused' ? event.data.culprits.map((culprit) => culprit.id) : [];
      const about = [endpoint?.networkId ?? networkId, ...culprits];
      return Number.parseInt(position, 10) > from && about.some((one) => ids.has(one)) ? [position] : [];
    });
  };
  const items = watching(running, { view: 'networks', network: 'net1' });
  const [snapshot] = await take(items, 1);
  assert.ok(snapshot?.kind === 'snapshot' && snapshot.rows.every((row) => row.name === 'net1'));
  await append(running.log, history.slice(60));
  const expected = wanted('net1', 60);
  assert.ok(expected.length > 10);
  assert.deepEqual(positionsOf(await take(items, expected.length)), expected);
  await items.return?.();

  await running.projector.query('networks', { atLeast: history.length });
  const resumed = watching(running, { network: 'net1', from: '60' });
  assert.deepEqual(positionsOf(await take(resumed, expected.length)), expected);
  await resumed.return?.();

  const typed = watching(running, { from: 0, host: 'h2', types: ['HostFacts', 'EndpointJoined'] });
  const found = await take(typed, 3);
  for (const item of found) assert.ok(item.kind === 'event' && item.host === 'h2');
  await typed.return?.();
  await running.projector.stop();
});

test('watch: what ends the reading reaches the caller, behind what came before it', async () => {
  const running = await run(history.slice(0, 20));
  const items = watching(running, { from: 18 });
  await running.log.append({
    subject: 'cnm.event.host.h1',
    body: '[{"type":"cnm.EndpointTeleported.v1"}]',
    id: 'newer',
  });
  const expected = flat(history.slice(18, 20)).map(({ position }) => position);
  assert.deepEqual(positionsOf(await take(items, expected.length)), expected);
  await assert.rejects(items.next(), /EndpointTeleported/);
  await assert.rejects(running.projector.closed);
});
