// Real poison on a real server: what it is about stands still, everything else goes on, and once it is decided about all of it does.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { pino } from 'pino';
import { drivers } from '../../drivers/registry.ts';
import { DEFAULT_IPV4_POOLS } from '../../events/ipam.ts';
import { commandId, subjects } from '../../events/names.ts';
import type { Answer } from '../../events/queries.ts';
import { compareViews } from '../../projections/compare.ts';
import { createViews } from '../../projections/views.ts';
import { createCollector } from '../../services/collector/collector.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { foldMessage } from '../../services/projector/fold.ts';
import { createProjector, type Projector } from '../../services/projector/projector.ts';
import { QueryFault } from '../../services/projector/query-fault.ts';
import { tryParked } from '../../services/projector/try-parked.ts';
import { type KeptWorker, keepWorker } from '../../services/worker/parked.ts';
import { createWorker } from '../../services/worker/worker.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { waitFor } from '../support/nats.ts';
import { fakePlugins } from '../support/plugins/fake.ts';
import { hostServers, type NatsStreams, natsStreams, realm, System } from '../support/system.ts';

const errors: { readonly msg: string; readonly event?: string; readonly position?: string }[] = [];
const logger = pino({ level: 'error' }, { write: (line: string) => void errors.push(JSON.parse(line)) });

let streams: NatsStreams;
let system: System;
let projector: Projector;
let workers: readonly KeptWorker[] = [];
let collector: ReturnType<typeof createCollector>;
let serial = 0;

const startWorker = (host: string): Promise<KeptWorker> => {
  const { log, commands } = streams;
  const kernel = memoryKernel(new MemoryMachine(), { realm, host });
  const place = {
    realm,
    host,
    runDir: `/run/${host}`,
    pools: DEFAULT_IPV4_POOLS,
    netnsRoots: ['/run'],
    ula: 'fd00:1:2::/48',
  };
  const more = { drivers, plugins: fakePlugins([]), hostServers, clock: systemClock, logger, secret: null };
  return keepWorker({ create: () => createWorker({ ...place, ...more, log, commands, kernel }), log, logger });
};

before(async () => {
  streams = await natsStreams();
  const { log, commands } = streams;
  workers = [await startWorker('h1'), await startWorker('h2')];
  const kernel = memoryKernel(new MemoryMachine(), { realm, host: 'none' });
  system = new System({ ...streams, kernel, runDir: '/run/none' });
  await system.startController();
  projector = createProjector({ log, clock: systemClock, logger });
  await projector.caughtUp;
  collector = createCollector({ realm, log, commands, clock: systemClock, logger });
  await collector.start();
});

after(async () => {
  for (const worker of workers) await worker.stop();
  await collector.stop();
  await system.stop();
  await projector.stop();
  await streams.stop();
});

/** What a client without our code does: whatever bytes, wherever. */
const append = async (subject: string, body: string): Promise<number> => {
  const appended = await streams.log.append({ subject, body, id: `poison-${serial++}` });
  return appended.kind === 'appended' ? appended.position : assert.fail(appended.kind);
};

/** Sends a command for a host and waits for what became of it. */
const ask = async (host: string, type: string, data: object): Promise<Answer> => {
  const id = commandId(systemClock.nowMs(), `p${serial++}`);
  await streams.commands.append({
    subject: subjects.command('tester', host),
    body: JSON.stringify({ id, type, data }),
    id,
  });
  let answer: Answer | undefined;
  await waitFor(
    async () => {
      const { rows } = await projector.query('commands', { filter: { commandid: id } });
      const row = rows[0] as
        | { status: string; refusal: { code: string; culprits: unknown }; position: number }
        | undefined;
      if (!row || row.status === 'accepted') return false;
      answer = { ...row, ...row.refusal, kind: row.status === 'refused' ? 'refused' : 'outcome' } as never;
      return true;
    },
    { what: `${type} on ${host}` },
  );
  return answer as Answer;
};

const isDone = async (host: string, name: string): Promise<void> => {
  const answer = (await ask(host, 'CreateNetwork', { name, driver: 'bridge' })) as Answer & { status?: string };
  assert.equal(answer.status, 'succeeded', JSON.stringify(answer));
};

const parkedRows = async () => (await projector.query('parked')).rows;

/** Live, rebuilt and folded by hand are the same. */
const assertViews = async (): Promise<void> => {
  const report = await projector.rebuild({ view: 'all' });
  assert.deepEqual([report.equal, report.differences], [true, []]);
};

const event = (data: unknown, more: object = {}): string =>
  JSON.stringify([
    {
      ...{ specversion: '1.0', id: `x${serial}.0`, type: 'cnm.EndpointJoined.v3', source: `/cnm/${realm}/worker/h1` },
      ...{
        subject: 'endpoint/lost',
        time: new Date().toISOString(),
        actor: '',
        commandid: '',
        correlationid: '',
        causationid: '',
      },
      ...more,
      data,
    },
  ]);

test('parked: what does not claim to be ours counts for nothing where hosts report, as ever: nothing is parked', async () => {
  await isDone('h1', 'one');
  await isDone('h2', 'one');
  for (const body of [
    '{"type":"cnm.EndpointJoined.v3","data":null}',
    'hello',
    '{}',
    '[7]',
    '[{"type":"cnm.EndpointJoined.v99"}]',
  ])
    await append(subjects.outcome('fab-1'), body);
  await isDone('h1', 'two');
  assert.deepEqual(await parkedRows(), []);
});

