// Subnets against a model that keeps everything in lists and searches them from end to end.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Cidr, containsCidr, formatCidr, lastAddress, overlaps } from '../../events/ip.ts';
import {
  checkSubnet,
  chooseSubnet,
  holdSubnet,
  releaseSubnet,
  type SubnetPool,
  type SubnetSpace,
  setRoutes,
  subnetSpace,
} from '../../events/ipam.ts';
import { Journal } from '../../events/table.ts';
import { cidr, journalOp, type Release } from '../support/choices.ts';

const quarantineMs = 50;

interface SubnetModel {
  held: { kind: string; id: string; at: string }[];
  releases: Release<string>[];
  routes: Map<string, string[]>;
}

function* blocksOf(pool: SubnetPool): Iterable<Cidr> {
  const base = cidr(pool.base);
  const bits = base.family === 4 ? 32 : 128;
  for (let start = base.base; start <= lastAddress(base); start += 1n << BigInt(bits - pool.size)) {
    yield { family: base.family, base: start, prefix: pool.size };
  }
}

function expectedSubnet(model: SubnetModel, pools: readonly SubnetPool[], nowMs: number) {
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

function compareSubnets(space: SubnetSpace, model: SubnetModel, pools: readonly SubnetPool[], nowMs: number): void {
  const choice = chooseSubnet(space, 4, pools, { nowMs, quarantineMs });
  assert.deepEqual(choice.ok ? choice.value : null, expectedSubnet(model, pools, nowMs));
  assert.equal(space.families[4].releases.size, model.releases.length);
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
    fc.property(poolLists, fc.array(subnetOp, { maxLength: 60, size: 'max' }), (pools, ops) => {
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
