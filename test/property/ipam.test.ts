// Address management against models that keep everything in lists and search them from end to end.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type Cidr,
  containsCidr,
  formatCidr,
  formatIp,
  hostRange,
  lastAddress,
  overlaps,
  parseSubnet,
} from '../../events/ip.ts';
import {
  type AddressPool,
  addressPool,
  checkAddress,
  checkSubnet,
  chooseAddress,
  chooseSubnet,
  holdAddress,
  holderOf,
  holdSubnet,
  releaseAddress,
  releaseSubnet,
  type SubnetSpace,
  setRoutes,
  subnetSpace,
} from '../../events/ipam.ts';
import { Journal, Queue, Table } from '../../events/table.ts';

const cidr = (text: string): Cidr => parseSubnet(text) ?? assert.fail(text);
const quarantineMs = 50;

interface Release<T> {
  readonly of: T;
  readonly atMs: number;
}

/** Makes the model of a try, and the way back. */
const journalOps = ['begin', 'commit', 'rollback'] as const;
const journalOp = fc.constantFrom(...journalOps).map((op) => ({ op }) as const);

// ---------------------------------------------------------------- addresses

interface AddressModel {
  held: Map<bigint, string>;
  used: Set<bigint>;
  releases: Release<bigint>[];
}

function expectedAddress(
  model: AddressModel,
  pool: AddressPool,
  nowMs: number,
): { address: string; isEarly: boolean } | null {
  const inFamily = (value: bigint) => formatIp(pool.subnet.family, value);
  const rested = model.releases.find(({ atMs }) => nowMs - atMs >= quarantineMs);
  const isCrowded = model.releases.length >= pool.rememberMax;
  if (rested && isCrowded) return { address: inFamily(rested.of), isEarly: false };
  for (let value = pool.range.first; value <= pool.range.last; value++) {
    if (!model.used.has(value)) return { address: inFamily(value), isEarly: false };
  }
  if (rested) return { address: inFamily(rested.of), isEarly: false };
  const oldest = model.releases[0];
  return oldest ? { address: inFamily(oldest.of), isEarly: true } : null;
}

const addressOp = fc.oneof(
  { weight: 5, arbitrary: fc.record({ op: fc.constant('take' as const) }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('hold' as const), at: fc.integer({ min: -1, max: 16 }) }) },
  { weight: 5, arbitrary: fc.record({ op: fc.constant('release' as const), at: fc.nat(15), wrong: fc.nat(9) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('wait' as const), ms: fc.nat(100) }) },
  { weight: 2, arbitrary: journalOp },
);

const poolShape = fc.constantFrom(
  { subnet: '10.0.0.0/28', range: null },
  { subnet: '10.0.0.0/28', range: '10.0.0.8/30' },
  { subnet: '10.0.0.0/28', range: '10.0.0.12/30' },
  { subnet: '10.0.0.0/30', range: null },
  { subnet: '10.0.0.0/31', range: null },
  { subnet: '10.0.0.7/32', range: null },
  { subnet: 'fd00::/124', range: null },
  { subnet: 'fd00::/124', range: 'fd00::/126' },
  { subnet: 'fd00::2/127', range: null },
);

test('addresses: as the model, through tries that are taken back', () => {
  const setup = fc.record({ shape: poolShape, gateway: fc.boolean(), rememberMax: fc.constantFrom(1, 3, 65_536) });
  fc.assert(
    fc.property(setup, fc.array(addressOp, { maxLength: 80 }), ({ shape, gateway, rememberMax }, ops) => {
      const journal = new Journal();
      const subnet = cidr(shape.subnet);
      const first = hostRange(subnet).first;
      const facts = { ...shape, gateway: gateway ? formatIp(subnet.family, first) : null, aux: {} };
      const pool = addressPool(journal, facts, rememberMax);
      let model: AddressModel = { held: new Map(), used: new Set(), releases: [] };
      let saved: AddressModel | null = null;
      let nowMs = 0;
      let serial = 0;
      const hold = (value: bigint, id: string) => {
        const isPossible = value >= subnet.base && value <= lastAddress(subnet) && !model.held.has(value);
        assert.equal(holdAddress(pool, formatIp(subnet.family, value), { kind: 'endpoint', id }), isPossible);
        if (!isPossible) return;
        model.held.set(value, id);
        model.used.add(value);
        model.releases = model.releases.filter(({ of }) => of !== value);
      };
      if (gateway) {
        model.held.set(first, facts.gateway ?? '');
        model.used.add(first);
      }
      const run = (op: (typeof ops)[number]) => {
        nowMs += 1;
        serial += 1;
        if (op.op === 'wait') nowMs += op.ms;
        if (op.op === 'begin' && !saved) {
          journal.begin();
          saved = structuredClone(model);
        }
        if (op.op === 'commit' && saved) {
          journal.commit();
          saved = null;
        }
        if (op.op === 'rollback' && saved) {
          journal.rollback();
          model = saved;
          saved = null;
        }
        if (op.op === 'hold') hold(subnet.base + BigInt(op.at), `e${serial}`);
        if (op.op === 'take') {
          const choice = chooseAddress(pool, { nowMs, quarantineMs });
          if (choice.ok) hold(parse(choice.value.address), `e${serial}`);
        }
        if (op.op === 'release') {
          const value = subnet.base + BigInt(op.at);
          const id = op.wrong === 0 ? 'nobody' : (model.held.get(value) ?? 'nobody');
          const isPossible = id !== 'nobody';
          assert.equal(releaseAddress(pool, formatIp(subnet.family, value), id, nowMs), isPossible);
          if (!isPossible) return;
          model.held.delete(value);
          if (value >= pool.range.first && value <= pool.range.last) model.releases.push({ of: value, atMs: nowMs });
        }
      };
      for (const op of ops) {
        run(op);
        const choice = chooseAddress(pool, { nowMs, quarantineMs });
        assert.deepEqual(choice.ok ? choice.value : null, expectedAddress(model, pool, nowMs));
        if (choice.ok) assert.ok(checkAddress(pool, choice.value.address).ok, 'what is chosen could be asked for');
        for (let value = subnet.base; value <= lastAddress(subnet); value++) {
          const id = holderOf(pool, formatIp(subnet.family, value))?.id ?? null;
          assert.equal(id, model.held.get(value) ?? null);
        }
      }
    }),
    { numRuns: 1000 },
  );
});

