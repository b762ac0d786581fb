// Specifications of sandboxes: JoinEndpoint, LeaveEndpoint, AttachSandbox, DetachSandbox.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CommandInput } from '../../events/commands.ts';
import { hostNetns } from '../../events/deciders/sandbox.ts';
import { did, endpoint, failed, given, joined, left, network, reported, type Step } from '../support/specification.ts';
import type { World } from '../support/world.ts';

const web = network('web');
const db = network('db', { internal: true });
const six = network('six', { ipv4: false, ipv6: true });
const a = endpoint('web', 'a');
const b = endpoint('db', 'b');
const join = (networkName: string, name: string, more: Partial<CommandInput<'JoinEndpoint'>> = {}) => ({
  network: networkName,
  endpoint: name,
  sandbox: 's1',
  ...more,
});
const idOf = (world: World, name: string): string => world.endpoint(name).facts.id;
const created = { type: 'EndpointCreateRequested' } as const;
const joining = { type: 'EndpointJoinRequested' } as const;
const leaving = { type: 'EndpointLeaveRequested' } as const;
const deleting = { type: 'EndpointDeleteRequested' } as const;

// ---------------------------------------------------------------- JoinEndpoint

test('JoinEndpoint: the first join makes the sandbox', () => {
  const { world, when } = given(web, a);
  const id = idOf(world, 'a');
  when('JoinEndpoint', join('web', 'a', { hostname: 'h', domainname: 'd' })).records({
    type: 'EndpointJoinRequested',
    data: {
      endpointId: id,
      interface: 'eth0',
      gateways: { ipv4: id, ipv6: null },
      sandbox: { id: 's1', key: '/run/cnm/h1/netns/s1', owned: true, hostname: 'h', domainname: 'd' },
    },
  });
  assert.equal(world.state.sandboxes.size, 1);
});

test('JoinEndpoint: the next ones find it, and get the next interface', () => {
  const { world, when } = given(web, six, a, joined('web', 'a', 's1'), reported, endpoint('six', 'c'));
  const sandbox = [...world.state.sandboxes.values()][0]?.facts;
  when('JoinEndpoint', join('six', 'c')).records({
    type: 'EndpointJoinRequested',
    data: { interface: 'eth1', sandbox, gateways: { ipv4: idOf(world, 'a'), ipv6: idOf(world, 'c') } },
  });
});

test('JoinEndpoint: an interface name is free again when its endpoint has left', () => {
  const steps = [web, six, a, endpoint('six', 'c'), joined('web', 'a', 's1'), joined('six', 'c', 's1'), reported];
  given(...steps, left('web', 'a'), db, b)
    .when('JoinEndpoint', join('db', 'b'))
    .records({ type: 'EndpointJoinRequested', data: { interface: 'eth0' } });
});

test('JoinEndpoint: an endpoint is in one sandbox at most', () => {
  given(web, a, joined('web', 'a', 's1'))
    .when('JoinEndpoint', join('web', 'a', { sandbox: 's2' }))
    .refuses('ENDPOINT_JOINED', { name: 'a', detail: 'joining, sandbox s1' });
  given(web, a, joined('web', 'a', 's1'), reported)
    .when('JoinEndpoint', join('web', 'a'))
    .refuses('ENDPOINT_JOINED', { detail: 'joined, sandbox s1' });
  given(web, a).when('JoinEndpoint', join('web', 'z')).refuses('ENDPOINT_NOT_FOUND', { id: 'z' });
  given(web, a).when('JoinEndpoint', join('nowhere', 'a')).refuses('NETWORK_NOT_FOUND', { id: 'nowhere' });
});

test('JoinEndpoint: a join that failed leaves it free to join', () => {
  const { world } = given(web, a, joined('web', 'a', 's1'), failed('EndpointJoinRequested'));
  assert.equal(world.state.sandboxes.size, 0, 'and ends the sandbox that it should have made');
  given(web, a, joined('web', 'a', 's1'), failed('EndpointJoinRequested'))
    .when('JoinEndpoint', join('web', 'a'))
    .records({ type: 'EndpointJoinRequested' });
});

test('JoinEndpoint: what the sandbox is must be what the command says of it', () => {
  const made: Step = did('JoinEndpoint', join('web', 'a', { netns: '/run/x', hostname: 'h' }));
  const steps = [web, six, a, made, endpoint('six', 'c')];
  for (const differs of [{ netns: '/run/y' }, { hostname: 'g' }, { domainname: 'd' }])
    given(...steps)
      .when('JoinEndpoint', join('six', 'c', differs))
      .refuses('SANDBOX_CONFLICT', { kind: 'sandbox', id: 's1', detail: '/run/x' });
  given(...steps)
    .when('JoinEndpoint', join('six', 'c'))
    .records(joining);
  given(...steps)
    .when('JoinEndpoint', join('six', 'c', { netns: '/run/x', hostname: 'h' }))
    .records(joining);
});

