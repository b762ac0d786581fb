// Specifications of MoveSandbox: one command takes a sandbox from one network to another, or leaves it as it was.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CommandInput } from '../../events/commands.ts';
import type { EventType } from '../../events/events.ts';
import { did, endpoint, given, joined, network, reported, type Step } from '../support/specification.ts';
import { fault, outcomeOf, type World } from '../support/world.ts';

const web = network('web');
const db = network('db');
const attach = did('AttachSandbox', { sandbox: 's1', networks: [{ network: 'web' }] });
const to = (networkName: string, more: object = {}): CommandInput<'MoveSandbox'> => ({
  sandbox: 's1',
  from: 'web',
  to: { network: networkName, ...more },
});
const moved: Step = did('MoveSandbox', to('db'));
const shapes = (world: World) =>
  [...world.state.endpoints.values()].map(({ facts, status, sandbox }) => {
    const of = world.state.networks.get(facts.networkId)?.facts.name;
    return `${facts.name} in ${of} ${status}${sandbox ? ` ${sandbox.id}` : ''}`;
  });
const sandboxIn = (world: World) => [...world.state.sandboxes.values()][0] ?? assert.fail('no sandbox');

/** The worker could not do it: it says so of all intents of the move, in this order of their types. */
const undone =
  (...order: readonly EventType[]): Step =>
  (world) => {
    for (const type of order) {
      const intent = [...world.state.intents.values()].find((open) => open.type === type) ?? assert.fail(type);
      world.report(outcomeOf(intent, fault()), intent);
    }
  };
const all = [
  'EndpointCreateRequested',
  'EndpointJoinRequested',
  'EndpointLeaveRequested',
  'EndpointDeleteRequested',
] as const;

test('MoveSandbox: the new endpoint joins before the old one leaves', () => {
  const { world, when } = given(web, db, attach, reported);
  const { incarnation } = sandboxIn(world).facts;
  when('MoveSandbox', to('db', { ports: [{ hostPort: 80, port: 80 }] })).records(
    {
      type: 'EndpointCreateRequested',
      data: { endpoint: { name: 's1', origin: 'attach', ports: [{ hostPort: 80 }] } },
    },
    { type: 'EndpointJoinRequested', data: { interface: 'eth1', sandbox: { incarnation } } },
    { type: 'EndpointLeaveRequested', data: { interface: 'eth0', last: false, before: { index: 0 } } },
    { type: 'EndpointDeleteRequested', data: { name: 's1', cause: 'detach' } },
  );
});

test('MoveSandbox: done', () => {
  const { world } = given(web, db, attach, reported, moved);
  assert.deepEqual(shapes(world), ['s1 in web deleting s1', 's1 in db joining s1']);
  world.succeed();
  assert.deepEqual(shapes(world), ['s1 in db joined s1']);
  const { status, members, gateways } = sandboxIn(world);
  assert.deepEqual([status, members, gateways.ipv4], ['ready', [world.endpoint('s1').facts.id], members[0]]);
});

test('MoveSandbox: an endpoint that attach did not make stays, in no sandbox', () => {
  const { world, when } = given(web, db, endpoint('web', 'a'), joined('web', 'a', 's1'));
  when('MoveSandbox', to('db')).records({ type: all[0] }, { type: all[1] }, { type: all[2] });
  world.succeed();
  assert.deepEqual(shapes(world), ['a in web created', 's1 in db joined s1']);
});

for (const order of [all, [...all].reverse(), [all[0], all[1], all[3], all[2]]] as const) {
  test(`MoveSandbox: what failed leaves it as it was (reported as ${order.map((type) => type.slice(8, 11)).join(', ')})`, () => {
    const { world } = given(web, db, network('inner', { internal: true }), attach, reported);
    world.run('AttachSandbox', { sandbox: 's1', networks: [{ network: 'inner' }] });
    world.succeed();
    const before = { shapes: shapes(world), row: sandboxIn(world) };
    moved(world);
    undone(...order)(world);
    assert.deepEqual(shapes(world), before.shapes);
    assert.deepEqual({ ...sandboxIn(world), move: null }, before.row);
    assert.equal(world.state.intents.size, 0);
    // and it can be moved, or left, as before
    moved(world);
    world.succeed();
    assert.deepEqual(shapes(world), ['s1 in inner joined s1', 's1 in db joined s1']);
  });
}

