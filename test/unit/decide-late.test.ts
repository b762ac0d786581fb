// Commands without waiting, and outcomes that arrive late: what the fold makes of every order.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { did, endpoint, given, joined, left, network, reported } from '../support/specification.ts';
import type { World } from '../support/world.ts';

const web = network('web');
const six = network('six', { ipv4: false, ipv6: true });
const a = endpoint('web', 'a');

test('a whole life can be asked for without waiting, twice, and leaves nothing', () => {
  const ref = { network: 'web', endpoint: 'a' };
  const life = [web, a, joined('web', 'a', 's1'), left('web', 'a'), did('DeleteEndpoint', ref)];
  const gone = did('DeleteNetwork', { network: 'web' });
  const { world } = given(
    ...life,
    a,
    joined('web', 'a', 's1'),
    left('web', 'a'),
    did('DeleteEndpoint', ref),
    gone,
    ...life,
    gone,
  );
  assert.equal(world.state.intents.size, 16);
  world.succeed();
  const { networks, endpoints, sandboxes, sandboxIds, networkNames, cells, intents, progress } = world.state;
  for (const table of [networks, endpoints, sandboxes, sandboxIds, networkNames, cells, intents, progress])
    assert.equal(table.size, 0);
});

test('a late outcome of an older intent changes nothing', () => {
  const { world } = given(web, a, reported, joined('web', 'a', 's1'), left('web', 'a'), joined('web', 'a', 's2'));
  const [first, second] = [...world.state.intents.values()];
  assert.ok(first && second);
  world.fail('EndpointJoinRequested');
  assert.equal(world.endpoint('a').status, 'joining');
  assert.equal(world.endpoint('a').sandbox?.id, 's2');
  world.succeedOne(second);
  assert.equal(world.endpoint('a').status, 'joining');
  world.succeed();
  assert.equal(world.endpoint('a').status, 'joined');
  assert.deepEqual(
    [...world.state.sandboxes.values()].map(({ facts }) => facts.id),
    ['s2'],
  );
});

// Only decisions are guarded: an outcome may be stored between what a decision was based on and the decision.

const undone = { code: 'TIMED_OUT', step: '', errno: '', text: '', retryable: false, undoFaults: [] };
/** The join of `a`, done, is reported as taken back. */
const takeBack = (world: World) => {
  const intent = world.log.find(({ type }) => type === 'EndpointJoinRequested');
  if (intent?.type !== 'EndpointJoinRequested') return assert.fail('no join');
  world.report({ type: 'EndpointJoinFailed', data: { ...intent.data, fault: undone } }, intent);
  return { intent, sandbox: intent.data.sandbox };
};

test('an endpoint that was asked to join while its sandbox ended gets it made anew', () => {
  const { world } = given(web, six, a, endpoint('six', 'c'), joined('web', 'a', 's1'), reported);
  const decision = world.decide('JoinEndpoint', { network: 'six', endpoint: 'c', sandbox: 's1' });
  assert.ok(decision.ok);
  const { intent, sandbox } = takeBack(world);
  const row = () => world.state.sandboxes.get(sandbox.incarnation);
  assert.equal(row()?.status, 'removing');
  for (const fact of decision.facts) world.record(fact, { type: 'JoinEndpoint', id: 'mhx3k2p1-late' });
  assert.equal(row()?.status, 'creating');
  assert.equal(world.state.sandboxIds.get('s1'), sandbox.incarnation);
  world.report({ type: 'SandboxRemoved', data: { sandbox } }, intent);
  assert.equal(row()?.status, 'creating', 'it has an endpoint again');
  world.succeed();
  assert.equal(world.endpoint('a').status, 'created');
  assert.equal(world.endpoint('c').status, 'joined');
  assert.equal(row()?.status, 'ready');
});

