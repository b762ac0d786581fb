import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Stream } from '../../services/lib/stream.ts';
import { jetStream } from '../../services/nats/jetstream.ts';
import { addStream, startNats, type TestNats, testStream } from '../support/nats.ts';
import { streamSuite } from './stream.suite.ts';

let nats: TestNats;
let connection: NatsConnection;

before(async () => {
  nats = await startNats();
  connection = await nats.connect();
});
after(() => nats.stop());

// one stream at a time takes the subjects, as every test has them to itself
const make = async (): Promise<Stream> => {
  const manager = await jetstreamManager(connection);
  await manager.streams.delete('T').catch(() => {});
  await addStream(manager, { name: 'T', subjects: ['t.>'], allow_direct: true, allow_atomic: true });
  return testStream(connection, 'T');
};

streamSuite('JetStream', make);

test('a server is asked for nothing behind what is wanted', async () => {
  const stream = await make();
  for (let n = 1; n <= 50; n++) await stream.append({ subject: 't.a', body: `${n}`, id: `${n}` });
  const seen: number[] = [];
  const reader = stream.read({ from: 5, until: 20 }, ({ position }) => seen.push(position));
  await reader.caughtUp;
  // Whatever else the server had to send stands before its answers.
  await connection.flush();
  await stream.last();
  assert.deepEqual(
    seen,
    Array.from({ length: 16 }, (_, n) => n + 5),
  );
  await reader.stop();
});

test('a server sends no more ahead than is asked for, and all of it in time', async () => {
  const stream = await make();
  for (let n = 1; n <= 400; n++) await stream.append({ subject: 't.a', body: `${n}`, id: `${n}` });
  const before = connection.stats().inMsgs;
  const few = stream.read({ from: 1, ahead: 8 }, () => void few.stop());
  await few.closed;
  await connection.flush();
  const received = connection.stats().inMsgs - before;
  assert.ok(received < 50, `${received} messages came for one`);
  const seen: number[] = [];
  const all = stream.read({ from: 1, ahead: 8 }, ({ position }) => seen.push(position));
  await all.caughtUp;
  await all.stop();
  assert.deepEqual(
    seen,
    Array.from({ length: 400 }, (_, n) => n + 1),
  );
});

test('what was answered while the process stood still is answered', async () => {
  await make();
  const stream = jetStream(connection, 'T', { timeoutMs: 200 });
  const appending = stream.append({ subject: 't.a', body: '', id: '1' });
  await setImmediate();
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000);
  assert.deepEqual(await appending, { kind: 'appended', position: 1 });
});
