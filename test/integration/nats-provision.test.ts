// What the services refuse to run on, with stable codes, and that nothing of an operator's is changed.
import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:net';
import { after, before, test } from 'node:test';
import { type JetStreamManager, jetstreamManager, type StreamConfig } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import {
  checkpointStream,
  commandsStream,
  keyStream,
  leaseStream,
  logStream,
  STREAMS,
} from '../../services/nats/stream-config.ts';
import { isNewEnough, type Provisioned, provision } from '../../services/nats/streams.ts';
import type { SyncEvidence } from '../../services/nats/sync.ts';
import { addStream, freePort, startNats, type TestNats } from '../support/nats.ts';

let nats: TestNats;
let connection: NatsConnection;
let manager: JetStreamManager;
const stated: SyncEvidence = { kind: 'stated' };

before(async () => {
  nats = await startNats();
  connection = await nats.connect();
  manager = await jetstreamManager(connection);
});
after(() => nats.stop());

const removeAll = () => Promise.all(Object.values(STREAMS).map((name) => manager.streams.delete(name).catch(() => {})));
const codes = (result: Provisioned) => (result.ok ? [] : result.problems.map(({ code }) => code));
const texts = (result: Provisioned) => (result.ok ? '' : result.problems.map(({ text }) => text).join('\n'));

test('provision: makes the streams, and doing it again, or several times at once, changes nothing', async () => {
  await removeAll();
  assert.deepEqual(codes(await provision(connection, { sync: stated, create: false })), [
    'STREAM_MISSING',
    'STREAM_MISSING',
    'STREAM_MISSING',
    'STREAM_MISSING',
    'STREAM_MISSING',
  ]);
  const results = await Promise.all([1, 2, 3].map(() => provision(connection, { sync: stated })));
  assert.deepEqual(
    results.map((result) => result.ok),
    [true, true, true],
  );
  const before = await manager.streams.info(STREAMS.log);
  assert.equal((await provision(connection, { sync: stated, create: false })).ok, true);
  assert.deepEqual((await manager.streams.info(STREAMS.log)).config, before.config);
  for (const stream of [STREAMS.log, STREAMS.checkpoint]) {
    await assert.rejects(() => manager.streams.purge(stream));
    await assert.rejects(() => manager.streams.deleteMessage(stream, 1));
  }
});

test('provision: more copies than servers are refused, and streams that are there keep the copies that they have', async () => {
  await removeAll();
  const refused = await provision(connection, { sync: stated, replicas: 3 });
  assert.deepEqual(
    codes(refused),
    Array.from({ length: 5 }, () => 'STREAM_REFUSED'),
  );
  assert.match(texts(refused), /replicas > 1 not supported in non-clustered mode/);
  assert.equal((await provision(connection, { sync: stated })).ok, true);
  assert.equal((await provision(connection, { sync: stated, replicas: 3 })).ok, true);
  assert.equal((await manager.streams.info(STREAMS.log)).config.num_replicas, 1);
});

test('provision: an existing stream that breaks a guarantee is refused with the reason and left as it is', async () => {
  const cases: readonly [change: Partial<StreamConfig>, reason: RegExp][] = [
    [{ deny_delete: false }, /deleted/],
    [{ deny_purge: false }, /purged/],
    [{ max_age: 3_600e9 }, /max_age/],
    [{ max_msgs: 1000 }, /max_msgs = 1000/],
    [{ max_bytes: 1_000_000 }, /max_bytes/],
    [{ max_msgs_per_subject: 1 }, /max_msgs_per_subject/],
    [{ max_msg_size: 1000 }, /max_msg_size/],
    [{ storage: 'memory' }, /memory/],
    [{ retention: 'interest' }, /retention/],
    [{ subjects: ['cnm.event.>'] }, /takes cnm.event.> instead/],
    [{ subjects: ['cnm.>'] }, /takes cnm.> instead/],
    [{ allow_atomic: false }, /allow_atomic/],
    [{ allow_direct: false }, /allow_direct/],
    [{ allow_msg_ttl: true }, /allow_msg_ttl/],
    [{ allow_rollup_hdrs: true, deny_purge: false }, /roll up/],
    [{ first_seq: 100 }, /start at 100/],
  ];
  for (const [change, reason] of cases) {
    await removeAll();
    const { config } = await addStream(manager, { ...logStream, ...change });
    const result = await provision(connection, { sync: stated });
    assert.ok(codes(result).includes('STREAM_UNSAFE'), JSON.stringify(change));
    assert.match(texts(result), reason);
    assert.deepEqual((await manager.streams.info(STREAMS.log)).config, config);
  }
  await removeAll();
});

test('provision: checkpoints that could be trimmed are refused', async () => {
  await removeAll();
  await addStream(manager, { ...checkpointStream, deny_purge: false, max_msgs: 10 });
  assert.match(
    texts(await provision(connection, { sync: stated })),
    /CNM_CHECKPOINT[^\n]* purged[^\n]*\n[^\n]*max_msgs = 10/,
  );
  await removeAll();
});

test('provision: keys that could be replaced, or not be erased, are refused', async () => {
  for (const [change, reason] of [
    [{ deny_delete: true }, /CNM_KEY is unsafe: nothing can be erased in it/],
    [{ deny_purge: false }, /CNM_KEY is unsafe: it can be purged/],
    [{ discard_new_per_subject: false }, /CNM_KEY is unsafe: a message can replace another/],
    [{ max_msgs_per_subject: 2 }, /CNM_KEY is unsafe: a message can replace another/],
  ] as const) {
    await removeAll();
    await addStream(manager, { ...keyStream, ...change });
    assert.match(texts(await provision(connection, { sync: stated })), reason);
  }
  await removeAll();
});

