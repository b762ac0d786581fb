// What address management costs, and what it remembers, however large pools and subnets are.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Cidr, formatIp, parseSubnet } from '../../events/ip.ts';
import {
  addressPool,
  checkSubnet,
  chooseAddress,
  chooseSubnet,
  holdAddress,
  holdSubnet,
  releaseAddress,
  releaseSubnet,
  subnetSpace,
} from '../../events/ipam.ts';
import { Journal, Queue, Table } from '../../events/table.ts';

const cidr = (text: string): Cidr => parseSubnet(text) ?? assert.fail(text);
const quarantineMs = 50;

/** How many steps on tables and queues a piece of work takes: a cost that no slow machine falsifies. */
function stepsOf(work: () => void): number {
  let steps = 0;
  const counted = [
    [Table.prototype, ['get', 'has', 'set', 'delete']],
    [Queue.prototype, ['at', 'push', 'shift']],
  ] as const;
  const undo: (() => void)[] = [];
  for (const [target, names] of counted) {
    for (const name of names) {
      const original = Object.getOwnPropertyDescriptor(target, name) ?? assert.fail(name);
      undo.push(() => Object.defineProperty(target, name, original));
      const counting = function (this: unknown, ...args: unknown[]) {
        steps += 1;
        return original.value.apply(this, args);
      };
      Object.defineProperty(target, name, { ...original, value: counting });
    }
  }
  try {
    work();
  } finally {
    for (const restore of undo) restore();
  }
  return steps;
}

test('addresses: the cost of a take or a release does not grow with the subnet or with what is held', () => {
  const facts = { subnet: '10.0.0.0/8', range: null, gateway: '10.0.0.1', aux: {} };
  let pool = addressPool(new Journal(), facts);
  assert.ok(stepsOf(() => (pool = addressPool(new Journal(), facts))) < 20, 'nothing is laid out in advance');
  const rounds = 5000;
  const steps = stepsOf(() => {
    // Everything ahead of the cursor is held by somebody who asked for it, and half of it released again.
    for (let i = 0; i < rounds; i++)
      holdAddress(pool, formatIp(4, pool.subnet.base + 2n + BigInt(2 * i)), { kind: 'endpoint', id: 's' });
    for (let i = 0; i < rounds; i += 2)
      releaseAddress(pool, formatIp(4, pool.subnet.base + 2n + BigInt(2 * i)), 's', i);
    for (let i = 0; i < rounds; i++) {
      const choice = chooseAddress(pool, { nowMs: i, quarantineMs });
      if (choice.ok) holdAddress(pool, choice.value.address, { kind: 'endpoint', id: 'd' });
    }
  });
  assert.ok(steps < 3.5 * rounds * 20, `${steps} steps for ${3.5 * rounds} operations`);
});

test('addresses: one that is held and released for ever, behind one that stays released, leaves nothing behind', () => {
  const pool = addressPool(new Journal(), { subnet: '10.0.0.0/8', range: null, gateway: null, aux: {} });
  for (let i = 0; i < 5000; i++) {
    for (const address of i === 0 ? ['10.0.0.1', '10.0.0.2'] : ['10.0.0.2']) {
      holdAddress(pool, address, { kind: 'endpoint', id: 'e' });
      releaseAddress(pool, address, 'e', i);
    }
  }
  const steps = stepsOf(() => assert.equal([...pool.releases.oldestFirst()].length, 2));
  assert.ok(steps < 200, `${steps} steps to walk through two releases`);
});

for (const [name, pools] of [
  ['4, in /24', [{ base: '10.0.0.0/8', size: 24 }]],
  ['4, in a million blocks', [{ base: '10.0.0.0/8', size: 28 }]],
  ['6, in /64', [{ base: 'fd00:1:2::/48', size: 64 }]],
] as const) {
  test(`subnets: 10,000 networks cost a walk between root and leaf each (IPv${name})`, () => {
    const family = name.startsWith('4') ? 4 : 6;
    const space = subnetSpace(new Journal());
    const size = pools[0].size;
    let worst = 0;
    for (let i = 0; i < 10_000; i++) {
      const steps = stepsOf(() => {
        const choice = chooseSubnet(space, family, pools, { nowMs: i, quarantineMs });
        const { subnet } = choice.ok ? choice.value : assert.fail(choice.detail);
        assert.ok(holdSubnet(space, subnet, { kind: 'network', id: `n${i}` }));
        // Every third goes again: holes all over.
        if (i % 3 === 0) releaseSubnet(space, subnet, `n${i}`, i);
      });
      worst = Math.max(worst, steps);
    }
    assert.ok(worst < 16 * size, `${worst} steps`);
    const refusing = stepsOf(() => checkSubnet(space, pools[0].base, { overlap: false }));
    assert.ok(refusing < 16 * size, `${refusing} steps to name the culprits`);
  });
}

test('subnets: culprits are found past any number of resting subnets', () => {
  const space = subnetSpace(new Journal());
  for (let i = 0; i < 4000; i++) {
    const subnet = `10.${i >> 8}.${i & 255}.0/24`;
    holdSubnet(space, subnet, { kind: 'network', id: 'n' });
    if (i < 3999) releaseSubnet(space, subnet, 'n', i);
  }
  const steps = stepsOf(() => {
    const check = checkSubnet(space, '10.0.0.0/8', { overlap: false });
    assert.deepEqual(check.ok || check.culprits.map(({ detail }) => detail), ['10.15.159.0/24']);
  });
  assert.ok(steps < 200, `${steps} steps`);
});

test('subnets: so many are remembered as released, and no more', () => {
  const space = subnetSpace(new Journal());
  const pools = [{ base: '10.0.0.0/8', size: 28 }];
  for (let i = 0; i < 5000; i++) {
    const choice = chooseSubnet(space, 4, pools, { nowMs: i, quarantineMs });
    const { subnet, isEarly } = choice.ok ? choice.value : assert.fail(choice.detail);
    assert.equal(isEarly, false);
    assert.equal(
      subnet,
      `${formatIp(4, cidr('10.0.0.0/8').base + BigInt((i % 4097) * 16))}/28`,
      'the oldest is forgotten first',
    );
    holdSubnet(space, subnet, { kind: 'network', id: 'n' });
    releaseSubnet(space, subnet, 'n', i);
  }
  assert.equal(space.families[4].releases.size, 4096);
});
