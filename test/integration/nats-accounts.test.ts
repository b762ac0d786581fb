// A server with accounts as `cnm nats-config` writes it: our own services do all they do, each with its own key, and everybody else what
// they are there for. Everything beyond is tried and has no effect.
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { type Client, CommandRefused, connect, NatsFault } from '../../services/client/index.ts';
import { discover } from '../../services/client/status.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { eventsOf } from '../../services/lib/commit.ts';
import { silentLogger } from '../../services/lib/logger.ts';
import type { Message, Stream } from '../../services/lib/stream.ts';
import { jetStream } from '../../services/nats/jetstream.ts';
import { apiPrefixOf } from '../../services/nats/link.ts';
import { liveWorkers } from '../../services/nats/live-workers.ts';
import { STREAMS } from '../../services/nats/stream-config.ts';
import type { Part } from '../../services/up/part.ts';
import { prepareServer } from '../../services/up/server.ts';
import { startService } from '../../services/up/services.ts';
import { holdHost } from '../../services/worker/tenure.ts';
import { type AccountServer, startAccounts } from '../support/accounts.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { waitFor } from '../support/nats.ts';
import { System } from '../support/system.ts';

const logger = silentLogger();
const odd = 'ci.runner@build-7';
let server: AccountServer;
let root: NatsConnection;
let system: System;
let alice: Client;
let tenure: Awaited<ReturnType<typeof holdHost>>;
const parts: Part[] = [];

const clientOf = (party: string, actor: string): Promise<Client> =>
  connect({ url: server.url, actor, security: server.security(party), waitMs: 5_000 });

before(async () => {
  server = await startAccounts({
    hosts: ['h1', 'h2'],
    actors: ['alice', 'mallory', odd],
    viewers: ['bob', 'mallory'],
    readers: ['rita'],
    operators: ['root'],
  });
  root = await server.connect('operator-root', 'root');
  // the worker may not make streams: it waits for the controller, which may
  const early = prepareServer(server.url, server.config('host-h1'), logger, systemClock);
  await prepareServer(server.url, server.config('service-controller'), logger, systemClock);
  await early;
  const h1 = await server.connect('host-h1', 'worker');
  const stream = (name: keyof typeof STREAMS): Stream => jetStream(h1, STREAMS[name], { log: logger });
  const lockPath = join(server.folder, 'h1.lock');
  tenure = await holdHost(stream('lease'), 'h1', { lockPath, clock: systemClock, logger });
  const kernel = memoryKernel(new MemoryMachine(), { realm: 'test', host: 'h1' });
  system = new System({ log: stream('log'), commands: stream('commands'), kernel, runDir: '/run/cnm-test' });
  await system.startWorker();
  for (const name of ['projector', 'controller', 'collector'] as const) {
    const config = server.config(`service-${name}`);
    await prepareServer(server.url, config, logger, systemClock);
    parts.push(await startService(name, { config, url: server.url, logger, clock: systemClock }));
  }
  alice = await clientOf('actor-alice', 'alice');
});
after(async () => {
  await alice.close();
  for (const part of parts.reverse()) await part.stop();
  await system.stopWorker();
  await tenure.stop();
  await server.stop();
});

/** All that is stored, as the operator reads it. */
const stored = async (name: keyof typeof STREAMS): Promise<readonly Message[]> => {
  const found: Message[] = [];
  const reader = jetStream(root, STREAMS[name]).read({ from: 1 }, (message) => found.push(message));
  await reader.caughtUp;
  await reader.stop();
  return found;
};

/** How much there is of each stream but the leases, which are renewed all the time. */
const ends = async (): Promise<readonly number[]> =>
  Promise.all((['commands', 'log', 'checkpoint', 'key'] as const).map((name) => jetStream(root, STREAMS[name]).last()));

const isDenied = (error: unknown): boolean => error instanceof NatsFault && error.code === 'NOT_PERMITTED';

