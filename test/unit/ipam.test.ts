import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type AddressPool,
  addressPool,
  checkAddress,
  chooseAddress,
  holdAddress,
  holderOf,
  ipamCodes,
  layOutSubnet,
  releaseAddress,
  withPrefix,
} from '../../events/ipam.ts';
import { codes } from '../../events/refusals.ts';
import { Journal } from '../../events/table.ts';
import { at, got, refused } from '../support/choices.ts';

const poolOf = (subnet: string, more: { range?: string; gateway?: string; aux?: Record<string, string> } = {}) =>
  addressPool(new Journal(), { subnet, range: more.range ?? null, gateway: more.gateway ?? null, aux: more.aux ?? {} });
const endpoint = (id: string) => ({ kind: 'endpoint', id, name: `name-of-${id}` });
/** Chooses and holds, as decider and fold do. */
const take = (pool: AddressPool, id: string, nowMs = 0): string => {
  const { address } = got(chooseAddress(pool, at(nowMs)));
  assert.ok(holdAddress(pool, withPrefix(pool, address), endpoint(id)));
  return address;
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
  assert.deepEqual(got(chooseAddress(pool, at(1010))), { address: '10.0.0.3', isEarly: false });
  assert.deepEqual(got(chooseAddress(pool, at(1009))), { address: '10.0.0.3', isEarly: true }, 'quarantine yields');
  assert.deepEqual([take(pool, 'g', 5000), take(pool, 'h', 5000)], ['10.0.0.3', '10.0.0.1']);
  const refusal = refused(chooseAddress(pool, at(5000)), 'ADDRESS_POOL_EXHAUSTED');
  assert.deepEqual(refusal.culprits, [{ kind: 'subnet', id: '10.0.0.0/29', detail: 'held 6, size 6' }]);
});

test('a huge pool reuses what has rested once it would remember too much', () => {
  const facts = { subnet: 'fd00::/64', range: null, gateway: null, aux: {} };
  const pool = addressPool(new Journal(), facts, 2);
  for (const id of ['a', 'b', 'c']) take(pool, id);
  releaseAddress(pool, 'fd00::2', 'b', 0);
  assert.deepEqual(got(chooseAddress(pool, at(5000))), { address: 'fd00::4', isEarly: false });
  releaseAddress(pool, 'fd00::1', 'a', 10);
  assert.deepEqual(got(chooseAddress(pool, at(5000))), { address: 'fd00::2', isEarly: false });
  assert.deepEqual(got(chooseAddress(pool, at(500))), { address: 'fd00::4', isEarly: false }, 'quarantine is kept');
});

test('automatic addresses come from the range, static ones from the whole subnet', () => {
  const pool = poolOf('10.0.0.0/24', { range: '10.0.0.252/30' });
  assert.equal(got(checkAddress(pool, '10.0.0.7')), '10.0.0.7');
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
  assert.equal(got(checkAddress(pool, '10.0.0.3')), '10.0.0.3', 'who asks for it does not wait');
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
  assert.equal(got(checkAddress(six, 'FD00:0::00FF')), 'fd00::ff', 'answered in canonical text');
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
  const plain = { family: 4, subnet: '10.0.0.0/24', range: null, gateway: '10.0.0.1', aux: {}, vni: null, pool: null };
  assert.deepEqual(got(lay('10.0.0.0/24')), plain);
  assert.equal(got(lay('10.0.0.0/24', { needsGateway: false })).gateway, null);
  assert.equal(got(lay('10.0.0.0/24', { aux: { a: '10.0.0.1' } })).gateway, '10.0.0.2', 'steps aside');
  assert.equal(got(lay('10.0.0.0/24', { range: '10.0.0.128/25' })).gateway, '10.0.0.128');
  assert.equal(got(lay('fd00::/64', { gateway: 'FD00::00FE' })).gateway, 'fd00::fe');
  assert.ok(Object.hasOwn(got(lay('10.0.0.0/24', { aux: JSON.parse('{"__proto__":"10.0.0.9"}') })).aux, '__proto__'));
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
