// A kernel that takes the place of a host's: what cannot be built is told and does not spoil the rest, and tunnels know whom they knew.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Event } from '../../events/envelope.ts';
import { PeerView } from '../../projections/peers.ts';
import { describeFailure, Stage } from '../../services/replay/stage.ts';
import { byKey, network, overlay, owner, sandbox } from '../support/kernel-objects.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';

const path = '/run/a';
const objects = [...network(1), ...sandbox('s1', { network: 1, number: 2, netns: path })];

const staged = () => {
  const machine = new MemoryMachine();
  const kernel = memoryKernel(machine, owner);
  return { machine, kernel, stage: new Stage({ kernel, ...owner }), peers: new PeerView('') };
};

test('replay: what cannot be built is told with the reason, the rest stands, and the next time it is tried again', async () => {
  const { machine, kernel, stage, peers } = staged();
  machine.fail({ when: ({ object }) => object.kind === 'route' });
  const failures = await stage.show({ objects, peers });
  const others = objects.filter(({ kind }) => kind !== 'route');
  const routes = objects.length - others.length;
  assert.equal(failures.length, routes);
  assert.ok(
    routes > 0 && failures.every((failure) => / in \/run\/a: KERNEL_ERROR: injected$/.test(describeFailure(failure))),
  );
  assert.deepEqual(byKey((await kernel.census()).objects), byKey(others));
  assert.deepEqual(byKey(stage.objects()), byKey(others));
  assert.equal((await stage.show({ objects, peers })).length, routes);
  assert.equal(stage.changes({ objects }).length, routes);
});

test('replay: what is there no more goes, and what is as it was is left alone', async () => {
  const { machine, kernel, stage, peers } = staged();
  assert.deepEqual(await stage.show({ objects, peers }), []);
  const before = machine.log.length;
  await stage.show({ objects, peers });
  assert.equal(machine.log.length, before);
  assert.deepEqual(await stage.show({ objects: network(1), peers }), []);
  assert.deepEqual(byKey((await kernel.census()).objects), byKey(network(1)));
});

test('replay: a tunnel is told of the endpoints of other hosts, and of nobody here', async () => {
  const { machine, stage, peers } = staged();
  const joined = (host: string, id: string, address: string): void => {
    const peer = { names: [id], services: [] };
    const data = {
      endpointId: id,
      networkId: 'n1',
      ipv4: `${address}/24`,
      ipv6: null,
      mac: `02:00:00:00:00:0${id}`,
      peer,
    };
    peers.apply(host, { type: 'EndpointJoined', data } as unknown as Event);
  };
  const stated = (host: string, address: string): void =>
    peers.apply(host, { type: 'HostFacts', data: { underlay: { address } } } as unknown as Event);
  stated(owner.host, '10.99.0.1');
  stated('h2', '10.99.0.2');
  joined(owner.host, '1', '10.1.0.1');
  joined('h2', '2', '10.1.0.2');
  joined('h3', '3', '10.1.0.3');
  await stage.show({ objects: overlay(1), peers });
  const entries = [...(machine.tunnels.entries('cx1')?.values() ?? [])];
  assert.deepEqual(entries, [{ mac: '02:00:00:00:00:02', vtep: '10.99.0.2', addresses: ['10.1.0.2'] }]);
});
