import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { Spares, sparesBytes } from '../../drivers/kernel/spares.ts';

const spare = (number: number) => ({ descriptor: number, route: number + 1, udp: number + 2, tcp: -1 });

test('spares come out as they went in, as many as there is room for', () => {
  const spares = new Spares(new SharedArrayBuffer(sparesBytes));
  assert.equal(spares.take(), null);
  let [made, taken] = [0, 0];
  for (const takes of [3, 8, 1, 5, 8, 8]) {
    while (!spares.isFull) spares.put(spare(10 * made++));
    for (let count = 0; count < takes; count++) assert.deepEqual(spares.take(), spare(10 * taken++));
    assert.equal(spares.count, made - taken);
  }
  assert.equal(spares.take(), null);
});

test('they are few before there are none', () => {
  const spares = new Spares(new SharedArrayBuffer(sparesBytes));
  while (!spares.isFull) spares.put(spare(1));
  assert.equal(spares.areFew, false);
  while (!spares.areFew) spares.take();
  assert.ok(spares.count > 0);
});

/** Makes numbers from 0 on; of each seventh it says that it cannot be made now. */
const maker = `
  import { workerData } from 'node:worker_threads';
  const { Spares } = await import(workerData.module);
  let [tries, made] = [0, 0];
  new Spares(workerData.shared).serve(() => (++tries % 7 === 0 ? null : { descriptor: made++, route: 0, udp: 0, tcp: 0 }));
`;

test('another thread makes them when it is called, and ends when it is over', async () => {
  const shared = new SharedArrayBuffer(sparesBytes);
  const spares = new Spares(shared);
  const module = new URL('../../drivers/kernel/spares.ts', import.meta.url).href;
  const source = new URL(`data:text/javascript,${encodeURIComponent(maker)}`);
  const thread = new Worker(source, { workerData: { shared, module } });
  const exit = once(thread, 'exit');
  for (let next = 0; next < 2_000; ) {
    const taken = spares.take();
    if (taken === null) {
      spares.call();
      await new Promise((resolve) => setImmediate(resolve));
    } else {
      assert.equal(taken.descriptor, next++);
    }
  }
  spares.end();
  assert.deepEqual(await exit, [0]);
});
