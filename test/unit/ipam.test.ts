import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type AddressPool,
  addressPool,
  type Choice,
  checkAddress,
  checkPools,
  checkSubnet,
  chooseAddress,
  chooseSubnet,
  DEFAULT_IPV4_POOLS,
  holdAddress,
  holderOf,
  holdSubnet,
  ipamCodes,
  layOutSubnet,
  releaseAddress,
  releaseSubnet,
  type SubnetSpace,
  setRoutes,
  subnetSpace,
  ulaPool,
  withPrefix,
} from '../../events/ipam.ts';
import { codes, type Refusal } from '../../events/refusals.ts';
import { Journal } from '../../events/table.ts';

const at = (nowMs: number, quarantineMs = 1000) => ({ nowMs, quarantineMs });
const valueOf = <T>(choice: Choice<T>): T =>
  choice.ok ? choice.value : assert.fail(`${choice.code}: ${choice.detail}`);
const refused = <T>(choice: Choice<T> | null, code: string): Refusal => {
  if (choice === null || choice.ok) return assert.fail(`expected ${code}, got ${JSON.stringify(choice)}`);
  assert.equal(choice.code, code, choice.detail);
  assert.ok((ipamCodes as readonly string[]).includes(choice.code));
  return choice;
};

const poolOf = (subnet: string, more: { range?: string; gateway?: string; aux?: Record<string, string> } = {}) =>
  addressPool(new Journal(), { subnet, range: more.range ?? null, gateway: more.gateway ?? null, aux: more.aux ?? {} });
const endpoint = (id: string) => ({ kind: 'endpoint', id, name: `name-of-${id}` });
/** Chooses and holds, as decider and fold do. */
const take = (pool: AddressPool, id: string, nowMs = 0): string => {
  const { address } = valueOf(chooseAddress(pool, at(nowMs)));
  assert.ok(holdAddress(pool, withPrefix(pool, address), endpoint(id)));
  return address;
};
const network = (id: string) => ({ kind: 'network', id, name: `name-of-${id}` });
const takeSubnet = (space: SubnetSpace, id: string, pools = DEFAULT_IPV4_POOLS): string => {
  const { subnet } = valueOf(chooseSubnet(space, 4, pools, at(0)));
  assert.ok(holdSubnet(space, subnet, network(id)));
  return subnet;
};

test('every code is in the catalogue', () => {
  for (const code of ipamCodes) assert.ok(code in codes);
});

// ---------------------------------------------------------------- addresses

test('addresses ascend and skip gateway and auxiliary addresses', () => {
  const pool = poolOf('10.0.0.0/24', { gateway: '10.0.0.1', aux: { router: '10.0.0.3' } });
  assert.deepEqual([take(pool, 'a'), take(pool, 'b'), take(pool, 'c')], ['10.0.0.2', '10.0.0.4', '10.0.0.5']);
  assert.deepEqual(holderOf(pool, '10.0.0.3'), { kind: 'aux', id: 'router' });
  assert.deepEqual(holderOf(pool, '10.0.0.2/24'), endpoint('a'));
  assert.equal(holderOf(pool, '10.0.0.9'), null);
});

test('a released address comes back last, the one released longest ago first', () => {
  const pool = poolOf('10.0.0.0/29');
  for (const id of ['a', 'b', 'c', 'd']) take(pool, id);
  assert.ok(releaseAddress(pool, '10.0.0.3', 'c', 10));
  assert.ok(releaseAddress(pool, '10.0.0.1', 'a', 20));
  assert.deepEqual([take(pool, 'e', 5000), take(pool, 'f', 5000)], ['10.0.0.5', '10.0.0.6']);
  assert.deepEqual(valueOf(chooseAddress(pool, at(1010))), { address: '10.0.0.3', isEarly: false });
  assert.deepEqual(valueOf(chooseAddress(pool, at(1009))), { address: '10.0.0.3', isEarly: true }, 'quarantine yields');
  assert.deepEqual([take(pool, 'g', 5000), take(pool, 'h', 5000)], ['10.0.0.3', '10.0.0.1']);
  const refusal = refused(chooseAddress(pool, at(5000)), 'ADDRESS_POOL_EXHAUSTED');
  assert.deepEqual(refusal.culprits, [{ kind: 'subnet', id: '10.0.0.0/29', detail: 'held 6, size 6' }]);
});

