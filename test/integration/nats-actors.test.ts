// Who sent what, on a real server that knows its users: nobody speaks for another, and the trace of a work is on every event of it.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { NatsConnection } from '@nats-io/transport-node';
import { pino } from 'pino';
import type { Event } from '../../events/envelope.ts';
import { type Client, CommandFailed, CommandRefused, connect, NatsFault } from '../../services/client/index.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { eventsOf } from '../../services/lib/commit.ts';
import { type Config, readConfig } from '../../services/lib/config.ts';
import { connectNats } from '../../services/nats/connection.ts';
import { jetStream } from '../../services/nats/jetstream.ts';
import { STREAMS } from '../../services/nats/stream-config.ts';
import type { Part } from '../../services/up/part.ts';
import { prepareServer, Unusable } from '../../services/up/server.ts';
import { startService } from '../../services/up/services.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { startNats, type TestNats, waitFor } from '../support/nats.ts';
import { System } from '../support/system.ts';

const logger = pino({ level: 'silent' });
const sender = (actor: string): string => `{ user: ${actor}, password: pw, permissions: {
  publish: ["cnm.command.${actor}.*", "cnm.own.${actor}", "cnm.query.*", "$SRV.>"], subscribe: ["cnm.reply.${actor}.*", "_INBOX_${actor}.>"] } }`;

let nats: TestNats;
let folder: string;
let machine: MemoryMachine;
let system: System;
let connection: NatsConnection;
let alice: Client;
const parts: Part[] = [];

const urlOf = (user: string): string => nats.url.replace('nats://', `nats://${user}:pw@`);

const configOf = (url: string): Config => {
  const read = readConfig({
    ...{ CNM_NATS_URL: url, CNM_NATS_SYNC: 'always', CNM_ACTORS: 'authenticated' },
    ...{ CNM_DATA_DIR: folder, CNM_RUN_DIR: folder, CNM_REALM: 'test', CNM_HOST: 'h1' },
  });
  assert.ok(read.ok);
  return read.config;
};

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cnm-actors-'));
  const users = ['{ user: services, password: pw }', sender('alice'), sender('mallory')];
  nats = await startNats({ config: `authorization: { users: [${users.join(', ')}] }` });
  const url = urlOf('services');
  const config = configOf(url);
  await prepareServer(url, config, logger, systemClock);
  connection = await connectNats({ url, role: 'test', log: logger });
  machine = new MemoryMachine();
  const kernel = memoryKernel(machine, { realm: 'test', host: 'h1' });
  const streams = { log: jetStream(connection, STREAMS.log), commands: jetStream(connection, STREAMS.commands) };
  system = new System({ ...streams, kernel, runDir: '/run/cnm-test' });
  await system.startWorker();
  for (const name of ['projector', 'controller', 'collector'] as const)
    parts.push(await startService(name, { config, url, logger, clock: systemClock }));
  alice = await connect({ url: urlOf('alice'), actor: 'alice' });
});
after(async () => {
  await alice.close();
  for (const part of parts.reverse()) await part.stop();
  await system.stopWorker();
  await connection.close();
  await nats.stop();
  rmSync(folder, { recursive: true });
});

const refusedWith = (code: string) => (error: unknown) => error instanceof CommandRefused && error.code === code;

test('actors: whoever the server knows is proven, in decisions, refusals and reports', async () => {
  const made = await alice.createNetwork({ name: 'web', driver: 'null' });
  await made.outcome;
  await assert.rejects(alice.createNetwork({ name: 'web', driver: 'null' }), refusedWith('NETWORK_EXISTS'));
  const events = (await system.events()).filter(({ meta }) => meta.actor === 'alice');
  assert.deepEqual(
    events.map(({ type, meta }) => [type, meta.actorproof]),
    [
      ['NetworkCreateRequested', 'nats'],
      ['NetworkCreated', 'nats'],
      ['CommandRefused', 'nats'],
    ],
  );
  const { rows } = await alice.history({ filter: { network: 'web' }, atLeast: made.position });
  assert.deepEqual(
    rows.map(({ actor, actorproof, status }) => [actor, actorproof, status]),
    [
      ['alice', 'nats', 'succeeded'],
      ['alice', 'nats', 'refused'],
    ],
  );
});

test('actors: nobody publishes under the name of another, nor hears what is answered to it', async (t) => {
  const before = await jetStream(connection, STREAMS.commands).last();
  const forger = await connect({ url: urlOf('mallory'), actor: 'alice' });
  t.after(() => forger.close());
  await assert.rejects(
    forger.deleteNetwork({ network: 'web' }),
    (error: unknown) => error instanceof NatsFault && error.code === 'NOT_PERMITTED',
  );
  assert.equal(await jetStream(connection, STREAMS.commands).last(), before);

  const mallory = await connect({ url: urlOf('mallory'), actor: 'mallory' });
  t.after(() => mallory.close());
  await (await mallory.createNetwork({ name: 'own' })).outcome;
  // Nobody may read the log who has no permission for it, and is told so.
  const watching = mallory.watch();
  await assert.rejects(
    watching.next(),
    (error: unknown) => error instanceof NatsFault && error.code === 'NOT_PERMITTED',
  );
  const bare = await connectNats({ url: urlOf('mallory'), role: 'mallory', log: logger });
  t.after(() => bare.close());
  const reader = jetStream(bare, STREAMS.log).read({ from: 1 }, () => assert.fail('was read'));
  await assert.rejects(reader.closed, (error: unknown) => error instanceof NatsFault && error.code === 'NOT_PERMITTED');
  const own = (await system.events()).find(({ type, meta }) => type === 'NetworkCreated' && meta.actor === 'mallory');
  assert.equal(own?.meta.actorproof, 'nats');
});

