// The network that is the way out of others, ports that are led through it, and what failures leave of it.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { attach, attached, closed, first, given, outlets, place, span, web, wide } from '../support/outlets.ts';
import { able } from '../support/realm-stage.ts';
import { did, givenIn, left, network, reported } from '../support/specification.ts';
import { fault, outcomeOf, type World } from '../support/world.ts';

describe('the way out: its network', () => {
  it('takes no endpoints, no moves and no updates of others', () => {
    const { world, when } = given(span, web, attached('a', 'span'), attached('b', 'web'), reported);
    const name =
      world.state.endpoints.size &&
      [...world.state.endpoints.values()].find(({ facts }) => facts.origin === 'outlet')?.facts.name;
    assert.ok(typeof name === 'string');
    const culprit = { kind: 'network', name: 'cnm-gateway' };
    const ref = { network: 'cnm-gateway', endpoint: name };
    when('CreateEndpoint', { network: 'cnm-gateway', name: 'x' }).refuses('NETWORK_OUTLET', culprit);
    when('AttachSandbox', { sandbox: 'c', networks: [{ network: 'cnm-gateway' }] }).refuses('NETWORK_OUTLET', culprit);
    when('MoveSandbox', { sandbox: 'b', from: 'web', to: { network: 'cnm-gateway' } }).refuses(
      'NETWORK_OUTLET',
      culprit,
    );
    when('MoveSandbox', { sandbox: 'a', from: 'cnm-gateway', to: { network: 'web' } }).refuses(
      'NETWORK_OUTLET',
      culprit,
    );
    when('LeaveEndpoint', ref).refuses('NETWORK_OUTLET', culprit);
    when('UpdateEndpoint', { ...ref, ports: [{ port: 80 }] }).refuses('NETWORK_OUTLET', culprit);
    when('UpdateNetwork', { network: 'cnm-gateway', labels: { a: 'b' } }).refuses('NETWORK_OUTLET', culprit);
    when('DeleteEndpoint', ref).refuses('ENDPOINT_JOINED');
    when('DeleteNetwork', { network: 'cnm-gateway' }).refuses('NETWORK_HAS_ENDPOINTS', { name });
  });

  it('is deleted or pruned when nobody is in it, at once, and made anew', () => {
    const steps = [
      span,
      web,
      attached('a', 'span'),
      reported,
      did('DetachSandbox', { sandbox: 'a' }),
      reported,
    ] as const;
    const deleted = given(...steps);
    deleted.when('DeleteNetwork', { network: 'cnm-gateway' }).records({ type: 'NetworkDeleteRequested' });
    assert.deepEqual(outlets(deleted.world), []);
    assert.equal(deleted.world.state.intents.size + deleted.world.state.progress.size, 0);
    const pruned = given(...steps);
    pruned
      .when('PruneNetworks', {})
      .records(
        { type: 'NetworkDeleteRequested', data: { name: 'web' } },
        { type: 'NetworkDeleteRequested', data: { name: 'cnm-gateway' } },
      );
    assert.equal(pruned.world.state.intents.size, 1);
    assert.equal(pruned.world.state.progress.size, 1, 'it ends when the other one is reported');
    pruned.world.succeed();
    assert.equal(pruned.world.state.networks.size + pruned.world.state.progress.size, 0);
    pruned.world.run('AttachSandbox', { sandbox: 'a', networks: [{ network: 'span' }] });
    assert.deepEqual(outlets(pruned.world), ['cnm-gateway']);
  });

  it('ends with its last endpoint when it is deleted before that is gone, and another one is made', () => {
    const { world } = given(span, attached('a', 'span'), reported, did('DetachSandbox', { sandbox: 'a' }));
    world.run('DeleteNetwork', { network: 'cnm-gateway' });
    world.run('AttachSandbox', { sandbox: 'b', networks: [{ network: 'span' }] });
    assert.deepEqual(outlets(world), ['cnm-gateway', 'cnm-gateway']);
    world.succeed();
    assert.deepEqual(outlets(world), ['cnm-gateway']);
    assert.equal(world.state.progress.size, 0);
  });

  it('has another name where somebody has that one', () => {
    const { world } = given(span, network('cnm-gateway'), attached('a', 'span'));
    assert.deepEqual(outlets(world), ['cnm-gateway-1']);
  });

  it('has as large a subnet as the pools have', () => {
    const pools = [{ base: '10.9.8.0/24', size: 26 }];
    const { world } = givenIn({ facts: { ...able('h1'), pools } }, span, attached('a', 'span'));
    assert.equal(world.network('cnm-gateway').facts.subnets[0]?.subnet, '10.9.8.0/24');
    const full = givenIn(
      { facts: { ...able('h1'), pools: [{ base: '10.9.8.0/30', size: 30 }] } },
      span,
      network('web'),
    );
    attach(full.when, 'span').refuses('SUBNET_POOL_EXHAUSTED');
    const small = givenIn(
      { facts: { ...able('h1'), pools: [{ base: '10.9.8.0/30', size: 30 }] } },
      span,
      attached('b', 'span'),
    );
    attach(small.when, 'span').refuses('ADDRESS_POOL_EXHAUSTED', { name: 'cnm-gateway' });
  });

  it('stays when the join that it was made for fails, for whoever came after', () => {
    const { world } = given(span, attached('a', 'span'), attached('b', 'span'));
    const failing = [...world.state.intents.values()].filter(({ meta }) => meta.commandid === first(world));
    assert.equal(failing.length, 4);
    for (const intent of failing) world.report(outcomeOf(intent, fault()), intent);
    world.succeed();
    assert.deepEqual(place(world, 'b').on, ['span', 'cnm-gateway']);
    assert.equal(world.state.endpoints.size, 2);
    assert.equal(world.state.progress.size, 0);
  });
});

