import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { sleep, systemClock } from '../../services/lib/clock.ts';

/** Lets a message arrive and a timer fall due while this process stands still. */
const standStill = async (onMessage: () => void, onTimer: () => void): Promise<() => void> => {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  socket.once('message', () => {
    socket.close();
    onMessage();
  });
  const cancel = systemClock.after(50, onTimer);
  await new Promise((resolve) => socket.send('x', socket.address().port, '127.0.0.1', resolve));
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
  return cancel;
};

describe('the clock of the system', () => {
  it('lets a timer come behind what arrived while the process stood still', async () => {
    const order: string[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    await standStill(
      () => order.push('message'),
      () => {
        order.push('timer');
        resolve();
      },
    );
    await promise;
    assert.deepEqual(order, ['message', 'timer']);
  });

  it('takes what has arrived as a reason to cancel the timer', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    let cancel = (): void => assert.fail('too early');
    cancel = await standStill(
      () => {
        cancel();
        resolve();
      },
      () => assert.fail('was cancelled'),
    );
    await promise;
    await sleep(systemClock, 20);
  });
});
