/** What a worker makes of a census: which objects are open, and how repairs are split. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type KernelObject, objectKey } from '../../drivers/objects.ts';
import type { Operation } from '../../drivers/port.ts';
import { drivers } from '../../drivers/registry.ts';
import { repairPlans, repairs } from '../../services/worker/census.ts';
import { courseOf, operationsOf } from '../../services/worker/course.ts';
import type { Scene } from '../../services/worker/inmates.ts';
import { isUnknown, Present } from '../../services/worker/present.ts';
import { openUnits } from '../../services/worker/units.ts';
import { defaultRoutes, netns, network, veth } from '../support/kernel-objects.ts';
import { able } from '../support/realm-stage.ts';
import { hostServers } from '../support/system.ts';
import { World } from '../support/world.ts';

const join = { network: 1, number: 2, netns: '/run/cnm/netns/a' };

describe('what a census could not read', () => {
  const unknown = (what: string) => [{ what, reason: '' }];
  const route = defaultRoutes('s1', join)[0] as KernelObject;

  it('is one object, by its key', () => {
    assert.ok(isUnknown(unknown('link cv1x2'), veth(join)));
    assert.ok(!isUnknown(unknown('link cv1x'), veth(join)));
  });

  it('is a namespace with all that is in it, and no other whose name begins alike', () => {
    for (const what of ['netns /run/cnm/netns/a', '/run/cnm/netns/a']) {
      for (const object of [netns(join.netns, 's1'), veth(join), route]) assert.ok(isUnknown(unknown(what), object));
      assert.ok(!isUnknown(unknown(what), netns('/run/cnm/netns/ab', 's2')));
      assert.ok(!isUnknown(unknown(what), network(1)[0] as KernelObject));
    }
  });

  it('is everything under a directory', () => {
    assert.ok(isUnknown(unknown('/run/cnm'), netns(join.netns, 's1')));
    assert.ok(isUnknown(unknown('/run/cnm'), route));
  });

  it('is everything at all when it says no more than what kind it was', () => {
    for (const object of [...network(1), veth(join), route]) assert.ok(isUnknown(unknown('links'), object));
  });
});

describe('what is there', () => {
  it('stays as it was known where a later census could not read it', () => {
    const present = new Present();
    present.replace({ objects: [netns(join.netns, 's1'), veth(join)], unknown: [] });
    present.replace({ objects: [], unknown: [{ what: join.netns, reason: '' }] });
    assert.equal(present.get(objectKey(veth(join))), present.of('endpoint', 'e1x2')[0]);
    present.replace({ objects: [], unknown: [] });
    assert.deepEqual([present.of('endpoint', 'e1x2'), present.of('sandbox', 's1')], [[], []]);
  });
});

describe('repairs', () => {
  const scene = (world: World): Scene => ({
    state: world.state,
    deployment: { host: { realm: 'test', host: world.host }, drivers, resolvConf: hostServers.config },
    present: new Present(),
  });
  /** The objects of a world in which everything is done. */
  const objectsOf = (world: World): readonly KernelObject[] =>
    repairs(scene(world), { objects: [], unknown: [] }).map(({ object }) => object);
  const populated = (): World => {
    const world = new World();
    world.run('CreateNetwork', { name: 'a' });
    world.run('AttachSandbox', { sandbox: 'box', networks: [{ network: 'a' }] });
    world.succeed();
    return world;
  };

  it('are none where kernel and log agree', () => {
    const world = populated();
    assert.deepEqual(repairs(scene(world), { objects: objectsOf(world), unknown: [] }), []);
  });

  it('leave to accepted intents what these are about, whether it is there or not', () => {
    const world = populated();
    const before = objectsOf(world);
    world.run('AttachSandbox', { sandbox: 'more', networks: [{ network: 'a' }] });
    world.run('DetachSandbox', { sandbox: 'box' });
    const [attach] = openUnits(world.state);
    assert.ok(attach);
    const made = operationsOf(courseOf(scene(world), attach), new Present()).map(({ object }) => object);
    assert.ok(made.length > 2);
    const ofNetwork = before.filter(({ tag }) => tag.entity === 'network');
    for (const objects of [before, [...before, ...made], ofNetwork, [...ofNetwork, ...made.slice(0, 1)]]) {
      assert.deepEqual(repairs(scene(world), { objects, unknown: [] }), []);
    }
  });

  it('remove what an earlier incarnation left where an accepted intent will make another', () => {
    const world = populated();
    const [old] = objectsOf(world).filter(({ kind }) => kind === 'netns');
    assert.ok(old);
    world.run('DetachSandbox', { sandbox: 'box' });
    for (const intent of [...world.state.intents.values()]) world.succeedOne(intent);
    world.run('AttachSandbox', { sandbox: 'box', networks: [{ network: 'a' }] });
    const found = repairs(scene(world), { objects: [...objectsOf(world), old], unknown: [] });
    assert.deepEqual(found, [{ op: 'delete', object: old }]);
  });

  it('remove the bridge of a tunnel that a crash has parted it from, whoever is about to leave: nobody would see it later', () => {
    const facts = { underlay: { address: '192.0.2.1', device: 'up0', mtu: 1500 } };
    const world = new World({ facts: { ...facts, capabilities: { ...able('h1').capabilities } } });
    world.run('CreateNetwork', { name: 'span', driver: 'overlay', internal: true });
    world.run('AttachSandbox', { sandbox: 'box', networks: [{ network: 'span' }] });
    world.succeed();
    const deployed = scene(world);
    const host = { ...deployed.deployment.host, underlay: facts.underlay };
    const place = { ...deployed, deployment: { ...deployed.deployment, host } };
    const before = repairs(place, { objects: [], unknown: [] }).map(({ object }) => object);
    const [bridge] = before.filter(({ kind }) => kind === 'bridge');
    assert.ok(bridge && before.some(({ kind }) => kind === 'vxlan'));
    world.run('DetachSandbox', { sandbox: 'box' });
    assert.deepEqual(repairs(place, { objects: before, unknown: [] }), []);
    assert.deepEqual(repairs(place, { objects: [bridge], unknown: [] }), [{ op: 'delete', object: bridge }]);
  });

  it('leave the way out of a sandbox to a move that may be taken back: whoever is to leave it may stay', () => {
    const facts = {
      underlay: { address: '192.0.2.1', device: 'up0', mtu: 1500 },
      capabilities: { ...able('h1').capabilities },
    };
    const world = new World({ facts });
    world.run('CreateNetwork', { name: 'span', driver: 'overlay' });
    world.run('CreateNetwork', { name: 'a' });
    world.run('AttachSandbox', { sandbox: 'box', networks: [{ network: 'span' }] });
    world.succeed();
    const deployed = scene(world);
    const place = {
      ...deployed,
      deployment: { ...deployed.deployment, host: { ...deployed.deployment.host, underlay: facts.underlay } },
    };
    const before = repairs(place, { objects: [], unknown: [] }).map(({ object }) => object);
    const [outlet] = world.state.outlets.keys();
    assert.ok(before.some(({ kind, tag }) => kind === 'bridge' && tag.id === outlet));
    // To the bridge that leads out itself: the way out is to go with the network that it was for.
    world.run('MoveSandbox', { sandbox: 'box', from: 'span', to: { network: 'a' } });
    assert.equal([...world.state.intents.values()].filter(({ type }) => type === 'EndpointLeaveRequested').length, 2);
    assert.deepEqual(repairs(place, { objects: before, unknown: [] }), []);
  });

  it('remove what is left of a sandbox, although a network that it was on is to be updated', () => {
    const world = populated();
    const before = objectsOf(world);
    world.run('DetachSandbox', { sandbox: 'box' });
    world.fail('EndpointLeaveRequested');
    world.fail('EndpointDeleteRequested');
    const left = (): readonly string[] => {
      const place = scene(world);
      place.present.replace({ objects: before, unknown: [] });
      const found = repairs(place, { objects: before, unknown: [] });
      return found.map(({ op, object }) => `${op} ${objectKey(object)}`).sort();
    };
    const expected = left();
    assert.ok(expected.length > 3 && expected.every((line) => line.startsWith('delete ')));
    world.run('UpdateNetwork', { network: 'a', dns: { servers: ['192.0.2.7'] } });
    assert.deepEqual(left(), expected);
  });

  it('are a plan for each sandbox and each network: sandboxes go first and come last', () => {
    const objects = [...network(1), ...network(2), netns(join.netns, 's1'), veth(join), ...defaultRoutes('s1', join)];
    const plan = (op: 'create' | 'delete') =>
      repairPlans(objects.map((object): Operation => ({ op, object }))).map(
        ({ id, operations }) => `${id} ${operations.length}`,
      );
    assert.deepEqual(plan('delete'), ['repair/0//run/cnm/netns/a 4', 'repair/1/network n1 4', 'repair/1/network n2 4']);
    assert.deepEqual(plan('create'), ['repair/2/network n1 4', 'repair/2/network n2 4', 'repair/3//run/cnm/netns/a 4']);
  });
});
