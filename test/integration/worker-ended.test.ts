// A worker that cannot go on: it stops at once, whatever of its reports is still on the way.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inFrontOf } from '../../services/lib/stream.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { host, memoryStreams, realm, System } from '../support/system.ts';
import { until } from '../support/world.ts';

test('a worker whose reader has ended does not wait for a report that nobody acknowledges', async () => {
  const streams = memoryStreams();
  const ended = Promise.withResolvers<void>();
  ended.promise.catch(() => undefined);
  let [isMute, asked] = [false, 0];
  const log = inFrontOf(streams.log, {
    read: (options, onMessage) => {
      const reader = streams.log.read(options, onMessage);
      const closed = Promise.race([reader.closed, ended.promise]);
      return { caughtUp: reader.caughtUp, closed, stop: () => reader.stop() };
    },
    append: (message) => {
      if (!isMute) return streams.log.append(message);
      asked += 1;
      return new Promise(() => undefined);
    },
  });
  const kernel = memoryKernel(new MemoryMachine(), { realm, host });
  const system = new System({ ...streams, kernel, runDir: '/run/cnm-test' });
  await system.startController();
  // this clock stands still: who waits for any time to pass waits for ever
  const worker = await system.startWorker({ log, clock: new FakeClock() });
  isMute = true;
  const { first } = system.send('CreateNetwork', { name: 'web', driver: 'null' });
  await first;
  await until(() => asked > 0, 'a report');
  ended.reject(new Error('the reader has ended'));
  await assert.rejects(worker.failed, /the reader has ended/);
  let isStopped = false;
  void worker.stop().then(() => {
    isStopped = true;
  });
  await until(() => isStopped, 'the worker stops');
  await system.stop();
});