describe('the way out: published ports', () => {
  const port = { port: 80, hostPort: 8080 };

  it('leads ports of overlay endpoints', () => {
    const { when } = given(span, closed);
    when('CreateEndpoint', { network: 'span', name: 'x', ports: [port] }).records(
      { type: 'EndpointAdmitted' },
      {
        type: 'EndpointCreateRequested',
        data: { endpoint: { ports: [{ hostAddresses: ['127.0.0.1'], hostPort: 8080 }] } },
      },
    );
    when('CreateEndpoint', { network: 'span', name: 'y', ports: [{ ...port, hostAddress: '::' }] }).refuses(
      'PORT_ADDRESS_INVALID',
    );
    when('CreateEndpoint', { network: 'closed', name: 'x', ports: [port] }).refuses('DRIVER_FORBIDS');
  });

  it('leads ports of sandboxes, until another network does', () => {
    const { world, when } = given(span, web);
    when('AttachSandbox', {
      sandbox: 'a',
      networks: [{ network: 'span' }],
      ports: [{ ...port, hostAddress: 'any' }],
    }).records(
      { type: 'EndpointAdmitted' },
      { type: 'EndpointCreateRequested' },
      { type: 'EndpointJoinRequested', data: { sandbox: { ports: [{ hostAddresses: ['0.0.0.0'] }] } } },
      { type: 'NetworkCreateRequested' },
      { type: 'EndpointCreateRequested' },
      { type: 'EndpointJoinRequested', data: { sandbox: { ports: [{ hostAddresses: ['0.0.0.0'] }] } } },
    );
    world.succeed();
    when('AttachSandbox', { sandbox: 'a', networks: [{ network: 'web' }] }).records(
      { type: 'EndpointCreateRequested' },
      { type: 'EndpointJoinRequested' },
      { type: 'EndpointLeaveRequested' },
      { type: 'EndpointDeleteRequested' },
    );
    when('AttachSandbox', { sandbox: 'b', networks: [{ network: 'closed' }], ports: [port] }).refuses(
      'NETWORK_NOT_FOUND',
    );
  });

  it('leads what an update publishes', () => {
    const { when } = given(span, attached('a', 'span'), reported);
    when('UpdateEndpoint', { network: 'span', endpoint: 'a', ports: [port] }).records({
      type: 'EndpointUpdateRequested',
      data: { settings: { ports: [{ hostAddresses: ['127.0.0.1'] }] } },
    });
  });
});

describe('the way out: what is mended', () => {
  const mend = ({ world, when }: ReturnType<typeof given>) =>
    when('MendSandbox', { incarnation: world.state.sandboxIds.get('a') ?? '' });
  /** The first command fails as a whole, all others are done. */
  const firstFails = (world: World) => {
    const failing = [...world.state.intents.values()].filter(({ meta }) => meta.commandid === first(world));
    for (const intent of failing) world.report(outcomeOf(intent, fault()), intent);
    world.succeed();
  };

  it('is made for a sandbox that was left without one by a failure', () => {
    const lost = given(span, wide, attached('a', 'span'), attached('a', 'wide'));
    mend(lost).refuses('SANDBOX_FITS', { kind: 'sandbox', id: 'a' });
    firstFails(lost.world);
    assert.deepEqual(place(lost.world), { on: ['wide'], through: null });
    mend(lost).records({ type: 'EndpointCreateRequested' }, { type: 'EndpointJoinRequested' });
    mend(lost).refuses('SANDBOX_FITS');
    lost.world.succeed();
    assert.deepEqual(place(lost.world), { on: ['wide', 'cnm-gateway'], through: 'cnm-gateway' });
    mend(lost).refuses('SANDBOX_FITS');
  });

  it('is made with its network, and the command ends when its endpoint is there', () => {
    const lost = given(span, attached('a', 'span'), reported);
    const { world } = lost;
    const outlet = [...world.state.endpoints.values()].find(({ facts }) => facts.origin === 'outlet');
    assert.ok(outlet?.sandbox);
    // As before there were ways out.
    const { id: endpointId, networkId, name } = outlet.facts;
    const data = { endpointId, networkId, name, fault: fault() };
    world.report({ type: 'EndpointCreateFailed', data }, null);
    did('DeleteNetwork', { network: 'cnm-gateway' })(world);
    mend(lost).records(
      { type: 'NetworkCreateRequested' },
      { type: 'EndpointCreateRequested' },
      { type: 'EndpointJoinRequested' },
    );
    assert.deepEqual(
      [...world.state.progress.values()].map(({ open }) => open.length),
      [2],
    );
    world.succeed();
    assert.equal(world.state.progress.size, 0);
  });

  it('is taken away where it is all that a failure left, and the sandbox ends', () => {
    const alone = given(web, span, attached('a', 'web'), reported, attached('a', 'span'), left('web', 'a'));
    firstFails(alone.world);
    assert.deepEqual(place(alone.world).on, ['cnm-gateway']);
    mend(alone).records({ type: 'EndpointLeaveRequested', data: { last: true } }, { type: 'EndpointDeleteRequested' });
    alone.world.succeed();
    assert.equal(alone.world.state.sandboxes.size, 0);
    alone.when('MendSandbox', { incarnation: 'nosandbox000' }).refuses('SANDBOX_NOT_FOUND');
  });
});