describe('what they are there for', () => {
  test('accounts: an actor sends, hears what becomes of it, and asks later; the log calls it proven', async () => {
    const made = await alice.createNetwork({ name: 'web' });
    await made.outcome;
    // a port that the host finds is a command of the worker under its own actor
    await (await alice.createNetwork({ name: 'ports' })).outcome;
    const networks = [{ network: 'ports', ports: [{ port: 80 }] }];
    const attached = await alice.attachSandbox({ sandbox: 's1', networks });
    assert.equal((await attached.outcome).status, 'succeeded');
    await (await alice.detachSandbox({ sandbox: 's1' })).outcome;
    await assert.rejects(
      alice.createNetwork({ name: 'web' }),
      (error: unknown) => error instanceof CommandRefused && error.code === 'NETWORK_EXISTS',
    );
    assert.equal((await alice.command(made.commandid))?.status, 'succeeded');
    const strange = await clientOf(`actor-${'ci=2Erunner=40build-7'}`, odd);
    await (await strange.createNetwork({ name: 'odd' })).outcome;
    await strange.close();
    const events = (await stored('log')).flatMap(eventsOf);
    for (const who of ['alice', odd]) {
      const proofs = events.filter(({ meta }) => meta.actor === who).map(({ meta }) => meta.actorproof);
      assert.ok(proofs.length > 1 && proofs.every((proof) => proof === 'nats'), who);
    }
  });

  test('accounts: the end of a command that is late, and of an endpoint that nobody needs, is decided by the collector', async () => {
    await system.stopWorker();
    const late = await alice.createNetwork({ name: 'late' }, { deadlineMs: 300 });
    await assert.rejects(late.outcome, (error: unknown) => (error as { code?: string }).code === 'TIMED_OUT');
    await system.startWorker();
  });

  test('accounts: a viewer asks for views, and a reader reads the log too and watches', async () => {
    const bob = await clientOf('viewer-bob', 'bob');
    const { rows } = await bob.networks();
    assert.ok(rows.some(({ name }) => name === 'web'));
    await assert.rejects(bob.watch().next());
    const rita = await clientOf('reader-rita', 'rita');
    assert.ok((await rita.networks()).rows.length > 0);
    const seen = new Set<string>();
    for await (const item of rita.watch({ from: 0 } as never)) {
      if ('type' in item) seen.add(String((item as { type: unknown }).type));
      if (JSON.stringify(item).includes('NetworkCreated')) break;
    }
    const { services, server: at } = await bob.status();
    assert.deepEqual(
      [...new Set(services.map(({ name }) => name))],
      ['cnm-collector', 'cnm-controller', 'cnm-projector'],
    );
    assert.ok(at.version !== '');
    await bob.close();
    await rita.close();
  });

  test('accounts: an operator sees workers that answer in accounts of their own alone', async () => {
    const running = (await discover(root)).map(({ name }) => name);
    assert.ok(running.length > 0 && !running.includes('cnm-worker'));
    assert.deepEqual(await liveWorkers(root, systemClock), ['h1']);
    const h9 = jetStream(root, STREAMS.lease);
    await h9.append({ subject: 'cnm.lease.worker.h9', body: 'not even JSON', id: 'x1' });
    assert.deepEqual(await liveWorkers(root, systemClock), ['h1', 'h9'], 'what cannot be read is a sign of life too');
    const body = JSON.stringify({ holder: 'x', term: 1, released: true });
    await h9.append({ subject: 'cnm.lease.worker.h9', body, id: 'x2' });
    assert.deepEqual(await liveWorkers(root, systemClock), ['h1']);
  });

  test('accounts: an operator puts away secrets, shreds them, and has views folded anew', async () => {
    const operator = await clientOf('operator-root', 'root');
    const sealed = await operator.seals.seal('s-1', 'a name');
    assert.equal(await operator.seals.open(sealed), 'a name');
    await (await operator.shredSubject({ subject: 's-1', reason: 'asked for' })).outcome;
    const isErased = async () => (await jetStream(root, STREAMS.key).lastOn('cnm.key.s-1')) === null;
    await waitFor(isErased, { what: 'the key is erased by the collector' });
    const [rebuilt] = await operator.rebuild({ view: 'networks' });
    assert.equal(rebuilt?.kind, 'report');
    await operator.close();
  });

  test('accounts: one more actor and host are added to a server that runs, and one is taken away', async () => {
    const worked = async (): Promise<string> => {
      const { outcome } = await alice.createNetwork({ name: `n${(await ends())[0]}` });
      return (await outcome).status;
    };
    assert.equal(await worked(), 'succeeded');
    await server.add('carol', { hosts: ['h3'], remove: ['actor-ci=2Erunner=40build-7'] });
    const carol = await clientOf('actor-carol', 'carol');
    await (await carol.createNetwork({ name: 'new' })).outcome;
    await carol.close();
    assert.equal(await worked(), 'succeeded');
    assert.equal(statSync(join(server.folder, 'keys/actor-carol/seed.nk')).mode & 0o777, 0o600);
    assert.throws(() => server.security('actor-ci=2Erunner=40build-7'));
  });
});

const publish = async (connection: NatsConnection, subject: string, body: string, reply?: string): Promise<void> => {
  connection.publish(subject, body, reply === undefined ? {} : { reply });
  await connection.flush();
};

const forged = JSON.stringify({ id: 'mwpy560c-forged', type: 'DeleteNetwork', data: { network: 'web' } });

