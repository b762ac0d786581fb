import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chainHash } from '../../services/lib/hash.ts';
import type { Message } from '../../services/lib/stream.ts';
import { mostly, shareReads } from '../../services/nats/shared-reads.ts';
import { memoryStream } from '../support/memory-stream.ts';
import { streamSuite } from './stream.suite.ts';

const always = (): boolean => true;

streamSuite('memory, shared by who acts', async () =>
  shareReads(memoryStream('T', { subjects: ['t.>'] })).acting(always),
);
streamSuite('memory, shared by who keeps', async () => shareReads(memoryStream('T', { subjects: ['t.>'] })).keeping);

test('shared reads: whoever comes later gets every message once', async () => {
  const stream = shareReads(memoryStream('T', { subjects: ['t.>'] })).acting(always);
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

test('shared reads: who acts gets an own append with its acknowledgement, once, and as it is stored', async () => {
  const memory = memoryStream('T', { subjects: ['t.>'] });
  const read = memory.read.bind(memory);
  const late: (() => void)[] = [];
  memory.read = (options, onMessage) =>
    read(options, (message) => (message.position === 1 ? onMessage(message) : late.push(() => onMessage(message))));
  const { acting: actingOn, keeping } = shareReads(memory);
  const acting = actingOn(always);
  const seen: Message[] = [];
  const kept: Message[] = [];
  const actor = acting.read({ from: 1 }, (message) => seen.push(message));
  const keeper = keeping.read({ from: 1 }, (message) => kept.push(message));
  await acting.append({ subject: 't.a', body: 'first', id: '1' });
  const headers = { 'Content-Type': 'text/plain ', 'Cnm-Prev-Hash': 'x' };
  await acting.append({ subject: 't.b', body: 'second', id: '2', expectedLast: 0, headers });
  assert.deepEqual(
    seen.map(({ position }) => position),
    [1, 2],
  );
  const ahead = seen[1];
  assert.ok(ahead);
  ahead.decoded = [];
  await memory.last();
  for (const deliver of late) deliver();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(seen.length, 2);
  const [, stored] = kept;
  assert.ok(stored);
  assert.equal(chainHash(ahead), chainHash(stored));
  assert.equal(ahead.header('Cnm-Prev-Hash'), 'x');
  assert.equal(stored.decoded, ahead.decoded, 'decoded once for both');
  await Promise.all([actor.stop(), keeper.stop()]);
});

test('shared reads: what was acknowledged and is not stored ends the reads', async () => {
  const memory = memoryStream('T', { subjects: ['t.>'] });
  const { acting: actingOn, appended } = shareReads(memory);
  const acting = actingOn(always);
  const actor = acting.read({ from: 1 }, () => undefined);
  const failed = assert.rejects(actor.closed, /does not hold message 1 as it was read/);
  appended({ subject: 't.a', body: 'one thing', id: '1' }, 1);
  await memory.append({ subject: 't.a', body: 'another', id: '1' });
  await failed;
});

test('shared reads: a callback that throws ends its own read alone', async () => {
  const stream = shareReads(memoryStream('T', { subjects: ['t.>'] })).acting(always);
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
  const { acting: actingOn, keeping } = shareReads(memoryStream('T', { subjects: ['t.>'] }));
  const acting = actingOn(always);
  const order: string[] = [];
  const keeper = keeping.read({ from: 1 }, ({ position }) => order.push(`keeps ${position}`));
  const actor = mostly(acting)({ from: 1, subjects: ['t.a'] }, ({ position }) => order.push(`acts ${position}`));
  const wide: number[] = [];
  const under = mostly(acting)({ from: 1, subjects: ['t.b', 't.a.>'] }, ({ position }) => wide.push(position));
  await acting.append({ subject: 't.a', body: '', id: '1' });
  await acting.append({ subject: 't.b', body: '', id: '2' });
  await acting.last();
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(
    order.filter((line) => line.endsWith('1')),
    ['acts 1', 'keeps 1'],
  );
  assert.ok(order.includes('keeps 2') && !order.includes('acts 2'));
  await acting.append({ subject: 't.a.c', body: '', id: '3' });
  await acting.last();
  assert.deepEqual(wide, [2, 3], 'filters may have wildcards');
  await under.stop();
  await keeper.stop();
  await actor.stop();
});

test('shared reads: what somebody acts on comes at once, behind all that came before; the rest in the next turn', async () => {
  const { acting } = shareReads(memoryStream('T', { subjects: ['t.>'] }));
  const order: string[] = [];
  const stream = acting((subject) => subject === 't.a');
  const one = stream.read({ from: 1 }, ({ position }) => order.push(`a ${position}`));
  const other = acting((subject) => subject === 't.b').read({ from: 1 }, ({ position }) => order.push(`b ${position}`));
  await stream.append({ subject: 't.a', body: '', id: '1' });
  assert.deepEqual(order, ['a 1']);
  await stream.append({ subject: 't.b', body: '', id: '2' });
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(order, ['a 1', 'b 1', 'b 2', 'a 2']);
  await Promise.all([one.stop(), other.stop()]);
});
