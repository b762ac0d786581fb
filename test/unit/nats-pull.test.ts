// When a reader asks the server for more: before what it asked for last is used up, by number or by bytes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JetStreamManager } from '@nats-io/jetstream';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { PullSession } from '../../services/nats/pull-session.ts';

/** A session, the batches that it has asked for, and what delivers it the next message. */
const opened = async () => {
  const batches: number[] = [];
  let receive: (error: Error | null, msg: Msg) => void = () => {};
  let sent = 0;
  const connection = {
    subscribe: (_inbox: string, { callback }: { callback: typeof receive }) => {
      receive = callback;
      return { unsubscribe: () => {} };
    },
    publish: (_subject: string, body: string) => batches.push(JSON.parse(body).batch),
  } as unknown as NatsConnection;
  const manager = { consumers: { add: async () => ({ num_pending: 9_999 }) } } as unknown as JetStreamManager;
  const handlers = { message: () => {}, idle: () => {}, broken: assert.fail, refused: () => assert.fail() };
  await new PullSession(connection, 'LOG', 'read', handlers).open(manager, { from: 1 });
  const deliver = (bytes: number, count: number): void => {
    for (let n = 0; n < count; n++) {
      sent += 1;
      const reply = `$JS.ACK.LOG.read.1.${sent}.${sent}.1700000000000000000.9`;
      receive(null, { reply, data: new Uint8Array(bytes) } as Msg);
    }
  };
  return { batches, deliver };
};

test('a request for more goes out when a quarter of the messages is left', async () => {
  const { batches, deliver } = await opened();
  deliver(10, 1_499);
  assert.deepEqual(batches, [2_000]);
  deliver(10, 1);
  assert.deepEqual(batches, [2_000, 1_500]);
});

test('a request for more goes out when a quarter of the bytes is left', async () => {
  const { batches, deliver } = await opened();
  deliver(1024 * 1024, 11);
  assert.deepEqual(batches, [2_000]);
  deliver(1024 * 1024, 1);
  assert.deepEqual(batches, [2_000, 12]);
  deliver(1024 * 1024, 12);
  assert.deepEqual(batches, [2_000, 12, 12]);
});