test('a sandbox that is removed while another endpoint is asked to join is made again', () => {
  const { world } = given(web, six, a, endpoint('six', 'c'), joined('web', 'a', 's1'), reported);
  world.run('JoinEndpoint', { network: 'six', endpoint: 'c', sandbox: 's1' });
  // the worker has not read of it when it takes the first join back
  const { intent, sandbox } = takeBack(world);
  world.report({ type: 'SandboxRemoved', data: { sandbox } }, intent);
  assert.equal(world.state.sandboxes.get(sandbox.incarnation)?.status, 'creating');
  world.succeed();
  assert.equal(world.state.sandboxes.get(sandbox.incarnation)?.status, 'ready');
  world.run('LeaveEndpoint', { network: 'six', endpoint: 'c' });
  world.succeed();
  assert.equal(world.state.sandboxes.size, 0);
});

test('a join that was decided before the leave was known to have failed is under way all the same', () => {
  const { world } = given(web, a, joined('web', 'a', 's1'), reported, left('web', 'a'));
  const decision = world.decide('JoinEndpoint', { network: 'web', endpoint: 'a', sandbox: 's2' });
  assert.ok(decision.ok);
  world.fail('EndpointLeaveRequested');
  assert.equal(world.endpoint('a').status, 'stuck');
  for (const fact of decision.facts) world.record(fact, { type: 'JoinEndpoint', id: 'mhx3k2p1-late' });
  assert.equal(world.endpoint('a').status, 'joining');
  world.fail('EndpointJoinRequested');
  assert.equal(world.endpoint('a').status, 'created');
});

test('an endpoint that was asked for in a network that is gone by then does not come to be', () => {
  const { world } = given(web);
  const decision = world.decide('CreateEndpoint', { network: 'web', name: 'a' });
  assert.ok(decision.ok);
  world.fail('NetworkCreateRequested');
  for (const fact of decision.facts) world.record(fact, { type: 'CreateEndpoint', id: 'mhx3k2p1-late' });
  assert.equal(world.state.endpoints.size, 0);
  world.fail('EndpointCreateRequested');
  assert.equal(world.state.intents.size + world.state.progress.size, 0);
});

test('a leave that was decided before its join was taken back ends where it should', () => {
  const { world } = given(web, a, joined('web', 'a', 's1'), reported);
  const decision = world.decide('LeaveEndpoint', { network: 'web', endpoint: 'a' });
  assert.ok(decision.ok);
  const { intent, sandbox } = takeBack(world);
  world.report({ type: 'SandboxRemoved', data: { sandbox } }, intent);
  for (const fact of decision.facts) world.record(fact, { type: 'LeaveEndpoint', id: 'mhx3k2p1-late' });
  assert.equal(world.endpoint('a').status, 'leaving');
  world.succeed();
  assert.equal(world.endpoint('a').status, 'created');
  assert.equal(world.state.sandboxes.size, 0);
});

test('a sandbox whose only member fails to join is there until all are out who were asked to leave it', () => {
  const ports = [{ hostPort: 80, port: 80 }];
  const attached = did('AttachSandbox', { sandbox: 's1', ports, networks: [{ network: 'web' }] });
  const { world } = given(web, six, endpoint('six', 'c'), reported, attached, joined('six', 'c', 's1'));
  world.run('LeaveEndpoint', { network: 'six', endpoint: 'c' });
  world.fail('EndpointCreateRequested');
  world.fail('EndpointJoinRequested');
  const [row] = world.state.sandboxes.values();
  assert.ok(row);
  assert.deepEqual([row.status, row.members], ['removing', []]);
  assert.equal(world.state.sandboxIds.size, 0);
  assert.equal(world.state.ports.size, 1, 'the other one may be in there, with the ports');
  world.succeed();
  world.report({ type: 'SandboxRemoved', data: { sandbox: row.facts } }, null);
  assert.equal(world.state.sandboxes.size + world.state.ports.size, 0);
});

test('a network that is undone takes its endpoints and their sandboxes along', () => {
  const { world } = given(web, a, joined('web', 'a', 's1'), endpoint('web', 'c'));
  world.fail('NetworkCreateRequested');
  assert.equal(world.state.endpoints.size + world.state.sandboxes.size + world.state.cells.size, 0);
  world.fail('EndpointCreateRequested');
  world.fail('EndpointJoinRequested');
  world.fail('EndpointCreateRequested');
  assert.equal(world.state.intents.size + world.state.progress.size, 0);
  world.run('CreateNetwork', { name: 'web' });
});