describe('everything beyond', () => {
  const intruders = [
    { party: 'actor-mallory', own: ['cnm.command.mallory.h1'] },
    { party: 'reader-rita', own: [] },
    { party: 'host-h2', own: ['cnm.outcome.h2', 'cnm.lease.worker.h2', 'cnm.command.worker=3Ah2.h2'] },
  ];
  const subjects = [
    ...[
      'cnm.command.alice.h1',
      'cnm.command.alice._',
      'cnm.command.root._',
      'cnm.command.collector._',
      'cnm.command.bob._',
    ],
    ...[
      'cnm.command.worker=3Ah1.h1',
      'cnm.event.host.h1',
      'cnm.event.host.h2',
      'cnm.event.realm._',
      'cnm.event.realm.x',
    ],
    ...['cnm.event.segment.1', 'cnm.outcome.h1', 'cnm.checkpoint', 'cnm.key.s-1', 'cnm.reply.alice.x', 'cnm.own.alice'],
    ...['cnm.lease.controller', 'cnm.lease.worker.h1', 'cnm.rebuild.x'],
  ];

  for (const { party, own } of intruders) {
    test(`accounts: ${party} publishes nothing on ${subjects.length} subjects of others, to nobody`, async () => {
      const connection = await server.connect(party, 'intruder');
      const before = await ends();
      const heard: string[] = [];
      const listener = await server.connect('operator-root', 'root');
      listener.subscribe('cnm.>', { callback: (_, { subject }) => void heard.push(subject) });
      await listener.flush();
      for (const subject of subjects) if (!own.includes(subject)) await publish(connection, subject, forged);
      await listener.flush();
      assert.deepEqual(await ends(), before);
      assert.deepEqual(
        heard.filter((subject) => subjects.includes(subject) && !subject.startsWith('cnm.lease.')),
        [],
      );
      for (const { subject, body } of await stored('lease'))
        assert.notEqual(new TextDecoder().decode(body), forged, subject);
      await listener.close();
    });

    test(`accounts: no answer to ${party} lands where it would be believed`, async () => {
      const connection = await server.connect(party, 'intruder');
      const before = await ends();
      const asked = [
        ...own,
        ...['$SRV.PING', 'cnm.query.networks', `cnm.own.${party.split('-')[1]}`],
        ...['STREAM.INFO.CNM_LOG', 'DIRECT.GET.CNM_LOG', 'STREAM.MSG.GET.CNM_LOG'].flatMap((name) => [
          `${apiPrefixOf(connection)}.${name}`,
          `$JS.API.${name}`,
        ]),
      ];
      let published = 0;
      for (const subject of asked)
        for (const reply of subjects) {
          await publish(connection, subject, '{"seq":1}', reply);
          if (own.includes(subject) && !subject.includes('lease')) published++;
        }
      const lands = [
        'cnm.event.',
        'cnm.checkpoint',
        'cnm.key.',
        'cnm.command.alice',
        'cnm.command.root',
        'cnm.command.collector',
      ];
      const isHarm = ({ subject }: Message): boolean => lands.some((start) => subject.startsWith(start));
      const found = [...(await stored('log')), ...(await stored('commands'))].filter(
        ({ recordedMs }) => recordedMs > 0,
      );
      const [commandsBefore = 0, logBefore = 0] = before;
      const fresh = [
        ...found.filter(({ subject, position }) => subject.startsWith('cnm.command.') && position > commandsBefore),
        ...found.filter(({ subject, position }) => !subject.startsWith('cnm.command.') && position > logBefore),
      ];
      // what it may publish is stored as its own; what that brings about is decided by the controller
      const answers = fresh.filter(
        (message) => isHarm(message) && new TextDecoder().decode(message.body).includes('"stream"'),
      );
      assert.deepEqual(
        answers.map(({ subject }) => subject),
        [],
      );
      assert.ok(fresh.filter(({ subject }) => own.includes(subject)).length <= published * 2);
    });

    test(`accounts: ${party} hears nothing that others are told`, async () => {
      const connection = await server.connect(party, 'intruder');
      const heard: string[] = [];
      for (const subject of [
        'cnm.>',
        '_INBOX_alice.>',
        '_INBOX.>',
        '_INBOX_controller.>',
        '_R_.>',
        '$JS.>',
        '$SRV.>',
        '>',
      ])
        connection.subscribe(subject, {
          callback: (error, message) => void (error === null && heard.push(message.subject)),
        });
      await connection.flush();
      await (await alice.createNetwork({ name: `heard-${party}` })).outcome;
      await alice.networks().catch(() => undefined);
      await connection.flush();
      // what it has sent before is answered to it
      const ours = /^cnm\.reply\.(mallory|worker=3Ah2)\./;
      assert.deepEqual(
        heard.filter((subject) => !ours.test(subject)),
        [],
      );
    });

    test(`accounts: ${party} deletes, purges, changes and makes nothing`, async () => {
      const connection = await server.connect(party, 'intruder');
      const before = await ends();
      const manager = await jetstreamManager(root, { checkAPI: false });
      const settings = (await manager.streams.info(STREAMS.log)).config;
      for (const prefix of ['$JS.API', 'cnm.js'])
        for (const stream of Object.values(STREAMS))
          for (const verb of ['DELETE', 'PURGE', 'UPDATE', 'CREATE', 'MSG.DELETE', 'SNAPSHOT', 'RESTORE'])
            await publish(
              connection,
              `${prefix}.STREAM.${verb}.${stream}`,
              JSON.stringify({ seq: 1, name: stream, subjects: ['x'] }),
              'x',
            );
      assert.deepEqual(await ends(), before);
      assert.deepEqual((await manager.streams.info(STREAMS.log)).config, settings);
      for (const name of ['key', 'commands', 'checkpoint'] as const)
        await assert.rejects(jetStream(connection, STREAMS[name], { timeoutMs: 300 }).get(1), `${party} reads ${name}`);
    });
  }

  test('accounts: a consumer that pushes what it reads pushes it to no stream and to no other account', async () => {
    const before = await ends();
    const told: string[] = [];
    const pushing: string[] = [];
    const listening = await server.connect('actor-alice', 'alice');
    listening.subscribe('cnm.reply.alice.*', { callback: (_, message) => void told.push(message.string()) });
    await listening.flush();
    for (const party of ['host-h2', 'reader-rita']) {
      const connection = await server.connect(party, 'intruder');
      const manager = await jetstreamManager(connection, { checkAPI: false, apiPrefix: apiPrefixOf(connection) });
      for (const deliver_subject of ['cnm.reply.alice.x', 'cnm.event.host.h1', 'cnm.command.alice._', 'cnm.key.x']) {
        const config = {
          name: `push-${party}-${deliver_subject.split('.').join('-')}`,
          deliver_subject,
          filter_subject: 'cnm.outcome.h1',
        };
        const made = manager.consumers.add(STREAMS.log, { ...config, ack_policy: 'none' as never });
        // the server refuses only what would feed the stream to itself
        if (await made.catch(() => null)) pushing.push(config.name);
      }
    }
    await (await alice.createNetwork({ name: 'pushed' })).outcome;
    const [commands = 0, log = 0, checkpoint, key] = await ends();
    assert.deepEqual([commands, checkpoint, key], [(before[0] ?? 0) + 1, before[2], before[3]]);
    assert.equal(log, (before[1] ?? 0) + 2, 'the decision and its outcome');
    assert.equal(pushing.length, 6);
    const manager = await jetstreamManager(root, { checkAPI: false });
    for (const name of pushing) {
      const { delivered, num_pending: waiting } = await manager.consumers.info(STREAMS.log, name);
      assert.equal(delivered.consumer_seq, 0, `${name} has pushed something`);
      assert.ok(waiting > 0, `${name} has something to push`);
    }
    assert.ok(told.every((answer) => answer.startsWith('{"kind":')));
  });

  test('accounts: an actor that views nothing asks for its own commands alone', async () => {
    const made = await alice.createNetwork({ name: 'mine' });
    await made.outcome;
    await assert.rejects(
      alice.networks({ timeoutMs: 500 }),
      (error: unknown) => (error as { code?: string }).code === 'UNANSWERED',
    );
    await assert.rejects(alice.watch().next());
    const mallory = await clientOf('actor-mallory', 'mallory');
    assert.equal(await mallory.command(made.commandid), null);
    assert.ok((await mallory.networks()).rows.length > 0, 'it is a viewer too');
    await mallory.close();
    const forger = await clientOf('actor-mallory', 'alice');
    await assert.rejects(forger.command(made.commandid, { timeoutMs: 500 }));
    const sending = forger.deleteNetwork({ network: 'mine' }, { signal: AbortSignal.timeout(500) });
    await assert.rejects(sending);
    await forger.close();
  });

  test('accounts: our own services do nothing that is not theirs', async () => {
    const wrong: readonly (readonly [string, string])[] = [
      ['service-projector', 'cnm.event.host.h1'],
      ['service-projector', 'cnm.outcome.h1'],
      ['service-projector', 'cnm.command.alice._'],
      ['service-collector', 'cnm.event.host.h1'],
      ['service-collector', 'cnm.command.alice._'],
      ['service-controller', 'cnm.outcome.h1'],
      ['service-controller', 'cnm.command.alice._'],
    ];
    for (const [party, subject] of wrong) {
      const connection = await server.connect(party, party.slice('service-'.length));
      const stream = subject.startsWith('cnm.command') ? STREAMS.commands : STREAMS.log;
      await assert.rejects(jetStream(connection, stream).append({ subject, body: 'x', id: 'x' }), isDenied, subject);
    }
  });
});