test('MoveSandbox: a join that was undone meanwhile is nothing to go back to', () => {
  const { world } = given(web, db, endpoint('web', 'a'), reported, joined('web', 'a', 's1'), moved);
  const [join] = [...world.state.intents.values()].filter(({ type }) => type === 'EndpointJoinRequested');
  assert.ok(join);
  world.report(outcomeOf(join, fault()), join);
  undone('EndpointCreateRequested', 'EndpointJoinRequested', 'EndpointLeaveRequested')(world);
  assert.deepEqual(shapes(world), ['a in web created']);
  assert.equal(world.endpoint('a').sandbox, null);
});

test('MoveSandbox: while it is under way the sandbox takes no other command, and the name stays taken', () => {
  const { when } = given(web, db, endpoint('db', 'b'), endpoint('web', 'a'), attach, reported, moved);
  const moving = { kind: 'sandbox', id: 's1' };
  when('MoveSandbox', to('web')).refuses('SANDBOX_MOVING', moving);
  when('DetachSandbox', { sandbox: 's1' }).refuses('SANDBOX_MOVING', moving);
  when('AttachSandbox', { sandbox: 's1', networks: [{ network: 'db', name: 'n' }] }).refuses('SANDBOX_MOVING', moving);
  when('JoinEndpoint', { network: 'db', endpoint: 'b', sandbox: 's1' }).refuses('SANDBOX_MOVING', moving);
  when('LeaveEndpoint', { network: 'db', endpoint: 's1' }).refuses('SANDBOX_MOVING', moving);
  when('UpdateEndpoint', { network: 'db', endpoint: 's1', aliases: [] }).refuses('SANDBOX_MOVING', moving);
  when('CreateEndpoint', { network: 'web', name: 's1' }).refuses('ENDPOINT_EXISTS', { name: 's1' });
  when('DeleteNetwork', { network: 'web' }).refuses('NETWORK_HAS_ENDPOINTS', { name: 'a' });
  given(web, db, attach, moved, reported)
    .when('DetachSandbox', { sandbox: 's1' })
    .records({ type: 'EndpointLeaveRequested', data: { last: true } }, { type: 'EndpointDeleteRequested' });
});

test('MoveSandbox: a sandbox that is empty keeps its name and its namespace while it may be moved back', () => {
  const netns = '/run/x';
  const brought = did('AttachSandbox', { sandbox: 's1', netns, networks: [{ network: 'web' }] });
  const emptied = () => {
    const { world, when } = given(web, endpoint('web', 'a'), brought, reported, db, moved);
    world.fail('NetworkCreateRequested');
    assert.deepEqual([sandboxIn(world).status, sandboxIn(world).members], ['removing', []]);
    return { world, when };
  };
  const into = (sandbox: string, more: object = {}) => ({ network: 'web', endpoint: 'a', sandbox, ...more });
  const { world, when } = emptied();
  when('JoinEndpoint', into('s1')).refuses('SANDBOX_MOVING', { id: 's1' });
  when('JoinEndpoint', into('s2', { netns })).refuses('SANDBOX_CONFLICT', { id: 's1' });
  when('DetachSandbox', { sandbox: 's1' }).refuses('SANDBOX_MOVING');
  undone(...all)(world);
  assert.deepEqual(shapes(world), ['a in web created', 's1 in web joined s1']);
  when('JoinEndpoint', into('s1')).records({
    type: 'EndpointJoinRequested',
    data: { sandbox: { incarnation: sandboxIn(world).facts.incarnation } },
  });
  // Done in part, as by a worker that did not find it there: nobody comes back, and the name is free.
  const other = emptied();
  undone('EndpointCreateRequested', 'EndpointJoinRequested')(other.world);
  other.world.succeedOne([...other.world.state.intents.values()][0] ?? assert.fail('no leave'));
  assert.equal(sandboxIn(other.world).status, 'removing');
  assert.equal(other.world.state.sandboxIds.size, 0);
  other.when('JoinEndpoint', into('s2', { netns })).records({ type: 'EndpointJoinRequested' });
});