test('a huge pool reuses what has rested once it would remember too much', () => {
  const facts = { subnet: 'fd00::/64', range: null, gateway: null, aux: {} };
  const pool = addressPool(new Journal(), facts, 2);
  for (const id of ['a', 'b', 'c']) take(pool, id);
  releaseAddress(pool, 'fd00::2', 'b', 0);
  assert.deepEqual(valueOf(chooseAddress(pool, at(5000))), { address: 'fd00::4', isEarly: false });
  releaseAddress(pool, 'fd00::1', 'a', 10);
  assert.deepEqual(valueOf(chooseAddress(pool, at(5000))), { address: 'fd00::2', isEarly: false });
  assert.deepEqual(valueOf(chooseAddress(pool, at(500))), { address: 'fd00::4', isEarly: false }, 'quarantine is kept');
});

test('automatic addresses come from the range, static ones from the whole subnet', () => {
  const pool = poolOf('10.0.0.0/24', { range: '10.0.0.252/30' });
  assert.equal(valueOf(checkAddress(pool, '10.0.0.7')), '10.0.0.7');
  holdAddress(pool, '10.0.0.7', endpoint('s'));
  assert.deepEqual([take(pool, 'a'), take(pool, 'b'), take(pool, 'c')], ['10.0.0.252', '10.0.0.253', '10.0.0.254']);
  releaseAddress(pool, '10.0.0.7', 's', 0);
  refused(chooseAddress(pool, at(9999)), 'ADDRESS_POOL_EXHAUSTED');
});

test('a static address ahead of the cursor is passed, and rests when it is released', () => {
  const pool = poolOf('10.0.0.0/29');
  for (const text of ['10.0.0.2', '10.0.0.3']) holdAddress(pool, text, endpoint('s'));
  releaseAddress(pool, '10.0.0.3', 's', 0);
  assert.deepEqual([take(pool, 'a'), take(pool, 'b')], ['10.0.0.1', '10.0.0.4']);
  assert.equal(valueOf(checkAddress(pool, '10.0.0.3')), '10.0.0.3', 'who asks for it does not wait');
});

test('static addresses are refused with a reason', () => {
  const pool = poolOf('10.0.0.0/24', { gateway: '10.0.0.1', aux: { router: '10.0.0.3' } });
  holdAddress(pool, '10.0.0.9', endpoint('e1'));
  for (const text of ['', 'web', '10.0.0', 'fd00::1', '::ffff:10.0.0.5', '10.0.0.5/24']) {
    refused(checkAddress(pool, text), 'ADDRESS_INVALID');
  }
  refused(checkAddress(pool, '10.0.1.1'), 'ADDRESS_OUTSIDE_SUBNET');
  refused(checkAddress(pool, '10.0.0.0'), 'ADDRESS_RESERVED');
  refused(checkAddress(pool, '10.0.0.255'), 'ADDRESS_RESERVED');
  const inUse = refused(checkAddress(pool, '10.0.0.9'), 'ADDRESS_IN_USE');
  assert.deepEqual(inUse.culprits, [{ kind: 'endpoint', id: 'e1', name: 'name-of-e1', detail: '10.0.0.9' }]);
  assert.equal(refused(checkAddress(pool, '10.0.0.1'), 'ADDRESS_IN_USE').culprits[0]?.kind, 'gateway');
  assert.equal(refused(checkAddress(pool, '10.0.0.3'), 'ADDRESS_IN_USE').culprits[0]?.id, 'router');
  const six = poolOf('fd00::/64');
  refused(checkAddress(six, 'fd00::'), 'ADDRESS_RESERVED');
  assert.equal(valueOf(checkAddress(six, 'FD00:0::00FF')), 'fd00::ff', 'answered in canonical text');
});

