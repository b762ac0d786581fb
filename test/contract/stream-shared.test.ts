import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mostly, shareReads } from '../../services/nats/shared-reads.ts';
import { memoryStream } from '../support/memory-stream.ts';
import { streamSuite } from './stream.suite.ts';

streamSuite('memory, shared by who acts', async () => shareReads(memoryStream('T', { subjects: ['t.>'] })).acting);
streamSuite('memory, shared by who keeps', async () => shareReads(memoryStream('T', { subjects: ['t.>'] })).keeping);

test('shared reads: whoever comes later gets every message once', async () => {
  const stream = shareReads(memoryStream('T', { subjects: ['t.>'] })).acting;
  const total = 3_000;
  const append = async (index: number) => stream.append({ subject: 't.a', body: '', id: String(index) });
  const first: number[] = [];
  const late: number[] = [];
  const feed = stream.read({ from: 1 }, ({ position }) => first.push(position));
  for (let index = 0; index < total; index++) await append(index);
  await feed.caughtUp;
  const follower = stream.read({ from: 1 }, ({ position }) => late.push(position));
  for (let index = total; index < total + 100; index++) await append(index);
  await follower.caughtUp;
  for (let index = total + 100; index < total + 200; index++) await append(index);
  await stream.last();
  const all = Array.from({ length: total + 200 }, (_, index) => index + 1);
  assert.deepEqual(first, all);
  assert.deepEqual(late, all);
  await feed.stop();
  await append(total + 200);
  await stream.last();
  assert.equal(late.length, total + 201);
  await follower.stop();
});

test('shared reads: a callback that throws ends its own read alone', async () => {
  const stream = shareReads(memoryStream('T', { subjects: ['t.>'] })).acting;
  const seen: number[] = [];
  const good = stream.read({ from: 1 }, ({ position }) => seen.push(position));
  const bad = stream.read({ from: 1 }, () => {
    throw new Error('poison');
  });
  const failed = assert.rejects(bad.closed, /poison/);
  await stream.append({ subject: 't.a', body: '', id: '1' });
  await stream.append({ subject: 't.a', body: '', id: '2' });
  await stream.last();
  await failed;
  assert.deepEqual(seen, [1, 2]);
  await good.stop();
});

test('shared reads: who acts is served before who keeps, and exact subjects come from the feed', async () => {
  const { acting, keeping } = shareReads(memoryStream('T', { subjects: ['t.>'] }));
  const order: string[] = [];
  const keeper = keeping.read({ from: 1 }, ({ position }) => order.push(`keeps ${position}`));
  const actor = mostly(acting)({ from: 1, subjects: ['t.a'] }, ({ position }) => order.push(`acts ${position}`));
  await acting.append({ subject: 't.a', body: '', id: '1' });
  await acting.append({ subject: 't.b', body: '', id: '2' });
  await acting.last();
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(
    order.filter((line) => line.endsWith('1')),
    ['acts 1', 'keeps 1'],
  );
  assert.ok(order.includes('keeps 2') && !order.includes('acts 2'));
  await keeper.stop();
  await actor.stop();
});
