// The way out of sandboxes whose networks have none: made with the first join that needs it, gone with the last.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { attach, attached, closed, given, outlets, place, span, web, wide } from '../support/outlets.ts';
import { did, endpoint, joined, left, network, reported, type Step } from '../support/specification.ts';

describe('the way out: who gets one', () => {
  it('is an endpoint in a bridge network of ours, made with the first join that needs it', () => {
    const { world, when } = given(span);
    const facts = when('AttachSandbox', { sandbox: 'a', networks: [{ network: 'span' }] }).records(
      { type: 'EndpointAdmitted' },
      { type: 'EndpointCreateRequested', data: { endpoint: { origin: 'attach' } } },
      { type: 'EndpointJoinRequested', data: { interface: 'eth0' } },
      {
        type: 'NetworkCreateRequested',
        data: {
          network: {
            name: 'cnm-gateway',
            driver: 'bridge',
            outlet: true,
            ipv6: false,
            internal: false,
            subnets: [{ subnet: '10.200.0.0/22', gateway: '10.200.0.1' }],
            options: { 'com.docker.network.bridge.enable_icc': 'false' },
          },
        },
      },
      { type: 'EndpointCreateRequested', data: { endpoint: { origin: 'outlet', ipv4: '10.200.0.2/22' } } },
      { type: 'EndpointJoinRequested', data: { interface: 'eth1', ipv4: '10.200.0.2/22' } },
    );
    const last = facts.at(-1);
    assert.ok(last?.type === 'EndpointJoinRequested');
    assert.equal(last.data.gateways.ipv4, last.data.endpointId);
    assert.equal(last.data.name, `gateway-${last.data.endpointId}`);
    assert.deepEqual(place(world), { on: ['span', 'cnm-gateway'], through: 'cnm-gateway' });
    assert.equal(world.network('cnm-gateway').status, 'active', 'nobody has to make it');
    assert.equal(world.state.progress.size, 1, 'the command goes on');
    world.succeed();
    assert.equal(world.state.progress.size, 0);
    assert.equal(world.state.intents.size, 0);
  });

  it('is one network for all sandboxes of the host', () => {
    const { world, when } = given(span, attached('b', 'span'));
    attach(when, 'span').records(
      { type: 'EndpointAdmitted' },
      { type: 'EndpointCreateRequested' },
      { type: 'EndpointJoinRequested' },
      { type: 'EndpointCreateRequested', data: { endpoint: { ipv4: '10.200.0.3/22' } } },
      { type: 'EndpointJoinRequested' },
    );
    assert.deepEqual(outlets(world), ['cnm-gateway']);
  });

  it('comes with a join of an endpoint that is there, and once for several networks', () => {
    const alone = given(span, endpoint('span', 'x'), joined('span', 'x', 'a'));
    assert.deepEqual(place(alone.world), { on: ['span', 'cnm-gateway'], through: 'cnm-gateway' });
    const both = given(span, wide, attached('a', 'span', 'wide'));
    assert.deepEqual(place(both.world).on, ['span', 'wide', 'cnm-gateway']);
    const later = given(span, wide, attached('a', 'span'), attached('a', 'wide'));
    assert.deepEqual(place(later.world).on, ['span', 'cnm-gateway', 'wide']);
  });

  for (const [what, networks] of [
    ['an internal overlay', ['closed']],
    ['an overlay beside a network with a gateway', ['span', 'web']],
    ['an overlay behind a network with a gateway', ['web', 'span']],
    ['networks with gateways alone', ['web']],
  ] as const)
    it(`is not given to ${what}`, () => {
      const { world } = given(span, closed, web, attached('a', ...networks));
      assert.deepEqual(place(world).on, networks);
      assert.deepEqual(outlets(world), []);
    });

  it('is given beside a network without a gateway', () => {
    const { world } = given(span, network('in', { internal: true }), attached('a', 'span', 'in'));
    assert.deepEqual(place(world), { on: ['span', 'in', 'cnm-gateway'], through: 'cnm-gateway' });
  });
});

