/** Which refusals of the kernel are a plugin's fault, and what is said of them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Device, Route, Tag } from '../../drivers/objects.ts';
import type { Operation } from '../../drivers/port.ts';
import { stepOf } from '../../drivers/steps.ts';
import type { Fault } from '../../events/events.ts';
import type { BoundaryState } from '../../events/state.ts';
import { blamed } from '../../services/worker/blame.ts';

const netns = '/run/cnm/netns/box';
const tagOf = (entity: Tag['entity'], id: string): Tag => ({ realm: 'test', host: 'h1', entity, id });
const onLink = { destination: '10.7.0.0/16', gateway: null };
const plug = { joinId: 'j', link: 'pv1', gateway4: '10.1.0.1', gateway6: null, routes: [onLink], outlet: true };
const row = { facts: { id: 'e1', networkId: 'n1' }, plug };
const state = {
  endpoints: new Map([['e1', row]]),
  sandboxes: new Map([['s1', { members: ['e1'] }]]),
  networks: new Map([['n1', { facts: { id: 'n1', driver: 'weave' } }]]),
  shared: { networks: new Map() },
} as unknown as BoundaryState;

const device: Device = {
  kind: 'device',
  netns,
  name: 'eth0',
  source: { type: 'moved' },
  mac: null,
  mtu: null,
  addresses: [],
  birth: { sysctls: {}, link: 'pv1' },
  tag: tagOf('endpoint', 'e1'),
};
const route: Route = { kind: 'route', netns, destination: '10.7.0.0/16', gateway: '', device: 'eth0', tag: device.tag };
const byDefault: Route = { ...route, destination: '0.0.0.0/0', gateway: '10.1.0.1', tag: tagOf('sandbox', 's1') };

const refused = (object: Device | Route, fault: Partial<Fault>, op: 'create' | 'delete' = 'create'): Fault => {
  const operations: Operation[] = [device, route, byDefault].map((each) => ({ op, object: each }));
  const step = stepOf(op, object);
  const told = { code: 'KERNEL_ERROR', errno: 'EINVAL', text: 'no', retryable: false, undoFaults: [], step, ...fault };
  return blamed(state, operations, told);
};

describe('what the kernel refuses', () => {
  const its = [
    { of: device, errno: 'ENODEV', words: 'InterfaceName.SrcName "pv1": no' },
    { of: route, errno: 'EINVAL', words: 'StaticRoutes 10.7.0.0/16: no' },
    { of: byDefault, errno: 'ENETUNREACH', words: 'Gateway 10.1.0.1: no' },
  ];
  for (const { of, errno, words } of its)
    it(`is the plugin’s where it has said so: ${words}`, () => {
      const { code, step, text, errno: found } = refused(of, { errno });
      assert.deepEqual(
        [code, step, text, found],
        ['PLUGIN_INVALID', 'NetworkDriver.Join of plugin weave', words, errno],
      );
    });

  it('is the plugin’s where its link is one of ours, and not where the name inside is somebody’s', () => {
    const text = 'veth pv1 is there and not ours';
    assert.equal(refused(device, { code: 'FOREIGN_OBJECT', errno: '', text }).code, 'PLUGIN_INVALID');
    const inside = 'interface eth0 is there and not ours';
    assert.equal(refused(device, { code: 'FOREIGN_OBJECT', errno: '', text: inside }).code, 'FOREIGN_OBJECT');
  });

  it('is nobody’s where it may pass, where we may not, or where something is to go', () => {
    for (const fault of [{ retryable: true }, { errno: 'EPERM' }])
      assert.equal(refused(device, fault).code, 'KERNEL_ERROR');
    assert.equal(refused(route, { errno: 'ENODEV' }).code, 'KERNEL_ERROR');
    assert.equal(refused(device, {}, 'delete').code, 'KERNEL_ERROR');
    assert.equal(refused({ ...route, destination: '10.8.0.0/16' }, {}).code, 'KERNEL_ERROR');
  });
});
