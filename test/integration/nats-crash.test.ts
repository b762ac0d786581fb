// kill -9 of the server in the middle of appends and reads: nothing acknowledged is lost, nothing is delivered twice.
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import type { Stream } from '../../services/lib/stream.ts';
import { NatsFault } from '../../services/nats/fault.ts';
import { jetStream } from '../../services/nats/jetstream.ts';
import { startNats, startProxy, type TestNats, testStream, waitFor } from '../support/nats.ts';

let nats: TestNats;
let connection: NatsConnection;
let stream: Stream;

before(async () => {
  nats = await startNats();
  connection = await nats.connect();
});
after(() => nats.stop());
beforeEach(async () => {
  const manager = await jetstreamManager(connection);
  await manager.streams.delete('T').catch(() => {});
  await manager.streams.add({ name: 'T', subjects: ['t.>'], allow_direct: true });
  stream = jetStream(connection, 'T', { timeoutMs: 2_000 });
});

/** Every position from 1 to `count` once and in order. (A failing deepEqual would take minutes to find the difference.) */
const assertAll = (positions: readonly number[], count: number): void => {
  const wrong = positions.findIndex((position, index) => position !== index + 1);
  assert.equal(wrong, -1, `message ${wrong + 1} has position ${positions[wrong]}`);
  assert.equal(positions.length, count);
};

/** Appends in the way the services do: guarded, and after an unknown or a conflict by looking at what is stored. */
const appendSurely = async (subject: string, id: string): Promise<'stored' | 'found'> => {
  for (;;) {
    try {
      const last = await stream.lastOn(subject);
      if (last?.header('Nats-Msg-Id') === id) return 'found';
      const answer = await stream.append({ subject, body: id, id, expectedLast: last?.position ?? 0 });
      if (answer.kind === 'appended') return 'stored';
    } catch (error) {
      assert.ok(error instanceof NatsFault && error.retry === 'later', String(error));
    }
  }
};

test('crash: appends through three kills are all there once, and a reader sees each once in order', async () => {
  const seen: { position: number; id: string }[] = [];
  const reader = stream.read({ from: 1 }, (message) => {
    seen.push({ position: message.position, id: message.header('Nats-Msg-Id') });
  });
  const writers = ['a', 'b', 'c', 'd'];
  let writing = true;
  const written = Promise.all(
    writers.map(async (writer) => {
      let count = 0;
      for (; writing; count++) await appendSurely(`t.${writer}`, `${writer}${count}`);
      return count;
    }),
  );
  for (let kill = 1; kill <= 3; kill++) {
    const before = seen.length;
    await waitFor(() => seen.length > before + 200, { what: 'two hundred more messages' });
    await nats.restart();
  }
  const before = seen.length;
  await waitFor(() => seen.length > before, { what: 'messages after the last restart', timeoutMs: 30_000 });
  writing = false;
  const counts = await written;
  const total = counts.reduce((sum, count) => sum + count, 0);
  await waitFor(() => seen.length >= total, { what: 'all messages', timeoutMs: 30_000 });
  await reader.stop();
  assert.equal(await stream.last(), total);
  assertAll(
    seen.map(({ position }) => position),
    total,
  );
  const ids = new Set(seen.map(({ id }) => id));
  for (const [index, writer] of writers.entries()) {
    for (let count = 0; count < (counts[index] ?? 0); count++) assert.ok(ids.has(`${writer}${count}`));
  }
});

test('crash: a cold read goes on where it was when the server was killed', async () => {
  const count = 20_000;
  const patient = testStream(connection, 'T');
  for (let done = 0; done < count; done += 400) {
    const batch = Array.from({ length: 400 }, (_, index) => ({
      subject: 't.a',
      body: 'x'.repeat(200),
      id: `${done + index}`,
    }));
    const answers = await Promise.all(batch.map((message) => patient.append(message)));
    assert.ok(answers.every(({ kind }) => kind === 'appended'));
  }
  const seen: number[] = [];
  const { promise: half, resolve } = Promise.withResolvers<void>();
  const reader = stream.read({ from: 1 }, ({ position }) => {
    if (seen.push(position) === count / 4) resolve();
  });
  await half;
  await nats.restart();
  await reader.caughtUp;
  await reader.stop();
  assertAll(seen, count);
});