describe('the way out: how it goes', () => {
  it('goes when another network carries the default route, as a whole with its join', () => {
    const { world, when } = given(span, web, attached('a', 'span'), reported);
    attach(when, 'web').records(
      { type: 'EndpointCreateRequested' },
      { type: 'EndpointJoinRequested', data: { interface: 'eth2' } },
      { type: 'EndpointLeaveRequested', data: { interface: 'eth1', last: false, before: { index: 1 } } },
      { type: 'EndpointDeleteRequested', data: { cause: 'detach' } },
    );
    assert.deepEqual(place(world), { on: ['span', 'web'], through: 'web' });
    assert.ok([...world.state.intents.values()].every(({ meta }) => meta.revertible === true));
    // Until it is reported it may be reverted, so nothing is built on it.
    when('DetachSandbox', { sandbox: 'a' }).refuses('SANDBOX_MOVING');
    world.succeed();
    assert.equal(world.network('cnm-gateway').status, 'active', 'the network stays');
    assert.equal(world.state.cells.get(world.network('cnm-gateway').facts.id)?.endpoints.size, 0);
    when('DetachSandbox', { sandbox: 'a' }).records(
      { type: 'EndpointLeaveRequested' },
      { type: 'EndpointDeleteRequested' },
      { type: 'EndpointLeaveRequested', data: { last: true } },
      { type: 'EndpointDeleteRequested' },
    );
  });

  it('is as it was when that join fails', () => {
    const { world } = given(span, web, attached('a', 'span'), reported, attached('a', 'web'));
    for (const type of [...world.state.intents.values()].map((intent) => intent.type)) world.fail(type);
    assert.deepEqual(place(world), { on: ['span', 'cnm-gateway'], through: 'cnm-gateway' });
    assert.equal(world.state.progress.size + world.state.intents.size, 0);
  });

  it('comes back when the network with the gateway is left, which stays if that fails', () => {
    const steps = [span, web, attached('a', 'span', 'web'), reported] as const;
    const { world, when } = given(...steps);
    when('LeaveEndpoint', { network: 'web', endpoint: 'a' }).records(
      { type: 'EndpointLeaveRequested', data: { interface: 'eth1', last: false } },
      { type: 'NetworkCreateRequested' },
      { type: 'EndpointCreateRequested', data: { endpoint: { origin: 'outlet' } } },
      // The other interface is still there while this one is made.
      { type: 'EndpointJoinRequested', data: { interface: 'eth2' } },
    );
    assert.deepEqual(place(world), { on: ['span', 'cnm-gateway'], through: 'cnm-gateway' });
    world.succeed();
    assert.equal(world.state.progress.size, 0);
    const other = given(...steps, left('web', 'a')).world;
    for (const type of [...other.state.intents.values()].map((intent) => intent.type)) other.fail(type);
    assert.deepEqual(place(other), { on: ['span', 'web'], through: 'web' });
    assert.deepEqual(outlets(other), ['cnm-gateway'], 'the network stays for the next one');
  });

  it('goes with the last endpoint that needs it, and the sandbox with it', () => {
    const { world, when } = given(span, endpoint('span', 'x'), joined('span', 'x', 'a'), reported);
    when('LeaveEndpoint', { network: 'span', endpoint: 'x' }).records(
      { type: 'EndpointLeaveRequested', data: { name: 'x', last: false } },
      { type: 'EndpointLeaveRequested', data: { last: true } },
      { type: 'EndpointDeleteRequested', data: { cause: 'detach' } },
    );
    assert.ok(
      [...world.state.intents.values()].every(({ meta }) => meta.revertible === undefined),
      'it only takes away',
    );
    world.succeed();
    assert.equal(world.state.sandboxes.size, 0);
    assert.equal(world.endpoint('x').status, 'created');
  });

  it('stays for a sandbox that keeps another network that needs it', () => {
    const { world, when } = given(span, wide, attached('a', 'span', 'wide'), reported);
    when('LeaveEndpoint', { network: 'span', endpoint: 'a' }).records({ type: 'EndpointLeaveRequested' });
    assert.deepEqual(place(world).on, ['wide', 'cnm-gateway']);
  });

  it('goes with the networks that a sandbox is detached from', () => {
    const { world, when } = given(span, attached('a', 'span'), reported);
    when('DetachSandbox', { sandbox: 'a' }).records(
      { type: 'EndpointLeaveRequested' },
      { type: 'EndpointDeleteRequested' },
      { type: 'EndpointLeaveRequested', data: { last: true } },
      { type: 'EndpointDeleteRequested' },
    );
    world.succeed();
    assert.equal(world.state.endpoints.size + world.state.sandboxes.size, 0);
  });

  it('comes, goes and stays with moves', () => {
    const move = (from: string, to: string): Step => did('MoveSandbox', { sandbox: 'a', from, to: { network: to } });
    const there = given(span, web, attached('a', 'web'), reported, move('web', 'span'));
    assert.deepEqual(place(there.world).on, ['span', 'cnm-gateway']);
    there.world.succeed();
    const back = given(span, web, attached('a', 'span'), reported, move('span', 'web'));
    assert.deepEqual(place(back.world).on, ['web']);
    back.world.succeed();
    assert.deepEqual(
      [...back.world.state.endpoints.values()].map(({ facts }) => facts.origin),
      ['attach'],
    );
    const across = given(span, wide, attached('a', 'span'), reported, move('span', 'wide'));
    assert.deepEqual(place(across.world).on, ['cnm-gateway', 'wide']);
    const none = given(
      span,
      network('none', { driver: 'null', ipv4: true }),
      attached('a', 'span'),
      reported,
      move('span', 'none'),
    );
    assert.deepEqual(place(none.world).on, ['none']);
    for (const type of [...back.world.state.intents.values()].map((intent) => intent.type)) back.world.fail(type);
  });

  it('is at its place again when the move fails', () => {
    const { world } = given(
      span,
      web,
      attached('a', 'span'),
      reported,
      did('MoveSandbox', { sandbox: 'a', from: 'span', to: { network: 'web' } }),
    );
    for (const type of [...world.state.intents.values()].map((intent) => intent.type)) world.fail(type);
    assert.deepEqual(place(world), { on: ['span', 'cnm-gateway'], through: 'cnm-gateway' });
    assert.equal(world.state.progress.size + world.state.intents.size, 0);
  });
});