test('JoinEndpoint: a namespace that is brought is used and not owned', () => {
  for (const netns of ['/run/netns/x', '/var/run/x', '/proc/123/ns/net'])
    given(web, a)
      .when('JoinEndpoint', join('web', 'a', { netns }))
      .records({ type: 'EndpointJoinRequested', data: { sandbox: { key: netns, owned: false } } });
});

test('JoinEndpoint: a namespace may lie under the roots of the host only', () => {
  const paths = ['/tmp/x', '/run', '/run/', '/run/../etc/x', '/run/./x', '/run//x', '/runx/y', '/run/a/..', '/'];
  for (const netns of [...paths, hostNetns, '/proc/thread-self/ns/net', '/run/cnm/h1/netns/s2'])
    given(web, a)
      .when('JoinEndpoint', join('web', 'a', { netns }))
      .refuses('NETNS_INVALID', { kind: 'netns', id: netns });
});

test('JoinEndpoint: one namespace is one sandbox', () => {
  const steps = [web, six, a, did('JoinEndpoint', join('web', 'a', { netns: '/run/x' })), endpoint('six', 'c')];
  const second = join('six', 'c', { sandbox: 's2', netns: '/run/x' });
  given(...steps)
    .when('JoinEndpoint', second)
    .refuses('SANDBOX_CONFLICT', { kind: 'sandbox', id: 's1' });
  given(...steps, left('web', 'a'))
    .when('JoinEndpoint', second)
    .records(joining);
});

test('JoinEndpoint: after the last leave the same name is another sandbox', () => {
  const { world } = given(web, a, joined('web', 'a', 's1'), left('web', 'a'), joined('web', 'a', 's1'));
  const rows = [...world.state.sandboxes.values()].map(({ status, members }) => ({ status, members: members.length }));
  assert.deepEqual(rows, [
    { status: 'removing', members: 0 },
    { status: 'creating', members: 1 },
  ]);
  world.succeed();
  assert.equal(world.state.sandboxes.size, 1);
});

test('JoinEndpoint: a sandbox on a host or null network can be on no other', () => {
  for (const driver of ['host', 'null']) {
    const steps = [web, a, network('x', { driver }), endpoint('x', 'e'), endpoint('x', 'f')];
    given(...steps, joined('x', 'e', 's1'))
      .when('JoinEndpoint', join('web', 'a'))
      .refuses('SANDBOX_EXCLUSIVE', { kind: 'network', name: 'x', detail: driver });
    given(...steps, joined('web', 'a', 's1'))
      .when('JoinEndpoint', join('x', 'e'))
      .refuses('SANDBOX_EXCLUSIVE', { name: 'x' });
    given(...steps, joined('x', 'e', 's1'))
      .when('JoinEndpoint', join('x', 'f'))
      .refuses('SANDBOX_EXCLUSIVE');
    given(...steps, joined('x', 'e', 's1'))
      .when('JoinEndpoint', join('x', 'f', { sandbox: 's2' }))
      .records({ type: 'EndpointJoinRequested', data: { interface: null, gateways: { ipv4: null, ipv6: null } } });
  }
});

test('JoinEndpoint: a sandbox on a host network is the host s own namespace', () => {
  const steps = [network('x', { driver: 'host' }), endpoint('x', 'e'), endpoint('x', 'f')];
  given(...steps)
    .when('JoinEndpoint', join('x', 'e'))
    .records({ type: 'EndpointJoinRequested', data: { sandbox: { key: hostNetns, owned: false } } });
  given(...steps)
    .when('JoinEndpoint', join('x', 'e', { netns: '/run/x' }))
    .refuses('SANDBOX_CONFLICT', { kind: 'sandbox', id: 's1', detail: '/run/x' });
  // several sandboxes may share it
  given(...steps, joined('x', 'e', 's1'))
    .when('JoinEndpoint', join('x', 'f', { sandbox: 's2' }))
    .records({ type: 'EndpointJoinRequested', data: { sandbox: { key: hostNetns } } });
});