test('folds are total: what cannot be changes nothing', () => {
  const pool = poolOf('10.0.0.0/30');
  assert.ok(holdAddress(pool, '10.0.0.1/30', endpoint('a')));
  assert.ok(!holdAddress(pool, '10.0.0.1', endpoint('b')), 'held by another');
  assert.ok(!holdAddress(pool, '10.0.1.1', endpoint('b')), 'outside');
  assert.ok(!holdAddress(pool, 'nonsense', endpoint('b')));
  assert.ok(!releaseAddress(pool, '10.0.0.1', 'b', 0), 'not its own');
  assert.ok(!releaseAddress(pool, '10.0.0.2', 'a', 0), 'not held');
  assert.equal(holderOf(pool, '10.0.0.1')?.id, 'a');
  const nowhere = poolOf('10.0.0.1/24');
  assert.ok(!holdAddress(nowhere, '10.0.0.1', endpoint('a')));
  refused(chooseAddress(nowhere, at(0)), 'ADDRESS_POOL_EXHAUSTED');
});

// ---------------------------------------------------------------- layout

test('the layout of a subnet', () => {
  const lay = (subnet: string, more = {}) => layOutSubnet({ subnet, needsGateway: true, ...more });
  const plain = { family: 4, subnet: '10.0.0.0/24', range: null, gateway: '10.0.0.1', aux: {} };
  assert.deepEqual(valueOf(lay('10.0.0.0/24')), plain);
  assert.equal(valueOf(lay('10.0.0.0/24', { needsGateway: false })).gateway, null);
  assert.equal(valueOf(lay('10.0.0.0/24', { aux: { a: '10.0.0.1' } })).gateway, '10.0.0.2', 'steps aside');
  assert.equal(valueOf(lay('10.0.0.0/24', { range: '10.0.0.128/25' })).gateway, '10.0.0.128');
  assert.equal(valueOf(lay('fd00::/64', { gateway: 'FD00::00FE' })).gateway, 'fd00::fe');
  assert.ok(
    Object.hasOwn(valueOf(lay('10.0.0.0/24', { aux: JSON.parse('{"__proto__":"10.0.0.9"}') })).aux, '__proto__'),
  );
  for (const range of ['10.0.1.0/25', '10.0.0.0/23', '10.0.0.1/25', '10.0.0.0/32', 'x', 'fd00::/64']) {
    refused(lay('10.0.0.0/24', { range }), 'RANGE_INVALID');
  }
  refused(lay('10.0.0.0/24', { gateway: '10.0.0.255' }), 'ADDRESS_RESERVED');
  refused(lay('10.0.0.0/24', { gateway: '10.0.1.1' }), 'ADDRESS_OUTSIDE_SUBNET');
  refused(lay('10.0.0.0/24', { gateway: '10.0.0.5', aux: { a: '10.0.0.5' } }), 'ADDRESS_IN_USE');
  const twice = refused(lay('10.0.0.0/24', { aux: { a: '10.0.0.5', b: '10.0.0.5' } }), 'ADDRESS_IN_USE');
  assert.deepEqual(
    twice.culprits.map(({ id }) => id),
    ['b', 'a'],
  );
  refused(lay('10.0.0.0/24', { range: '10.0.0.7/32', aux: { a: '10.0.0.7' } }), 'ADDRESS_POOL_EXHAUSTED');
});

// ---------------------------------------------------------------- subnets