test('parked: an event of a host that nobody can read stops its worker and its commands, and no others', async () => {
  const position = await append(subjects.outcome('h1'), event(null));
  await waitFor(async () => (await parkedRows()).length === 1, { what: 'it to be parked' });
  assert.partialDeepStrictEqual(await parkedRows(), [
    { position: `${position}.0`, key: 'endpoint/lost', type: 'cnm.EndpointJoined.v3', waiting: 0, host: 'h1' },
  ]);
  const refused = await ask('h1', 'CreateNetwork', { name: 'three', driver: 'bridge' });
  assert.partialDeepStrictEqual(refused, {
    ...{ kind: 'refused', code: 'BOUNDARY_PARKED' },
    culprits: [
      { kind: 'event', id: `${position}.0` },
      { kind: 'host', id: 'h1' },
    ],
  });
  await isDone('h2', 'two');
  assert.ok(
    errors.some(({ event: stuck, msg }) => stuck === `${position}.0` && /cnm parked ls/.test(msg)),
    'the worker says why',
  );
  await assertViews();
  // Trying again changes nothing: nobody can read it.
  await system.run('RetryParked', { position, index: 0 });
  assert.equal((await parkedRows()).length, 1);
  assert.partialDeepStrictEqual(await ask('h1', 'DeleteNetwork', { network: 'one' }), { code: 'BOUNDARY_PARKED' });
  assert.match((await tryParked(streams.log, `${position}.0`)).reason ?? '', /lacks attributes or data/);
  const discarded = await system.run('DiscardParked', { position, index: 0, reason: 'never happened' });
  await projector.query('parked', { atLeast: discarded.position });
  assert.deepEqual(await parkedRows(), []);
  await isDone('h1', 'three');
  await assertViews();
});

test('parked: a commit that is no batch, on the subject of a host and on that of the realm', async () => {
  for (const [subject, body] of [
    [subjects.host('h2'), 'not JSON'],
    [subjects.realm, '{"type":"cnm.EndpointJoined.v3","data":null}'],
  ] as const) {
    const isRealm = subject === subjects.realm;
    const position = await append(subject, body);
    await waitFor(async () => (await parkedRows()).length === 1, { what: 'it to be parked' });
    assert.partialDeepStrictEqual(await parkedRows(), [{ position: `${position}.0`, key: subject, type: '' }]);
    await isDone('h1', isRealm ? 'five' : 'four');
    const first = await system.send('CreateNetwork', { name: 'wide', driver: 'overlay' }).first;
    if (isRealm) assert.equal(first.kind === 'refused' && first.code, 'BOUNDARY_PARKED');
    const seen = (await projector.query('parked')).position;
    await system.run('DiscardParked', { position, index: 0, reason: 'no commit of ours' });
    await waitFor(async () => (await parkedRows()).length === 0, { what: 'it to be parked no more' });
    assert.equal((await projector.query('parked', { asOf: seen })).rows.length, 1, 'as of before it was parked still');
    await isDone('h2', isRealm ? 'five' : 'four');
    await assertViews();
  }
});

test('parked: who starts with all of it on the log comes to the same', async () => {
  const late = createProjector({ log: streams.log, clock: systemClock, logger });
  await late.caughtUp;
  const [one, other] = [await projector.query('status'), await late.query('status')];
  assert.deepEqual(
    one.rows.map(({ views }) => views),
    other.rows.map(({ views }) => views),
  );
  for (const view of ['networks', 'commands', 'hosts', 'parked'] as const)
    assert.deepEqual((await late.query(view)).rows, (await projector.query(view)).rows);
  await late.stop();
  const worker = await startWorker('h1');
  await workers[0]?.failed.catch(({ code }) => assert.equal(code, 'WORKER_FENCED'));
  await worker.stop();
});

test('parked: a newer version stops every reader, and says so', async () => {
  const stopped = assert.rejects(projector.closed, /v99 is newer than v3, .*upgrade before reading on/);
  await append(subjects.host('h2'), event({}, { type: 'cnm.EndpointJoined.v99' }));
  await stopped;
  await assert.rejects(system.controller?.failed ?? Promise.resolve(), { code: 'LOG_UNREADABLE', kind: 'newer' });
  await assert.rejects(collector.failed, { code: 'LOG_UNREADABLE' });
  await assert.rejects(
    projector.query('parked'),
    (error) => error instanceof QueryFault && error.code === 'LOG_UNREADABLE',
  );
});

test('parked: folding by hand parks what is malformed too', () => {
  const [one, other] = [createViews(), createViews()];
  const message = {
    subject: subjects.realm,
    position: 1,
    recordedMs: 0,
    body: new TextEncoder().encode('x'),
    pending: 0,
  };
  for (const views of [one, other]) foldMessage(views, { ...message, header: () => '', headers: () => [] });
  assert.deepEqual(compareViews(one, other), []);
  assert.equal(one.rows.parked.get(subjects.realm)?.since, '1970-01-01T00:00:00.000Z');
});
