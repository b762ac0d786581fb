import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shareReads } from '../../services/nats/shared-reads.ts';
import { memoryStream } from '../support/memory-stream.ts';
import { streamSuite } from './stream.suite.ts';

streamSuite('memory, shared reads', async () => shareReads(memoryStream('T', { subjects: ['t.>'] })));

test('shared reads: whoever comes later gets every message once', async () => {
  const stream = shareReads(memoryStream('T', { subjects: ['t.>'] }));
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
  const stream = shareReads(memoryStream('T', { subjects: ['t.>'] }));
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