test('automatic subnets ascend, and skip networks and routes', () => {
  const space = subnetSpace(new Journal());
  setRoutes(space, 'h1', [
    '10.200.1.0/24',
    '10.200.2.64/26',
    '0.0.0.0/0',
    '0.0.0.0/1',
    '128.0.0.0/1',
    'fe80::/64',
    'default',
  ]);
  holdSubnet(space, '10.200.4.0/23', network('wide'));
  assert.deepEqual(
    [takeSubnet(space, 'a'), takeSubnet(space, 'b'), takeSubnet(space, 'c')],
    ['10.200.0.0/24', '10.200.3.0/24', '10.200.6.0/24'],
  );
  setRoutes(space, 'h1', ['10.200.7.0/24']);
  assert.deepEqual([takeSubnet(space, 'd'), takeSubnet(space, 'e')], ['10.200.1.0/24', '10.200.2.0/24']);
  assert.equal(takeSubnet(space, 'f'), '10.200.8.0/24');
});

test('a route over half of the pool is avoided, one over all of it is named', () => {
  const space = subnetSpace(new Journal());
  setRoutes(space, 'h1', ['10.200.0.0/15']);
  assert.equal(takeSubnet(space, 'a'), '10.202.0.0/24');
  setRoutes(space, 'h1', ['10.0.0.0/8']);
  const refusal = refused(chooseSubnet(space, 4, DEFAULT_IPV4_POOLS, at(0)), 'SUBNET_POOL_EXHAUSTED');
  assert.deepEqual(refusal.culprits[0], { kind: 'route', id: '10.0.0.0/8', name: 'h1', detail: '10.0.0.0/8' });
});

test('a released subnet comes back when no other is left, the one released longest ago first', () => {
  const space = subnetSpace(new Journal());
  const pools = [{ base: '10.0.0.0/22', size: 24 }];
  const taken = ['a', 'b', 'c', 'd'].map((id) => takeSubnet(space, id, pools));
  const refusal = refused(chooseSubnet(space, 4, pools, at(0)), 'SUBNET_POOL_EXHAUSTED');
  assert.match(refusal.detail, /all 4 subnets/);
  assert.deepEqual(
    refusal.culprits.map(({ id }) => id),
    ['a', 'b', 'c', 'd'],
  );
  assert.ok(releaseSubnet(space, taken[2] ?? '', 'c', 100));
  assert.ok(releaseSubnet(space, taken[1] ?? '', 'b', 200));
  assert.ok(!releaseSubnet(space, taken[1] ?? '', 'b', 300));
  assert.deepEqual(valueOf(chooseSubnet(space, 4, pools, at(150))), { subnet: '10.0.2.0/24', isEarly: true });
  assert.deepEqual(valueOf(chooseSubnet(space, 4, pools, at(1100))), { subnet: '10.0.2.0/24', isEarly: false });
  const wide = [{ base: '10.0.0.0/22', size: 25 }];
  assert.deepEqual(valueOf(chooseSubnet(space, 4, wide, at(9999))), { subnet: '10.0.1.0/25', isEarly: true });
  assert.equal(
    valueOf(checkSubnet(space, '10.0.1.0/24', { overlap: false })).subnet,
    '10.0.1.0/24',
    'who asks does not wait',
  );
});

test('a route on a resting subnet keeps it out, and it rests on when the route goes', () => {
  const space = subnetSpace(new Journal());
  const pools = [{ base: '10.0.0.0/23', size: 24 }];
  takeSubnet(space, 'a', pools);
  releaseSubnet(space, '10.0.0.0/24', 'a', 0);
  setRoutes(space, 'h1', ['10.0.0.0/24']);
  takeSubnet(space, 'b', pools);
  refused(chooseSubnet(space, 4, pools, at(9999)), 'SUBNET_POOL_EXHAUSTED');
  setRoutes(space, 'h1', []);
  releaseSubnet(space, '10.0.1.0/24', 'b', 5);
  assert.equal(valueOf(chooseSubnet(space, 4, pools, at(9999))).subnet, '10.0.0.0/24');
});

