// Where things of a host go that is built again elsewhere, and what takes the place of what nobody here makes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Device, KernelObject, Vlan } from '../../drivers/objects.ts';
import { relocate, relocatePath } from '../../services/replay/relocate.ts';
import { stubsFor } from '../../services/replay/stage.ts';

const place = { from: '/run/cnm/r-h', to: '/tmp/x' };
const owner = { realm: 'r', host: 'h' };
const tag = { ...owner, entity: 'network', id: 'n1' } as const;
const vlan = (name: string, parent: string): Vlan => ({ kind: 'vlan', name, parent, id: 5, tag });
const device = (parent: string | null, mtu: number | null): Device => ({
  kind: 'device',
  netns: '/a',
  name: 'eth0',
  source: parent === null ? { type: 'moved' } : { type: 'macvlan', parent, mode: 'bridge' },
  mac: null,
  mtu,
  addresses: [],
  birth: { sysctls: {}, link: '' },
  tag,
});

test('replay: a path of ours moves, one of somebody else lies apart, and no two become one', () => {
  const paths = ['/run/cnm/r-h/netns/a', '/run/cnm/r-h2/netns/a', '/proc/7/ns/net'];
  assert.deepEqual(
    paths.map((path) => relocatePath(place, path)),
    ['/tmp/x/netns/a', '/tmp/x/elsewhere/run/cnm/r-h2/netns/a', '/tmp/x/elsewhere/proc/7/ns/net'],
  );
});

test('replay: a namespace that was brought is made, and what lies in it goes along', () => {
  const brought: KernelObject = { kind: 'netns', path: '/proc/7/ns/net', owned: false, tag };
  const made = relocate(place, brought);
  assert.deepEqual(made, { ...brought, path: '/tmp/x/elsewhere/proc/7/ns/net', owned: true });
  const moved = relocate(place, { ...device('eth1', null), netns: '/proc/7/ns/net' });
  assert.equal(moved.kind === 'device' && moved.netns, '/tmp/x/elsewhere/proc/7/ns/net');
});

test('replay: each parent that is not made here is stood in for once, wide enough for what stands on it', () => {
  const objects = [
    vlan('eth0.5', 'eth0'),
    device('eth0.5', null),
    device('eth0', 9000),
    device('lo', null),
    device(null, null),
  ];
  const stub = { kind: 'stub', tag: { ...owner, entity: 'network', id: 'replay' } };
  assert.deepEqual(stubsFor(objects, owner), [{ ...stub, name: 'eth0', mtu: 9000 }]);
  assert.deepEqual(stubsFor([vlan('a.5', 'a'), { ...stub, name: 'a', mtu: 1500 } as KernelObject], owner), []);
});
