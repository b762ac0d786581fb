// The way out of sandboxes whose networks have none: made with the first join that needs it, gone with the last.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CommandInput } from '../../events/commands.ts';
import { able } from '../support/realm-stage.ts';
import { did, endpoint, givenIn, joined, left, network, reported, type Step } from '../support/specification.ts';
import { fault, outcomeOf, type World } from '../support/world.ts';

const given = (...steps: readonly Step[]) => givenIn({ facts: able('h1') }, ...steps);

const overlay = (name: string, subnet: string, more: Partial<CommandInput<'CreateNetwork'>> = {}): Step =>
  network(name, { driver: 'overlay', ipam: { subnets: [{ subnet }] }, ...more });
const span = overlay('span', '10.77.0.0/24');
const wide = overlay('wide', '10.78.0.0/24');
const closed = overlay('closed', '10.79.0.0/24', { internal: true });
const web = network('web');
const attached = (sandbox: string, ...names: readonly string[]): Step =>
  did('AttachSandbox', { sandbox, networks: names.map((name) => ({ network: name })) });

const attach = (when: ReturnType<typeof given>['when'], ...networks: readonly string[]) =>
  when('AttachSandbox', { sandbox: 'a', networks: networks.map((name) => ({ network: name })) });

const outlets = ({ state }: World) => [...state.outlets.keys()].map((id) => state.networks.get(id)?.facts.name);
/** Networks that a sandbox is on, and which of them carries its default route. */
const place = ({ state }: World, id = 'a') => {
  const row = state.sandboxes.get(state.sandboxIds.get(id) ?? '');
  const nameOf = (endpointId: string) => {
    const networkId = state.endpoints.get(endpointId)?.facts.networkId ?? '';
    return (state.networks.get(networkId) ?? state.shared.networks.get(networkId))?.facts.name;
  };
  return { on: row?.members.map(nameOf) ?? [], through: row?.gateways.ipv4 ? nameOf(row.gateways.ipv4) : null };
};

/** Id of the command that the first open intent is of. */
const first = ({ state }: World) => [...state.intents.values()][0]?.meta.commandid;

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
    assert.equal(last.data.name, `gateway-${last.data.sandbox.incarnation}`);
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
