// Specifications of leases: who renews them, what ends what nobody renews, and that a renewal between the steps wins.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drivers } from '../../drivers/registry.ts';
import { Command, type CommandInput } from '../../events/commands.ts';
import { routeCommand } from '../../events/route.ts';
import { sharedState } from '../../events/state.ts';
import { did, endpoint, given, joined, later, network, reported, type Step } from '../support/specification.ts';
import { startMs, World } from '../support/world.ts';

const leaseMs = 60_000;
const web = network('web');
const attach = (more: Partial<CommandInput<'AttachSandbox'>> = {}): Step =>
  did('AttachSandbox', { sandbox: 's1', leaseMs, owner: 'ci', networks: [{ network: 'web' }], ...more });
const leased = [web, attach(), reported];
const expired = later(leaseMs);
const boxOf = (world: World) => [...world.state.sandboxes.values()].at(-1) ?? assert.fail('no sandbox');
const at = (world: World, renewals = 0) => ({ incarnation: boxOf(world).facts.incarnation, renewals });
const suspected: Step = (world) => void world.run('SuspectLease', at(world), { actor: 'collector' });
const renewed: Step = (world) => void world.run('RenewLease', { sandbox: 's1' });

test('RenewLease: by whoever has made it, for whom it was made, for as long as is said from now on', () => {
  const { when, world } = given(...leased, later(10_000));
  const { id, incarnation } = boxOf(world).facts;
  const about = { sandbox: { id, incarnation }, network: null };
  when('RenewLease', { sandbox: 's1' }, { actor: 'bob' }).refuses('LEASE_NOT_YOURS', { kind: 'sandbox' });
  when('RenewLease', { sandbox: 's1', owner: 'cd' }).refuses('LEASE_NOT_YOURS', { kind: 'sandbox' });
  when('RenewLease', { sandbox: 's2' }).refuses('SANDBOX_NOT_FOUND');
  when('RenewLease', {}).refuses('COMMAND_MALFORMED');
  when('RenewLease', { sandbox: 's1', network: 'web' }).refuses('COMMAND_MALFORMED');
  when('RenewLease', { network: 'web' }).refuses('LEASE_NOT_FOUND', { kind: 'network' });
  when('RenewLease', { sandbox: 's1', owner: 'ci' }).records({
    type: 'LeaseRenewed',
    data: { ...about, leaseMs, renewals: 1 },
  });
  when('RenewLease', { sandbox: 's1', leaseMs: 5_000 }).records({
    type: 'LeaseRenewed',
    data: { leaseMs: 5_000, renewals: 2 },
  });
  when('RenewLease', { sandbox: 's1' }).records({ type: 'LeaseRenewed', data: { leaseMs: 5_000, renewals: 3 } });
});

test('a lease is asked for with the first join, and what comes into the sandbox later cannot ask for another', () => {
  const e = endpoint('web', 'e');
  const join = (more: object) => ({ network: 'web', endpoint: 'e', sandbox: 's1', ...more });
  const { when } = given(...leased, e);
  when('JoinEndpoint', join({ leaseMs: 1_000 })).refuses('SANDBOX_CONFLICT');
  when('JoinEndpoint', join({ owner: 'cd' })).refuses('SANDBOX_CONFLICT');
  when('JoinEndpoint', join({ owner: 'ci', leaseMs })).records({ type: 'EndpointJoinRequested' });
  given(web, e, did('JoinEndpoint', join({ leaseMs })), reported, expired, suspected);
  given(web, attach({ leaseMs: undefined }), reported)
    .when('RenewLease', { sandbox: 's1' })
    .refuses('LEASE_NOT_FOUND', { kind: 'sandbox' });
});

test('SuspectLease: when it has run out, once', () => {
  const { when: early, world: first } = given(...leased, later(leaseMs - 1));
  early('SuspectLease', at(first)).refuses('LEASE_RUNNING', { kind: 'sandbox' });
  const { when, world } = given(...leased, expired);
  when('ExpireLease', at(world)).refuses('LEASE_RUNNING', { kind: 'sandbox' });
  when('SuspectLease', at(world, 1)).refuses('LEASE_RUNNING', { kind: 'sandbox' });
  const expiredAt = new Date(startMs + leaseMs).toISOString();
  when('SuspectLease', at(world)).records({ type: 'LeaseSuspected', data: { renewals: 0, expiredAt, network: null } });
  when('SuspectLease', at(world)).refuses('LEASE_RUNNING', { kind: 'sandbox' });
  given(web, attach({ leaseMs: undefined }), reported, expired)
    .when('SuspectLease', at(world))
    .refuses('LEASE_RUNNING', { kind: 'sandbox' });
});

test('ExpireLease: detaches, and leaves what attach has not made', () => {
  const { world, when } = given(
    web,
    endpoint('web', 'own'),
    attach(),
    joined('web', 'own', 's1'),
    reported,
    expired,
    suspected,
  );
  when('ExpireLease', at(world)).records(
    { type: 'EndpointLeaveRequested', data: { name: 's1' } },
    { type: 'EndpointDeleteRequested', data: { name: 's1', cause: 'detach' } },
    { type: 'EndpointLeaveRequested', data: { name: 'own', last: true } },
  );
  world.succeed();
  assert.equal(world.state.sandboxes.size, 0);
  assert.deepEqual(
    [...world.state.endpoints.values()].map(({ facts }) => facts.name),
    ['own'],
  );
  when('ExpireLease', { incarnation: 'sandbox00001', renewals: 0 }).refuses('SANDBOX_NOT_FOUND');
});