test('MoveSandbox: an endpoint that stays takes no command either', () => {
  const { when } = given(web, db, endpoint('web', 'a'), joined('web', 'a', 's1'), reported, moved);
  when('DeleteEndpoint', { network: 'web', endpoint: 'a' }).refuses('SANDBOX_MOVING');
  when('JoinEndpoint', { network: 'web', endpoint: 'a', sandbox: 's2' }).refuses('SANDBOX_MOVING');
});

test('MoveSandbox: too late, it is undone as a whole; done too late, it stays done', () => {
  const late = () => {
    const { world } = given(web, db, attach, reported);
    world.run('MoveSandbox', to('db'), { id: 'mhx3k2p1-move' });
    world.nowMs += 31_000;
    world.run('ExpireCommand', { actor: 'alice', commandId: 'mhx3k2p1-move' });
    assert.equal(world.state.expired.size, 4);
    return world;
  };
  const undoing = late();
  undone(...all)(undoing);
  assert.deepEqual(shapes(undoing), ['s1 in web joined s1']);
  const done = late();
  done.succeed();
  assert.deepEqual(shapes(done), ['s1 in db joined s1']);
  for (const { intents, expired } of [undoing.state, done.state]) assert.equal(intents.size + expired.size, 0);
});

test('MoveSandbox: between networks of any kind that the sandbox can be on', () => {
  const none = network('none', { driver: 'null' });
  given(none, web, did('AttachSandbox', { sandbox: 's1', networks: [{ network: 'none' }] }))
    .when('MoveSandbox', { sandbox: 's1', from: 'none', to: { network: 'web' } })
    .records({ type: all[0] }, { type: all[1], data: { interface: 'eth0' } }, { type: all[2] }, { type: all[3] });
  const toNone = { sandbox: 's1', from: 'web', to: { network: 'none' } };
  given(web, none, attach)
    .when('MoveSandbox', toNone)
    .records({ type: all[0] }, { type: all[1], data: { interface: null } }, { type: all[2] }, { type: all[3] });
  const more = did('AttachSandbox', { sandbox: 's1', networks: [{ network: 'db' }] });
  given(web, db, none, attach, more).when('MoveSandbox', toNone).refuses('SANDBOX_EXCLUSIVE', { name: 'none' });
  given(web, attach)
    .when('MoveSandbox', to('web', { name: 'again' }))
    .records({ type: all[0] }, { type: all[1] }, { type: all[2] }, { type: all[3] });
});

test('MoveSandbox: what is not there, or not so', () => {
  given(web, db).when('MoveSandbox', to('db')).refuses('SANDBOX_NOT_FOUND', { id: 's1' });
  const { when } = given(web, db, attach);
  when('MoveSandbox', { ...to('db'), from: 'x' }).refuses('NETWORK_NOT_FOUND', { id: 'x' });
  when('MoveSandbox', to('x')).refuses('NETWORK_NOT_FOUND', { id: 'x' });
  when('MoveSandbox', { ...to('web'), from: 'db' }).refuses('ENDPOINT_NOT_JOINED', { kind: 'network', name: 'db' });
  when('MoveSandbox', to('web')).refuses('ENDPOINT_EXISTS', { name: 's1' });
  when('MoveSandbox', to('db', { interface: 'eth0' })).refuses('INTERFACE_IN_USE', { detail: 'eth0' });
});
