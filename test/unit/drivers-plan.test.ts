// The planner: what must be done so that what is there becomes what should be.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type KernelObject, objectKey } from '../../drivers/objects.ts';
import { diff, printPlan } from '../../drivers/plan.ts';
import type { Operation } from '../../drivers/port.ts';

const id = fc.constantFrom('id0000000001', 'id0000000002');
const tag = (entity: 'network' | 'endpoint' | 'sandbox') =>
  id.map((one) => ({ realm: 'r', host: 'h', entity, id: one }));
const netns = fc.constantFrom('/run/a', '/run/b');
const mtu = fc.constantFrom(1500, 1400);
const addresses = fc.constantFrom(['10.0.0.2/24'], ['10.0.0.2/24', 'fd00::2/64'], []);

const object: fc.Arbitrary<KernelObject> = fc.oneof(
  fc.record({ kind: fc.constant('netns' as const), path: netns, owned: fc.boolean(), tag: tag('sandbox') }),
  fc.record({
    kind: fc.constant('bridge' as const),
    name: fc.constantFrom('br0', 'br1', 'x0'),
    mac: fc.constantFrom('02:00:00:00:00:01', '02:00:00:00:00:02'),
    mtu,
    addresses,
    routed: fc.boolean(),
    tag: tag('network'),
  }),
  fc.record({
    kind: fc.constant('veth' as const),
    name: fc.constantFrom('cv1', 'cv2', 'x0'),
    bridge: fc.constantFrom('br0', 'br1'),
    mtu,
    netns,
    peer: fc.record({ name: fc.constantFrom('eth0', 'eth1'), mac: fc.constant('02:00:00:00:00:09'), addresses }),
    isolated: fc.boolean(),
    birth: fc.constant({ sysctls: {} }),
    tag: tag('endpoint'),
  }),
  fc.record({
    kind: fc.constant('route' as const),
    netns,
    destination: fc.constantFrom('0.0.0.0/0', '::/0'),
    gateway: fc.constantFrom('10.0.0.1', '10.0.1.1', ''),
    device: fc.constantFrom('eth0', 'eth1'),
    tag: tag('sandbox'),
  }),
  fc.record({
    kind: fc.constant('element' as const),
    set: fc.constantFrom('bridges' as const, 'own' as const, 'internal' as const),
    key: fc.constantFrom(['br0'], ['br0', 'br0'], ['br1']),
    data: fc.constant([]),
    tag: tag('network'),
  }),
  fc.record({
    kind: fc.constant('element' as const),
    set: fc.constantFrom('dnat4' as const),
    key: fc.constantFrom(['tcp', '80'], ['tcp', '81']),
    data: fc.constantFrom(['10.0.0.2', '80'], ['10.0.0.3', '80']),
    tag: tag('sandbox'),
  }),
  fc.record({
    kind: fc.constant('file' as const),
    path: fc.constantFrom('/run/f/hosts', '/run/f/hostname'),
    content: fc.constantFrom('a', 'b'),
    tag: tag('sandbox'),
  }),
  fc.record({ kind: fc.constant('resolver' as const), netns, port: fc.constantFrom(1, 2), tag: tag('sandbox') }),
);
/** What exists at one time: one object per key. */
const world = fc.uniqueArray(object, { selector: objectKey, maxLength: 14 }).map((objects) => structuredClone(objects));

const sorted = (objects: Iterable<KernelObject>): readonly KernelObject[] =>
  [...objects].sort((a, b) => (objectKey(a) < objectKey(b) ? -1 : 1));

/** Applies as a kernel does: each operation must fit what is there. */
const applied = (observed: readonly KernelObject[], operations: readonly Operation[]): readonly KernelObject[] => {
  const there = new Map(observed.map((one) => [objectKey(one), one]));
  for (const operation of operations) {
    const key = objectKey(operation.object);
    if (operation.op === 'create') assert.ok(!there.has(key), `${key} is created while it is there`);
    else assert.deepEqual(there.get(key), operation.op === 'update' ? operation.from : operation.object);
    if (operation.op === 'delete') there.delete(key);
    else there.set(key, operation.object);
  }
  return sorted(there.values());
};

test('a plan makes of what is there what should be, and nothing is left to do after it', () => {
  fc.assert(
    fc.property(world, world, (desired, observed) => {
      const plan = diff(desired, observed);
      assert.deepEqual(applied(observed, plan), sorted(desired));
      assert.deepEqual(diff(desired, applied(observed, plan)), []);
      assert.deepEqual(diff(desired, desired), []);
      // what is right already is left alone
      const right = new Set(desired.filter((one) => observed.some((other) => same(one, other))).map(objectKey));
      for (const { object: touched } of plan) assert.ok(!right.has(objectKey(touched)));
    }),
    { numRuns: 1_000 },
  );
});