test('crash: an append while the server is away is unknown, and everything works when it is back', async () => {
  stream = jetStream(connection, 'T', { timeoutMs: 300 });
  await stream.append({ subject: 't.a', body: '1', id: '1' });
  const seen: number[] = [];
  await nats.kill();
  const reader = stream.read({ from: 1 }, ({ position }) => seen.push(position));
  assert.equal((await stream.append({ subject: 't.a', body: '2', id: '2' })).kind, 'unknown');
  await assert.rejects(
    () => stream.last(),
    (error) => error instanceof NatsFault && error.retry === 'later',
  );
  await nats.restart();
  await reader.caughtUp;
  await waitFor(async () => (await stream.append({ subject: 't.a', body: '2', id: '2' })).kind === 'appended', {
    what: 'an append',
  });
  await waitFor(() => seen.length === 2, { what: 'both messages' });
  assert.deepEqual(seen, [1, 2]);
  await reader.stop();
});

test('crash: the last message before a quiet time is not missed when it was lost on the wire', async () => {
  // the library's own ordered consumer waits for the next message here, however long that takes
  const proxy = await startProxy(nats.url);
  const fragile = await connect({ servers: proxy.url, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
  const seen: number[] = [];
  const reader = jetStream(fragile, 'T').read({ from: 1 }, ({ position }) => seen.push(position));
  await stream.append({ subject: 't.a', body: '', id: '1' });
  await waitFor(() => seen.length === 1, { what: 'the first message' });
  proxy.swallow(true);
  await stream.append({ subject: 't.a', body: '', id: '2' });
  await new Promise((resolve) => setTimeout(resolve, 200));
  proxy.cut();
  proxy.swallow(false);
  await waitFor(() => seen.length === 2, { what: 'the message that was lost', timeoutMs: 5_000 });
  assert.deepEqual(seen, [1, 2]);
  await reader.stop();
  await fragile.close();
  await proxy.stop();
});

test('crash: a consumer removed behind our back is replaced', async () => {
  const manager = await jetstreamManager(connection);
  const seen: number[] = [];
  const reader = stream.read({ from: 1 }, ({ position }) => seen.push(position));
  await stream.append({ subject: 't.a', body: '', id: '1' });
  await waitFor(() => seen.length === 1, { what: 'the first message' });
  for await (const { name } of manager.consumers.list('T')) await manager.consumers.delete('T', name);
  await stream.append({ subject: 't.a', body: '', id: '2' });
  await waitFor(() => seen.length === 2, { what: 'the message after it', timeoutMs: 20_000 });
  await reader.stop();
  assert.deepEqual(seen, [1, 2]);
});

test('crash: messages of nearly a megabyte arrive, however many', async () => {
  const body = new Uint8Array(1_000_000).fill(7);
  for (let index = 0; index < 40; index++) await stream.append({ subject: 't.a', body, id: `${index}` });
  const seen: number[] = [];
  const reader = stream.read({ from: 1 }, (message) => {
    assert.equal(message.body.length, body.length);
    seen.push(message.position);
  });
  await reader.caughtUp;
  await reader.stop();
  assertAll(seen, 40);
});

test('crash: a read of a stream that is not there, or of a closed connection, ends with the reason', async () => {
  const code = (wanted: string) => (error: unknown) => error instanceof NatsFault && error.code === wanted;
  await assert.rejects(jetStream(connection, 'NONE').read({ from: 1 }, () => {}).closed, code('STREAM_NOT_FOUND'));
  const other = await nats.connect();
  const reader = jetStream(other, 'T').read({ from: 1 }, () => {});
  await reader.caughtUp;
  const closed = assert.rejects(reader.closed, code('CONNECTION_CLOSED'));
  await other.close();
  await closed;
  await assert.rejects(
    () => jetStream(other, 'T').append({ subject: 't.a', body: '', id: '1' }),
    code('CONNECTION_CLOSED'),
  );
});

test('crash: readers leave no consumers behind', async () => {
  const manager = await jetstreamManager(connection);
  for (let round = 0; round < 5; round++) {
    const reader = stream.read({ from: 1 }, () => {});
    if (round % 2 === 0) await reader.caughtUp;
    await reader.stop();
  }
  const left = async () => (await manager.streams.info('T')).state.consumer_count;
  await waitFor(async () => (await left()) === 0, { what: 'no consumers' });
});
