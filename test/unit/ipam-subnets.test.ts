import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  checkPools,
  checkSubnet,
  chooseSubnet,
  DEFAULT_IPV4_POOLS,
  holdSubnet,
  releaseSubnet,
  type SubnetSpace,
  setRoutes,
  subnetSpace,
  ulaPool,
} from '../../events/ipam.ts';
import { Journal } from '../../events/table.ts';
import { at, got, refused } from '../support/choices.ts';

const network = (id: string) => ({ kind: 'network', id, name: `name-of-${id}` });
const takeSubnet = (space: SubnetSpace, id: string, pools = DEFAULT_IPV4_POOLS): string => {
  const { subnet } = got(chooseSubnet(space, 4, pools, at(0)));
  assert.ok(holdSubnet(space, subnet, network(id)));
  return subnet;
};

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
  assert.deepEqual(got(chooseSubnet(space, 4, pools, at(150))), { subnet: '10.0.2.0/24', isEarly: true });
  assert.deepEqual(got(chooseSubnet(space, 4, pools, at(1100))), { subnet: '10.0.2.0/24', isEarly: false });
  const wide = [{ base: '10.0.0.0/22', size: 25 }];
  assert.deepEqual(got(chooseSubnet(space, 4, wide, at(9999))), { subnet: '10.0.1.0/25', isEarly: true });
  assert.equal(
    got(checkSubnet(space, '10.0.1.0/24', { overlap: false })).subnet,
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
  assert.equal(got(chooseSubnet(space, 4, pools, at(9999))).subnet, '10.0.0.0/24');
});

test('subnets that somebody names', () => {
  const space = subnetSpace(new Journal());
  const check = (text: string, overlap = false) => checkSubnet(space, text, { overlap });
  assert.deepEqual(got(check('10.1.2.0/24')), { family: 4, subnet: '10.1.2.0/24' });
  assert.deepEqual(got(check('FD00::/64')), { family: 6, subnet: 'fd00::/64' });
  assert.equal(got(check('169.254.10.0/30')).subnet, '169.254.10.0/30');
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

test('a subnet that somebody names may be in a route that does not count, and in nothing else', () => {
  const space = subnetSpace(new Journal());
  setRoutes(space, 'h1', ['10.1.0.0/24', '10.0.0.0/12', 'fd00:1::/64', '10.9.0.0/24']);
  const check = (text: string, lan: readonly string[]) => checkSubnet(space, text, { overlap: false, lan });
  const lan = ['10.1.0.0/24', '10.0.0.0/12', 'FD00:1:0:0::/64'];
  for (const text of ['10.1.0.0/24', '10.1.0.128/25', '10.2.0.0/24', 'fd00:1::/64'])
    assert.ok(check(text, lan).ok, text);
  assert.deepEqual(
    refused(check('10.1.0.0/24', lan.slice(0, 1)), 'SUBNET_OVERLAPS').culprits.map(({ id }) => id),
    ['10.0.0.0/12'],
  );
  assert.equal(refused(check('10.9.0.0/24', lan), 'SUBNET_OVERLAPS').culprits[0]?.id, '10.9.0.0/24');
  // many that do not count hide none that does
  setRoutes(
    space,
    'h1',
    Array.from({ length: 40 }, (_, n) => `10.1.0.${n * 4}/30`),
  );
  const routes = space.routes.get('h1') ?? [];
  assert.ok(check('10.1.0.0/24', routes).ok);
  holdSubnet(space, '10.1.0.252/30', network('n1'));
  assert.deepEqual(
    refused(check('10.1.0.0/24', routes), 'SUBNET_OVERLAPS').culprits.map(({ id }) => id),
    ['n1'],
  );
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
    if (!pool.base.startsWith('224'))
      refused(chooseSubnet(subnetSpace(new Journal()), 4, [pool], at(0)), 'SUBNET_POOL_EXHAUSTED');
  }
  const space = subnetSpace(new Journal());
  const pools = [ulaPool('fd12:3456:789a::/48')];
  assert.equal(got(chooseSubnet(space, 6, pools, at(0))).subnet, 'fd12:3456:789a::/64');
  holdSubnet(space, 'fd12:3456:789a::/64', network('n1'));
  assert.equal(got(chooseSubnet(space, 6, pools, at(0))).subnet, 'fd12:3456:789a:1::/64');
  refused(chooseSubnet(space, 4, pools, at(0)), 'SUBNET_POOL_EXHAUSTED');
});