test('actors: where the server lets anyone in, nothing starts that would call them proven, and nothing is made', async (t) => {
  const open = await startNats();
  t.after(() => open.stop());
  // Whoever gives no name is somebody all the same: such a server asks nobody.
  const users = '{ user: anyone, password: pw }';
  const lax = await startNats({ config: `authorization: { users: [${users}] }, no_auth_user: anyone` });
  t.after(() => lax.stop());
  for (const server of [open, lax]) {
    await assert.rejects(prepareServer(server.url, configOf(server.url), logger, systemClock), (error: unknown) => {
      assert.ok(error instanceof Unusable);
      assert.deepEqual(
        error.problems.map(({ code }) => code),
        ['ACTORS_UNPROVEN'],
      );
      return true;
    });
    const found = await connectNats({ url: server.url, role: 'test', log: logger });
    await assert.rejects(jetStream(found, STREAMS.log).last());
    await found.close();
  }
});

/** W3C trace context: one trace, a span for each command. */
const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
const traceparentOf = (n: number): string => `00-${trace}-${String(n).padStart(16, '0')}-01`;

test('traces: every event of a work has its trace, its correlation and what caused it, whatever became of it', async () => {
  const correlationid = 'deploy-42';
  let serial = 0;
  const next = () => ({ correlationid, traceparent: traceparentOf(++serial) });
  const begun = await jetStream(connection, STREAMS.log).last();

  await (await alice.createNetwork({ name: 'shop' }, next())).outcome;
  await assert.rejects(alice.createNetwork({ name: 'shop' }, next()), refusedWith('NETWORK_EXISTS'));
  await assert.rejects(alice.createNetwork({ name: 'a b' }, next()), refusedWith('COMMAND_MALFORMED'));
  // A host port that the host finds, which is decided by a command of the worker.
  const networks = [{ network: 'shop', ports: [{ port: 80 }] }];
  await (await alice.attachSandbox({ sandbox: 's1', networks }, next())).outcome;
  await (await alice.detachSandbox({ sandbox: 's1' }, next())).outcome;
  const fault = { errno: 'EBUSY', text: 'busy' };
  machine.fail({ when: ({ object }) => object.kind === 'bridge', once: true, fault });
  const failing = await alice.createNetwork({ name: 'never' }, next());
  await assert.rejects(failing.outcome, CommandFailed);
  // Nobody is there to carry it out: its end is decided by a command of the collector.
  await system.stopWorker();
  const late = await alice.createNetwork({ name: 'late' }, { ...next(), deadlineMs: 300 });
  await assert.rejects(late.outcome, (error: unknown) => error instanceof CommandFailed && error.code === 'TIMED_OUT');
  await system.startWorker();
  const events = async (): Promise<readonly Event[]> =>
    (await system.messages()).slice(begun).flatMap(eventsOf).filter(isOfWork);
  const isOfWork = ({ meta }: Event): boolean => meta.correlationid === correlationid;
  await waitFor(
    async () => (await events()).some(({ type, data }) => type === 'NetworkCreateFailed' && data.name === 'late'),
    { what: 'what came too late to be taken back' },
  );

  const found = await events();
  const spans = new Map<string, Set<string>>();
  for (const { type, meta } of found) {
    const { traceparent = '' } = meta;
    assert.ok(traceparent.startsWith(`00-${trace}-`), `${type} has no trace`);
    spans.set(traceparent, (spans.get(traceparent) ?? new Set()).add(type));
  }
  assert.equal(spans.size, serial);
  const types = (n: number): readonly string[] => [...(spans.get(traceparentOf(n)) ?? [])].sort();
  assert.deepEqual(types(2), ['CommandRefused']);
  assert.deepEqual(types(3), ['CommandRefused']);
  assert.ok(types(4).includes('PortsLeased') && types(4).includes('EndpointJoined'));
  assert.deepEqual(types(6), ['NetworkCreateFailed', 'NetworkCreateRequested']);
  assert.deepEqual(types(7), ['CommandTimedOut', 'NetworkCreateFailed', 'NetworkCreateRequested']);

  const ids = new Set(found.map(({ meta }) => meta.id));
  for (const { type, meta } of found) {
    const isDecision = meta.commandtype !== undefined;
    assert.equal(isDecision ? meta.causationid : ids.has(meta.causationid), isDecision ? meta.commandid : true, type);
    assert.ok(meta.actor !== '' && meta.commandid !== '', type);
  }
});