test('provision: settings that break nothing are the operator’s', async () => {
  await removeAll();
  await addStream(manager, {
    ...logStream,
    description: 'ours',
    compression: 's2',
    duplicate_window: 60e9,
    republish: { src: '>', dest: 'live.>' },
  });
  await addStream(manager, { ...commandsStream, max_age: 40 * 86_400e9 });
  await addStream(manager, { ...leaseStream });
  assert.equal((await provision(connection, { sync: stated })).ok, true);
  await removeAll();
});

test('provision: a log that has lost messages is refused', async () => {
  await removeAll();
  await addStream(manager, { ...logStream, deny_delete: false, deny_purge: false });
  for (const id of ['1', '2', '3', '4']) await manager.jetstream().publish('cnm.event.host.a', id);
  await manager.streams.deleteMessage(STREAMS.log, 3);
  await manager.streams.purge(STREAMS.log, { seq: 2 });
  await manager.streams.update(STREAMS.log, { deny_delete: true, deny_purge: true });
  const result = await provision(connection, { sync: stated });
  assert.deepEqual(codes(result), ['HISTORY_LOST', 'HISTORY_LOST']);
  assert.match(texts(result), /before position 2 is gone[\s\S]*1 messages were removed/);
  await removeAll();
});

test('provision: subjects that another stream takes are the server’s refusal', async () => {
  await removeAll();
  await addStream(manager, { name: 'OTHER', subjects: ['cnm.event.host.>'] });
  const result = await provision(connection, { sync: stated });
  assert.deepEqual(codes(result), ['STREAM_REFUSED']);
  assert.match(texts(result), /overlap.*10065/);
  await manager.streams.delete('OTHER');
});

test('provision: the monitoring port tells whether the server syncs', async (t) => {
  await removeAll();
  assert.equal((await provision(connection, { sync: { kind: 'monitor', urls: nats.monitorUrl } })).ok, true);
  await removeAll();
  assert.deepEqual(codes(await provision(connection, { sync: { kind: 'none' } })), ['SYNC_UNKNOWN']);
  const nowhere = { kind: 'monitor', urls: `http://127.0.0.1:${await freePort()}` } as const;
  assert.deepEqual(codes(await provision(connection, { sync: nowhere })), ['SYNC_UNKNOWN']);
  const lazy = await startNats({ sync: '"2m"' });
  t.after(() => lazy.stop());
  const lazyConnection = await lazy.connect();
  const result = await provision(lazyConnection, { sync: { kind: 'monitor', urls: lazy.monitorUrl } });
  assert.deepEqual(codes(result), ['SYNC_NOT_ALWAYS']);
  assert.match(texts(result), /every 120 s/);
  // its streams were not made either, and the port of one server says nothing of another
  assert.equal((await (await jetstreamManager(lazyConnection)).getAccountInfo()).streams, 0);
  assert.deepEqual(codes(await provision(lazyConnection, { sync: { kind: 'monitor', urls: nats.monitorUrl } })), [
    'SYNC_UNKNOWN',
  ]);
});

test('provision: a server without JetStream, and an account without it', async (t) => {
  const plain = await startNats({ jetstream: false });
  t.after(() => plain.stop());
  assert.deepEqual(codes(await provision(await plain.connect(), { sync: stated })), ['JETSTREAM_OFF']);
  const accounts =
    'accounts { A { jetstream: enabled, users = [{user: a, password: a}] }, B { users = [{user: b, password: b}] } }';
  const divided = await startNats({ config: accounts });
  t.after(() => divided.stop());
  const other = await connect({ servers: divided.url, user: 'b', pass: 'b' });
  t.after(() => other.close());
  assert.deepEqual(codes(await provision(other, { sync: stated })), ['JETSTREAM_OFF']);
});

test('provision: a role that may not ask', async (t) => {
  const users =
    'authorization { users = [{user: u, password: p, permissions { publish: "cnm.>", subscribe: "_INBOX.>" }}] }';
  const strict = await startNats({ config: users });
  t.after(() => strict.stop());
  const limited = await connect({ servers: strict.url, user: 'u', pass: 'p' });
  t.after(() => limited.close());
  assert.deepEqual(codes(await provision(limited, { sync: stated })), ['NOT_PERMITTED']);
});

test('provision: a server that is too old, by its greeting', async (t) => {
  const port = await freePort();
  const old = await fakeServer(port, '2.11.9');
  t.after(() => old.close());
  const client = await connect({ servers: `127.0.0.1:${port}`, reconnect: false });
  t.after(() => client.close());
  const result = await provision(client, { sync: stated });
  assert.deepEqual(codes(result), ['SERVER_TOO_OLD']);
  assert.match(texts(result), /2\.11\.9/);
});

test('provision: versions are compared as numbers', () => {
  const versions = ['2.9.10', '2.12.0', '2.12.0-RC.1', '3.0.0', '1.99.0', '2.15.1', 'v2.14.2', '', 'dev'];
  assert.deepEqual(versions.filter(isNewEnough), ['2.12.0', '2.12.0-RC.1', '3.0.0', '2.15.1', 'v2.14.2']);
});

/** Greets like a server of that version and answers pings. */
const fakeServer = (port: number, version: string): Promise<Server> => {
  const info = {
    server_id: 'X',
    server_name: 'old',
    version,
    proto: 1,
    host: '127.0.0.1',
    port,
    headers: true,
    max_payload: 1_048_576,
    jetstream: true,
  };
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.write(`INFO ${JSON.stringify(info)}\r\n`);
    socket.on('data', (chunk) => {
      if (chunk.includes('PING')) socket.write('PONG\r\n');
    });
  });
  return new Promise((resolve) => server.listen(port, '127.0.0.1', () => resolve(server)));
};