const same = (a: KernelObject, b: KernelObject): boolean => {
  try {
    assert.deepEqual(a, b);
    return true;
  } catch {
    return false;
  }
};

/** The operation that takes one back: each says enough for that. */
const inverse = (operation: Operation): Operation => {
  if (operation.op === 'update') return { op: 'update', from: operation.object, object: operation.from };
  return { op: operation.op === 'create' ? 'delete' : 'create', object: operation.object };
};

test('a plan can be taken back at any point', () => {
  fc.assert(
    fc.property(world, world, fc.nat(30), (desired, observed, count) => {
      const done = diff(desired, observed).slice(0, count);
      const half = applied(observed, done);
      assert.deepEqual(applied(half, done.toReversed().map(inverse)), sorted(observed));
    }),
    { numRuns: 500 },
  );
});

test('what stands on something is removed before it and made after it, and removals come first', () => {
  const rank = ['netns', 'bridge', 'file', 'element', 'veth', 'resolver', 'route'];
  fc.assert(
    fc.property(world, world, (desired, observed) => {
      const plan = diff(desired, observed);
      const places = plan.map(({ op, object: { kind } }) =>
        op === 'delete' ? -rank.indexOf(kind) - 1 : rank.indexOf(kind),
      );
      const removals = places.filter((place) => place < 0);
      assert.deepEqual(places, [
        ...removals.toSorted((a, b) => a - b),
        ...places.filter((place) => place >= 0).toSorted((a, b) => a - b),
      ]);
    }),
    { numRuns: 500 },
  );
});

test('fields in another order, and only these, make no difference', () => {
  const route: KernelObject = {
    kind: 'route',
    netns: '/run/a',
    destination: '::/0',
    gateway: 'fd00::1',
    device: 'eth0',
    tag: { realm: 'r', host: 'h', entity: 'sandbox', id: 'id0000000001' },
  };
  const turned = Object.fromEntries(Object.entries(route).toReversed()) as unknown as KernelObject;
  assert.deepEqual(diff([route], [turned]), []);
  const elsewhere = { ...route, gateway: 'fd00::2' };
  assert.deepEqual(diff([route], [elsewhere]), [{ op: 'update', from: elsewhere, object: route }]);
});

test('what is done once, at birth, makes no difference later', () => {
  const own = { realm: 'r', host: 'h', entity: 'endpoint' as const, id: 'id0000000001' };
  const peer = { name: 'eth0', mac: '02:00:00:00:00:09', addresses: [] };
  const veth = (sysctls: Readonly<Record<string, string>>, isolated = false): KernelObject => ({
    kind: 'veth',
    name: 'cv1',
    bridge: 'br0',
    mtu: 1500,
    netns: '/run/a',
    peer,
    isolated,
    birth: { sysctls },
    tag: own,
  });
  assert.deepEqual(diff([veth({ 'net.ipv4.conf.IFNAME.arp_notify': '1' })], [veth({})]), []);
  assert.equal(diff([veth({}, true)], [veth({})]).length, 1);
});

test('a dry run says each operation in a line', () => {
  const own = { realm: 'r', host: 'h', entity: 'sandbox' as const, id: 'id0000000001' };
  const brought: KernelObject = { kind: 'netns', path: '/run/a', owned: false, tag: own };
  const element: KernelObject = { kind: 'element', set: 'own', key: ['br0', 'br0'], data: [], tag: own };
  const port: KernelObject = { kind: 'element', set: 'dnat4', key: ['tcp', '80'], data: ['10.0.0.2', '8'], tag: own };
  const route = (gateway: string): KernelObject => ({
    kind: 'route',
    netns: '/run/a',
    destination: '10.9.0.0/16',
    gateway,
    device: 'eth0',
    tag: own,
  });
  const lines = printPlan([
    { op: 'create', object: brought },
    { op: 'delete', object: element },
    { op: 'update', from: port, object: port },
    { op: 'create', object: route('10.0.0.1') },
    { op: 'create', object: route('') },
    { op: 'create', object: { kind: 'file', path: '/run/f/hosts', content: 'secret', tag: own } },
    { op: 'create', object: { kind: 'resolver', netns: '/run/a', port: 15_353, tag: own } },
  ]).split('\n');
  assert.deepEqual(lines, [
    '+ netns /run/a (brought, kept)',
    '- nft element own { br0 . br0 }',
    '~ nft element dnat4 { tcp . 80 : 10.0.0.2 . 8 }',
    '+ route 10.9.0.0/16 via 10.0.0.1 dev eth0 in /run/a',
    '+ route 10.9.0.0/16 dev eth0 in /run/a',
    '+ file /run/f/hosts',
    '+ resolver at port 15353 in /run/a',
  ]);
});