test('the gateway is the first endpoint, in the order of joining, whose network reaches out in that family', () => {
  const { world, when } = given(web, db, six, a, b, endpoint('six', 'c'), joined('db', 'b', 's1'));
  assert.deepEqual([...world.state.sandboxes.values()][0]?.gateways, { ipv4: null, ipv6: null }, 'internal: none');
  when('JoinEndpoint', join('web', 'a')).records({
    type: 'EndpointJoinRequested',
    data: { gateways: { ipv4: idOf(world, 'a') } },
  });
});

test('when the gateway leaves, the next one is elected, and it stays when others join', () => {
  const other = network('other');
  const steps = [web, other, six, a, endpoint('other', 'o'), endpoint('six', 'c')];
  const all = [...steps, joined('web', 'a', 's1'), joined('other', 'o', 's1'), joined('six', 'c', 's1'), reported];
  const { world, when } = given(...all);
  const [idA, idO, idC] = [idOf(world, 'a'), idOf(world, 'o'), idOf(world, 'c')];
  assert.deepEqual([...world.state.sandboxes.values()][0]?.gateways, { ipv4: idA, ipv6: idC });
  when('LeaveEndpoint', { network: 'web', endpoint: 'a' }).records({
    type: 'EndpointLeaveRequested',
    data: { last: false, gateways: { ipv4: idO, ipv6: idC } },
  });
  world.run('JoinEndpoint', join('web', 'a'));
  assert.deepEqual([...world.state.sandboxes.values()][0]?.gateways, { ipv4: idO, ipv6: idC });
  world.run('LeaveEndpoint', { network: 'six', endpoint: 'c' });
  assert.deepEqual([...world.state.sandboxes.values()][0]?.gateways, { ipv4: idO, ipv6: null });
});

// ---------------------------------------------------------------- LeaveEndpoint

test('LeaveEndpoint: says which join it takes back, and whether it is the last', () => {
  const { world, when } = given(web, a, joined('web', 'a', 's1'));
  const { joinId, incarnation } = world.endpoint('a').sandbox ?? assert.fail();
  when('LeaveEndpoint', { network: 'web', endpoint: 'a' }).records({
    type: 'EndpointLeaveRequested',
    data: {
      joinId,
      interface: 'eth0',
      last: true,
      sandbox: { id: 's1', incarnation },
      gateways: { ipv4: null, ipv6: null },
    },
  });
});

test('LeaveEndpoint: what is in no sandbox', () => {
  const ref = { network: 'web', endpoint: 'a' };
  given(web, a).when('LeaveEndpoint', ref).refuses('ENDPOINT_NOT_JOINED', { name: 'a', detail: 'creating' });
  given(web, a, joined('web', 'a', 's1'), left('web', 'a'))
    .when('LeaveEndpoint', ref)
    .refuses('ENDPOINT_NOT_JOINED', { name: 'a' });
  given(web).when('LeaveEndpoint', ref).refuses('ENDPOINT_NOT_FOUND', { id: 'a' });
  given(web, a, did('DeleteEndpoint', ref)).when('LeaveEndpoint', ref).refuses('ENDPOINT_NOT_FOUND', { id: 'a' });
});

test('LeaveEndpoint: a leave that failed can only be followed by the deletion', () => {
  const steps = [web, a, joined('web', 'a', 's1'), reported, left('web', 'a'), failed('EndpointLeaveRequested')];
  const ref = { network: 'web', endpoint: 'a' };
  given(...steps)
    .when('LeaveEndpoint', ref)
    .refuses('ENDPOINT_STUCK', { name: 'a' });
  given(...steps)
    .when('JoinEndpoint', join('web', 'a'))
    .refuses('ENDPOINT_STUCK', { name: 'a' });
  const { world } = given(...steps, did('DeleteEndpoint', ref), reported);
  assert.equal(world.state.endpoints.size + world.state.sandboxes.size, 0);
});

// ---------------------------------------------------------------- AttachSandbox

test('AttachSandbox: creates and joins an endpoint in each network, named after the sandbox', () => {
  const { world, when } = given(web, db, six);
  const facts = when('AttachSandbox', {
    sandbox: 's1',
    networks: [{ network: 'db' }, { network: 'web', name: 'w' }, { network: 'six' }],
  }).records(
    { type: 'EndpointCreateRequested', data: { endpoint: { name: 's1', origin: 'attach' } } },
    { type: 'EndpointJoinRequested', data: { interface: 'eth0', gateways: { ipv4: null, ipv6: null } } },
    { type: 'EndpointCreateRequested', data: { endpoint: { name: 'w', origin: 'attach' } } },
    { type: 'EndpointJoinRequested', data: { interface: 'eth1' } },
    { type: 'EndpointCreateRequested', data: { endpoint: { name: 's1' } } },
    { type: 'EndpointJoinRequested', data: { interface: 'eth2' } },
  );
  const last = facts.at(-1);
  assert.ok(last?.type === 'EndpointJoinRequested');
  const [row] = world.state.sandboxes.values();
  assert.deepEqual(last.data.gateways, { ipv4: row?.members[1], ipv6: row?.members[2] });
  assert.equal(row?.members.length, 3);
});