test('subnets that somebody names', () => {
  const space = subnetSpace(new Journal());
  const check = (text: string, overlap = false) => checkSubnet(space, text, { overlap });
  assert.deepEqual(valueOf(check('10.1.2.0/24')), { family: 4, subnet: '10.1.2.0/24' });
  assert.deepEqual(valueOf(check('FD00::/64')), { family: 6, subnet: 'fd00::/64' });
  assert.equal(valueOf(check('169.254.10.0/30')).subnet, '169.254.10.0/30');
  assert.match(refused(check('10.1.2.3/24'), 'SUBNET_INVALID').detail, /write 10\.1\.2\.0\/24/);
  const wrong = ['10.1.2.0', 'x/24', '127.0.0.0/24', '224.0.0.0/24', '0.0.0.0/0', '::/0', 'ff02::/64', 'fe80::/64'];
  for (const text of [...wrong, '10.0.0.0/31', 'fd00::/127', '::ffff:10.0.0.0/120', '0.1.0.0/16', '128.0.0.0/1']) {
    refused(check(text), 'SUBNET_INVALID');
  }
  assert.ok(checkSubnet(space, '10.0.0.0/31', { overlap: false, prefixMax: { 4: 32, 6: 128 } }).ok);
  holdSubnet(space, '10.1.0.0/16', network('n1'));
  setRoutes(space, 'h1', ['10.2.0.128/25']);
  for (const text of ['10.1.0.0/16', '10.1.7.0/24', '10.0.0.0/15']) {
    assert.deepEqual(refused(check(text), 'SUBNET_OVERLAPS').culprits, [
      { kind: 'network', id: 'n1', name: 'name-of-n1', detail: '10.1.0.0/16' },
    ]);
  }
  assert.deepEqual(
    refused(check('10.0.0.0/14'), 'SUBNET_OVERLAPS').culprits.map(({ id }) => id),
    ['n1', '10.2.0.128/25'],
  );
  assert.equal(refused(check('10.2.0.0/24'), 'SUBNET_OVERLAPS').culprits[0]?.kind, 'route');
  assert.ok(check('10.1.7.0/24', true).ok);
});

test('a subnet held twice is free when both have gone', () => {
  const space = subnetSpace(new Journal());
  assert.ok(holdSubnet(space, '10.1.0.0/16', network('n1')));
  assert.ok(holdSubnet(space, '10.1.0.0/16', network('n2')));
  assert.ok(!holdSubnet(space, '10.1.0.0/16', network('n2')));
  assert.ok(releaseSubnet(space, '10.1.0.0/16', 'n1', 0));
  refused(checkSubnet(space, '10.1.3.0/24', { overlap: false }), 'SUBNET_OVERLAPS');
  assert.ok(releaseSubnet(space, '10.1.0.0/16', 'n2', 0));
  assert.ok(checkSubnet(space, '10.1.3.0/24', { overlap: false }).ok);
  assert.ok(!holdSubnet(space, 'nonsense', network('n3')));
  assert.ok(!releaseSubnet(space, 'nonsense', 'n3', 0));
});

test('pools', () => {
  assert.equal(checkPools([...DEFAULT_IPV4_POOLS, ulaPool('fd12:3456:789a::/48')]), null);
  for (const pool of [
    { base: '10.0.0.1/8', size: 24 },
    { base: '10.0.0.0/24', size: 16 },
    { base: '10.0.0.0/24', size: 31 },
    { base: '10.0.0.0/24', size: 24.5 },
    { base: '224.0.0.0/8', size: 24 },
  ]) {
    refused(checkPools([pool]), 'SUBNET_INVALID');
  }
  const space = subnetSpace(new Journal());
  const pools = [ulaPool('fd12:3456:789a::/48')];
  assert.equal(valueOf(chooseSubnet(space, 6, pools, at(0))).subnet, 'fd12:3456:789a::/64');
  holdSubnet(space, 'fd12:3456:789a::/64', network('n1'));
  assert.equal(valueOf(chooseSubnet(space, 6, pools, at(0))).subnet, 'fd12:3456:789a:1::/64');
  refused(chooseSubnet(space, 4, pools, at(0)), 'SUBNET_POOL_EXHAUSTED');
});