const parse = (text: string): bigint => cidr(`${text}/${text.includes(':') ? 128 : 32}`).base;

// ---------------------------------------------------------------- subnets

interface SubnetModel {
  held: { kind: string; id: string; at: string }[];
  releases: Release<string>[];
  routes: Map<string, string[]>;
}

function* blocksOf(pool: { base: string; size: number }): Iterable<Cidr> {
  const base = cidr(pool.base);
  const bits = base.family === 4 ? 32 : 128;
  for (let start = base.base; start <= lastAddress(base); start += 1n << BigInt(bits - pool.size)) {
    yield { family: base.family, base: start, prefix: pool.size };
  }
}

function expectedSubnet(model: SubnetModel, pools: readonly { base: string; size: number }[], nowMs: number) {
  const isHeld = (block: Cidr) => model.held.some(({ at }) => overlaps(cidr(at), block));
  const isResting = (block: Cidr) => model.releases.some(({ of }) => overlaps(cidr(of), block));
  const blocks = pools.flatMap((pool) => [...blocksOf(pool)]);
  const unused = blocks.find((block) => !isHeld(block) && !isResting(block));
  if (unused) return { subnet: formatCidr(unused), isEarly: false };
  const fits = ({ of }: Release<string>) => blocks.some((block) => formatCidr(block) === of) && !isHeld(cidr(of));
  const oldest = model.releases.find(fits);
  if (oldest) return { subnet: oldest.of, isEarly: nowMs - oldest.atMs < quarantineMs };
  const free = blocks.find((block) => !isHeld(block));
  return free ? { subnet: formatCidr(free), isEarly: true } : null;
}

/** Blocks in and around the pools of the test. */
const block = fc.tuple(fc.constantFrom(24, 25, 26, 27, 28, 29, 30), fc.nat(255)).map(([prefix, host]) => {
  const size = 2 ** (32 - prefix);
  return `10.0.0.${Math.floor(host / size) * size}/${prefix}`;
});