test('AttachSandbox: all or nothing', () => {
  const attach = (...networks: CommandInput<'AttachSandbox'>['networks']) => ({ sandbox: 's1', networks });
  given(web)
    .when('AttachSandbox', attach({ network: 'web' }, { network: 'x' }))
    .refuses('NETWORK_NOT_FOUND', { id: 'x' });
  given(web, db)
    .when('AttachSandbox', attach({ network: 'web' }, { network: 'db', interfaces: [{ ipv4: '10.9.9.9' }] }))
    .refuses('ADDRESS_OUTSIDE_SUBNET');
  given(web, endpoint('web', 's1'))
    .when('AttachSandbox', attach({ network: 'web' }))
    .refuses('ENDPOINT_EXISTS', { name: 's1' });
  given(web)
    .when('AttachSandbox', attach({ network: 'web' }, { network: 'WEB', name: 'other' }))
    .refuses('SANDBOX_CONFLICT', { kind: 'network', name: 'web' });
  given(web, network('x', { driver: 'null' }))
    .when('AttachSandbox', attach({ network: 'web' }, { network: 'x' }))
    .refuses('SANDBOX_EXCLUSIVE', { name: 'x' });
  given(web)
    .when('AttachSandbox', { ...attach({ network: 'web' }), netns: '/etc/passwd' })
    .refuses('NETNS_INVALID', { id: '/etc/passwd' });
  given(web)
    .when('AttachSandbox', attach({ network: 'h1/web' }, { network: 'h2/web' }))
    .refuses('NETWORK_NOT_FOUND', {
      id: 'h2/web',
    });
});

test('AttachSandbox: adds to a sandbox that is there', () => {
  given(web, db, a, joined('web', 'a', 's1'))
    .when('AttachSandbox', { sandbox: 's1', networks: [{ network: 'db' }] })
    .records(created, { type: 'EndpointJoinRequested', data: { interface: 'eth1' } });
  given(web, did('AttachSandbox', { sandbox: 's1', networks: [{ network: 'web' }] }))
    .when('AttachSandbox', { sandbox: 's1', networks: [{ network: 'web' }] })
    .refuses('ENDPOINT_EXISTS', { name: 's1' });
});

// ---------------------------------------------------------------- DetachSandbox

test('DetachSandbox: leaves all, deletes only what attach made', () => {
  const attached = did('AttachSandbox', { sandbox: 's1', networks: [{ network: 'db' }, { network: 'six' }] });
  const { world, when } = given(web, db, six, a, joined('web', 'a', 's1'), attached, reported);
  when('DetachSandbox', { sandbox: 's1' }).records(
    { type: 'EndpointLeaveRequested', data: { name: 'a', last: false } },
    { type: 'EndpointLeaveRequested', data: { name: 's1', last: false } },
    { type: 'EndpointDeleteRequested', data: { name: 's1', cause: 'detach' } },
    { type: 'EndpointLeaveRequested', data: { name: 's1', last: true } },
    { type: 'EndpointDeleteRequested', data: { name: 's1', cause: 'detach' } },
  );
  assert.equal(world.state.sandboxIds.size, 0);
  assert.deepEqual(
    [...world.state.endpoints.values()].map(({ facts, status }) => `${facts.name} ${status}`),
    ['a leaving', 's1 deleting', 's1 deleting'],
  );
});

test('DetachSandbox: what is not there, twice, and before anything is reported', () => {
  given().when('DetachSandbox', { sandbox: 's1' }).refuses('SANDBOX_NOT_FOUND', { kind: 'sandbox', id: 's1' });
  const attached = did('AttachSandbox', { sandbox: 's1', networks: [{ network: 'web' }] });
  given(web, attached).when('DetachSandbox', { sandbox: 's1' }).records(leaving, deleting);
  given(web, attached, did('DetachSandbox', { sandbox: 's1' }))
    .when('DetachSandbox', { sandbox: 's1' })
    .refuses('SANDBOX_NOT_FOUND', { id: 's1' });
  given(web, attached).when('DetachSandbox', { sandbox: 'S1' }).refuses('SANDBOX_NOT_FOUND', { id: 'S1' });
});
