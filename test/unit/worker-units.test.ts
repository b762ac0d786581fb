/** Which intents a worker executes together, and which have to wait. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { nextBatch, openUnits, type Unit } from '../../services/worker/units.ts';
import { World } from '../support/world.ts';

const idle: ReadonlySet<string> = new Set();
/** Types of the intents of each unit. */
const shape = (units: readonly Unit[]): readonly string[] =>
  units.map(({ intents }) => intents.map(({ type }) => type.replace(/Requested$/, '')).join(' '));
const busyWith = (units: readonly Unit[]): ReadonlySet<string> =>
  new Set(units.flatMap(({ intents }) => intents.map(({ meta }) => meta.id)));

const withNetworks = (...names: string[]): World => {
  const world = new World();
  for (const name of names) world.run('CreateNetwork', { name });
  world.succeed();
  return world;
};

describe('units', () => {
  it('are the intents of a command', () => {
    const world = withNetworks('a', 'b');
    world.run('AttachSandbox', { sandbox: 'box', networks: [{ network: 'a' }, { network: 'b' }] });
    world.run('DetachSandbox', { sandbox: 'box' });
    assert.deepEqual(shape(openUnits(world.state)), [
      'EndpointCreate EndpointJoin EndpointCreate EndpointJoin',
      'EndpointLeave EndpointDelete EndpointLeave EndpointDelete',
    ]);
  });

  it('know that their deadline has passed', () => {
    const world = withNetworks('a');
    const id = 'mhx3k2p1-late';
    world.run('CreateEndpoint', { network: 'a', name: 'e' }, { id, deadlineMs: 1 });
    world.nowMs += 2;
    world.run('ExpireCommand', { actor: 'alice', commandId: id });
    assert.deepEqual(
      openUnits(world.state).map(({ expired }) => expired),
      [true],
    );
  });

  it('that wait for somebody else hide nobody: they come on top of those that are looked at', () => {
    const world = withNetworks('a', 'b');
    for (let at = 0; at < 5; at++) world.run('CreateEndpoint', { network: 'a', name: `e${at}` });
    world.run('AttachSandbox', { sandbox: 'box', networks: [{ network: 'b' }, { network: 'a' }] });
    for (let at = 0; at < 5; at++) world.run('CreateEndpoint', { network: 'b', name: `e${at}` });
    const apart = [...world.state.networks.values()].find(({ facts }) => facts.name === 'a')?.facts.id;
    const isApart: Parameters<typeof openUnits>[2] = ({ type, data }) =>
      (type === 'EndpointCreateRequested' ? data.endpoint.networkId : '') === apart;
    assert.equal(openUnits(world.state, 2).length, 2);
    assert.equal(openUnits(world.state, 2, isApart).length, 6 + 2);
    assert.equal(openUnits(world.state, 9, isApart).length, 11);
  });
});

describe('a batch', () => {
  it('holds what does not touch', () => {
    const world = withNetworks('a');
    for (const sandbox of ['one', 'two', 'three'])
      world.run('AttachSandbox', { sandbox, networks: [{ network: 'a' }] });
    assert.equal(nextBatch(world.state, idle).length, 3);
  });

  it('leaves out what stands on something in it, and goes on behind that', () => {
    const world = withNetworks('a');
    world.run('CreateNetwork', { name: 'b' });
    world.run('CreateEndpoint', { network: 'b', name: 'e' });
    world.run('JoinEndpoint', { network: 'b', endpoint: 'e', sandbox: 'box' });
    world.run('CreateEndpoint', { network: 'a', name: 'e' });
    assert.deepEqual(shape(nextBatch(world.state, idle)), ['NetworkCreate', 'EndpointCreate']);
  });

  it('leaves out what touches something under way, until that is folded in', () => {
    const world = withNetworks('a');
    world.run('CreateEndpoint', { network: 'a', name: 'e' });
    const first = nextBatch(world.state, idle);
    world.run('JoinEndpoint', { network: 'a', endpoint: 'e', sandbox: 'box' });
    assert.deepEqual(shape(nextBatch(world.state, busyWith(first))), []);
    const [create] = first[0]?.intents ?? [];
    if (create) world.succeedOne(create);
    assert.deepEqual(shape(nextBatch(world.state, idle)), ['EndpointJoin']);
  });

  it('takes one of those that touch the same sandbox, or a namespace at the same path', () => {
    const world = withNetworks('a', 'b');
    for (const network of ['a', 'b']) world.run('CreateEndpoint', { network, name: 'e' });
    world.succeed();
    for (const network of ['a', 'b']) world.run('JoinEndpoint', { network, endpoint: 'e', sandbox: 'box' });
    assert.equal(nextBatch(world.state, idle).length, 1);
    world.succeed();
    world.run('DetachSandbox', { sandbox: 'box' });
    world.run('AttachSandbox', { sandbox: 'box', networks: [{ network: 'a', name: 'f' }] });
    assert.deepEqual(shape(nextBatch(world.state, idle)), ['EndpointLeave EndpointLeave']);
  });

  it('keeps a network until everything that was on it has ended', () => {
    const world = withNetworks('a');
    world.run('AttachSandbox', { sandbox: 'box', networks: [{ network: 'a' }] });
    world.succeed();
    world.run('DetachSandbox', { sandbox: 'box' });
    world.run('DeleteNetwork', { network: 'a' });
    const first = nextBatch(world.state, idle);
    assert.deepEqual(shape(first), ['EndpointLeave EndpointDelete']);
    assert.deepEqual(shape(nextBatch(world.state, busyWith(first))), []);
  });

  it('takes sandboxes of the host’s own namespace side by side', () => {
    const world = new World();
    world.run('CreateNetwork', { name: 'h', driver: 'host' });
    world.succeed();
    for (const sandbox of ['one', 'two']) world.run('AttachSandbox', { sandbox, networks: [{ network: 'h' }] });
    assert.equal(nextBatch(world.state, idle).length, 2);
  });

  it('has an end', () => {
    const world = withNetworks('a');
    for (let at = 0; at < 100; at++) world.run('CreateEndpoint', { network: 'a', name: `e${at}` });
    const first = nextBatch(world.state, idle);
    assert.equal(first.length, 16);
    const second = nextBatch(world.state, busyWith(first));
    assert.equal(second.length, 16);
    assert.equal(new Set([...busyWith(first), ...busyWith(second)]).size, 32);
  });
});