test('a renewal between the steps wins, before the end comes even where it has run out long ago', () => {
  const { world, when } = given(...leased, expired, suspected, later(3_600_000), renewed);
  when('ExpireLease', at(world)).refuses('LEASE_RUNNING', { kind: 'sandbox' });
  when('ExpireLease', at(world, 1)).refuses('LEASE_RUNNING', { kind: 'sandbox' });
  world.nowMs += leaseMs;
  when('ExpireLease', at(world, 1)).refuses('LEASE_RUNNING', { kind: 'sandbox' });
  world.run('SuspectLease', at(world, 1));
  when('ExpireLease', at(world, 1)).records({ type: 'EndpointLeaveRequested' }, { type: 'EndpointDeleteRequested' });
});

test('a sandbox keeps its lease while it moves, and is not detached in the middle of it', () => {
  const move = did('MoveSandbox', { sandbox: 's1', from: 'web', to: { network: 'db' } });
  const { world, when } = given(network('db'), ...leased, expired, suspected, move);
  when('ExpireLease', at(world)).refuses('SANDBOX_MOVING');
  when('RenewLease', { sandbox: 's1' }).records({ type: 'LeaseRenewed', data: { renewals: 1 } });
  world.succeed();
  assert.deepEqual([boxOf(world).lease?.renewals, boxOf(world).facts.leaseMs], [1, leaseMs]);
});

test('the lease of a join that is under way runs too, and a sandbox made anew begins with its own', () => {
  const { world, when } = given(web, attach(), expired);
  when('SuspectLease', at(world)).records({ type: 'LeaseSuspected' });
  when('ExpireLease', at(world)).records({ type: 'EndpointLeaveRequested' }, { type: 'EndpointDeleteRequested' });
  const old = at(world);
  world.run('AttachSandbox', { sandbox: 's1', leaseMs, networks: [{ network: 'web', name: 'again' }] });
  when('SuspectLease', old).refuses('SANDBOX_NOT_FOUND');
  assert.equal(boxOf(world).lease?.suspectedAt, null);
});

// ---------------------------------------------------------------- networks

const trial = network('trial', { leaseMs, owner: 'ci' });
const idOf = (world: World) => ({ network: world.network('trial').facts.id });

test('DeleteNetwork of a lease: only when it has run out as often as was renewed; else like any other', () => {
  const { world, when } = given(trial, reported);
  when('DeleteNetwork', { ...idOf(world), renewals: 0 }).refuses('LEASE_RUNNING', { kind: 'network' });
  when('RenewLease', { network: 'trial' }, { actor: 'bob' }).refuses('LEASE_NOT_YOURS', { kind: 'network' });
  world.nowMs += leaseMs;
  world.run('RenewLease', { network: 'trial' });
  when('DeleteNetwork', { ...idOf(world), renewals: 0 }).refuses('LEASE_RUNNING', { kind: 'network' });
  world.nowMs += leaseMs;
  when('DeleteNetwork', { ...idOf(world), renewals: 0 }).refuses('LEASE_RUNNING', { kind: 'network' });
  when('DeleteNetwork', { ...idOf(world), renewals: 1 }).records({
    type: 'NetworkDeleteRequested',
    data: { name: 'trial' },
  });
  const { world: busy, when: asked } = given(trial, endpoint('trial', 'a'), reported, expired);
  asked('DeleteNetwork', { ...idOf(busy), renewals: 0 }).refuses('NETWORK_HAS_ENDPOINTS', { name: 'a' });
  const { world: plain, when: never } = given(network('trial'), reported);
  never('DeleteNetwork', { ...idOf(plain), renewals: 0 }).refuses('LEASE_RUNNING', { kind: 'network' });
  never('DeleteNetwork', idOf(plain)).records({ type: 'NetworkDeleteRequested' });
});

test('RenewLease goes to where the sandbox or the network is', () => {
  const two = new World();
  for (const step of [web, trial, attach()]) step(two);
  const hosts = new Map([
    ['h1', new World().state],
    ['h2', two.state],
  ]);
  const routed = (data: object) => {
    const command = Command.parse({ id: 'mwppn7f2-x', type: 'RenewLease', data });
    const answer = routeCommand({ hosts, shared: sharedState(), drivers }, command, null);
    if (!answer.ok) return answer.code;
    return answer.place.kind === 'host' ? answer.place.host : answer.place.kind;
  };
  assert.deepEqual(
    [{ sandbox: 's1' }, { network: 'trial' }, { network: 'h2/trial' }, { sandbox: 's9' }, { network: 'n' }, {}].map(
      routed,
    ),
    ['h2', 'h2', 'h2', 'SANDBOX_NOT_FOUND', 'NETWORK_NOT_FOUND', 'HOST_REQUIRED'],
  );
});