const subnetOp = fc.oneof(
  { weight: 6, arbitrary: fc.record({ op: fc.constant('take' as const) }) },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('hold' as const), at: block, overlap: fc.boolean() }) },
  { weight: 6, arbitrary: fc.record({ op: fc.constant('release' as const), pick: fc.nat(), wrong: fc.nat(9) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constant('routes' as const),
      host: fc.constantFrom('h1', 'h2'),
      at: fc.array(block, { maxLength: 3 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('wait' as const), ms: fc.nat(100) }) },
  { weight: 2, arbitrary: journalOp },
);

const poolLists = fc.constantFrom(
  [{ base: '10.0.0.0/26', size: 28 }],
  [
    { base: '10.0.0.64/26', size: 28 },
    { base: '10.0.0.0/27', size: 30 },
  ],
  [
    { base: '10.0.0.128/28', size: 28 },
    { base: '10.0.0.128/27', size: 29 },
  ],
);

function compareSubnets(
  space: SubnetSpace,
  model: SubnetModel,
  pools: { base: string; size: number }[],
  nowMs: number,
): void {
  const choice = chooseSubnet(space, 4, pools, { nowMs, quarantineMs });
  assert.deepEqual(choice.ok ? choice.value : null, expectedSubnet(model, pools, nowMs));
  for (const text of ['10.0.0.0/24', '10.0.0.16/28', '10.0.0.68/30', '10.0.0.192/26']) {
    const check = checkSubnet(space, text, { overlap: false });
    const expected = model.held.filter(({ at }) => overlaps(cidr(at), cidr(text))).map(({ id, at }) => `${id} ${at}`);
    const found = check.ok ? [] : check.culprits.map(({ id, detail }) => `${id} ${detail}`);
    assert.equal(found.length, Math.min(expected.length, 10));
    for (const culprit of found) assert.ok(expected.includes(culprit), culprit);
  }
}

test('subnets: as the model, through tries that are taken back', () => {
  fc.assert(
    fc.property(poolLists, fc.array(subnetOp, { maxLength: 60 }), (pools, ops) => {
      const journal = new Journal();
      const space = subnetSpace(journal);
      let model: SubnetModel = { held: [], releases: [], routes: new Map() };
      let saved: SubnetModel | null = null;
      let nowMs = 0;
      let serial = 0;
      const hold = (at: string) => {
        assert.ok(holdSubnet(space, at, { kind: 'network', id: `n${serial}` }));
        model.held.push({ kind: 'network', id: `n${serial}`, at });
        model.releases = model.releases.filter(({ of }) => of !== at);
      };
      const release = (pick: number, isWrong: boolean) => {
        const networks = model.held.filter(({ kind }) => kind === 'network');
        const victim = networks[pick % networks.length];
        if (!victim) return;
        assert.equal(releaseSubnet(space, victim.at, isWrong ? 'nobody' : victim.id, nowMs), !isWrong);
        if (isWrong) return;
        model.held = model.held.filter((other) => other !== victim);
        const isLast = !model.held.some(({ kind, at }) => kind === 'network' && at === victim.at);
        if (isLast) model.releases.push({ of: victim.at, atMs: nowMs });
      };
      const run = (op: (typeof ops)[number]) => {
        nowMs += 1;
        serial += 1;
        if (op.op === 'wait') nowMs += op.ms;
        if (op.op === 'begin' && !saved) {
          journal.begin();
          saved = structuredClone(model);
        }
        if (op.op === 'commit' && saved) {
          journal.commit();
          saved = null;
        }
        if (op.op === 'rollback' && saved) {
          journal.rollback();
          model = saved;
          saved = null;
        }
        if (op.op === 'take') {
          const choice = chooseSubnet(space, 4, pools, { nowMs, quarantineMs });
          if (choice.ok) {
            assert.ok(checkSubnet(space, choice.value.subnet, { overlap: false }).ok);
            assert.ok(pools.some(({ base }) => containsCidr(cidr(base), cidr(choice.value.subnet))));
            hold(choice.value.subnet);
          }
        }
        if (op.op === 'hold' && checkSubnet(space, op.at, { overlap: op.overlap }).ok) hold(op.at);
        if (op.op === 'release') release(op.pick, op.wrong === 0);
        if (op.op === 'routes') {
          setRoutes(space, op.host, op.at);
          model.held = model.held.filter(({ kind, id }) => kind !== 'route' || !id.startsWith(op.host));
          for (const at of new Set(op.at)) model.held.push({ kind: 'route', id: `${op.host} ${at}`, at });
        }
      };
      for (const op of ops) {
        run(op);
        // A route's culprit bears the route as its id and the host as its name.
        const held = model.held.map(({ kind, id, at }) => ({ kind, id: kind === 'route' ? at : id, at }));
        compareSubnets(space, { ...model, held }, pools, nowMs);
      }
    }),
    { numRuns: 600 },
  );
});

// ---------------------------------------------------------------- cost

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
  const rounds = 20_000;
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
    // One address that is held and released for ever, behind one that stays released.
    for (let i = 0; i < rounds; i++) {
      holdAddress(pool, '10.200.0.1', { kind: 'endpoint', id: 's' });
      releaseAddress(pool, '10.200.0.1', 's', i);
    }
  });
  assert.ok(steps < 5 * rounds * 20, `${steps} steps for ${4.5 * rounds} operations`);
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

test('subnets: so many are remembered as released, and no more', () => {
  const space = subnetSpace(new Journal());
  const pools = [{ base: '10.0.0.0/8', size: 28 }];
  for (let i = 0; i < 5000; i++) {
    const choice = chooseSubnet(space, 4, pools, { nowMs: i, quarantineMs });
    const { subnet, isEarly } = choice.ok ? choice.value : assert.fail(choice.detail);
    assert.equal(isEarly, false);
    assert.equal(
      subnet,
      formatIp(4, cidr('10.0.0.0/8').base + BigInt((i % 4097) * 16)) + '/28',
      'the oldest is forgotten first',
    );
    holdSubnet(space, subnet, { kind: 'network', id: 'n' });
    releaseSubnet(space, subnet, 'n', i);
  }
  assert.equal(space.families[4].releases.size, 4096);
});
