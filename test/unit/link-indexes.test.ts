// Which interface indexes links are made with: unused ones, and the lowest again behind the last that there is.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freeIndexes, skipIndexes, takeIndex } from '../../drivers/kernel/host.ts';
import type { NetlinkSocket } from '../../drivers/kernel/netlink.ts';

const [lowest, top, million] = [0x10000000, 0x7fffffff, 1 << 20];
const links = (...indexes: readonly number[]) => indexes.map((index) => ({ index }));

test('a million unused ones, from the first that is wished for', () => {
  const first = lowest + 5;
  assert.deepEqual(freeIndexes(first, links(1, 2)), { index: first, indexEnd: first + million });
  assert.equal(freeIndexes(first, links(first + 7, 1, first + 3)).index, first + 8);
  assert.equal(freeIndexes(first, links(first - 1, first + million)).index, first);
});

test('behind the last of all it goes on with the lowest of ours that are unused', () => {
  assert.equal(freeIndexes(top - million, links(1)).index, top - million);
  for (const first of [top - million + 1, top, top + million]) {
    assert.deepEqual(freeIndexes(first, links(1)), { index: lowest, indexEnd: lowest + million });
    assert.equal(freeIndexes(first, links(lowest + 9)).index, lowest + 10);
  }
});

test('where links are left everywhere, as many as there is place for', () => {
  const step = 500_000;
  const left = Array.from({ length: Math.ceil((top - lowest) / step) }, (_, n) => ({ index: lowest + n * step }));
  const { index, indexEnd } = freeIndexes(lowest + 10, left);
  assert.deepEqual([index, indexEnd - index], [lowest + 10, 262_144]);
});

test('one is taken after the other, over the end, and never one that a link has', () => {
  let looks = 0;
  const used = links(1, lowest, lowest + 2);
  const route = { dump: () => [looks++, used][1] } as unknown as NetlinkSocket;
  const host = { route, index: top - 3, indexEnd: top };
  const taken = Array.from({ length: 5 }, () => takeIndex(host));
  assert.deepEqual(taken, [top - 3, top - 2, top - 1, lowest + 3, lowest + 4]);
  assert.equal(looks, 1);
  skipIndexes(host);
  assert.equal(takeIndex(host), lowest + 5 + million);
  host.index = host.indexEnd - 1;
  assert.equal(takeIndex(host) + 1, takeIndex(host), 'there is more behind it');
  assert.equal(looks, 3);
});
