// Specifications of SettleIntent for joins: what a plugin says of the interface in a sandbox.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CommandInput } from '../../events/commands.ts';
import { plugOf } from '../../events/state.ts';
import { attached, lan, plug, settled, settling, withPlugin } from '../support/settling.ts';
import { did, type Given, givenIn, network, reported, type Step } from '../support/specification.ts';

test('SettleIntent of a join: interface, gateways and routes are as the plugin says', () => {
  const spec = withPlugin(lan, network('web'), reported, attached('lan', 'web'));
  const { world } = spec;
  const web = [...world.state.endpoints.values()].find(
    ({ facts }) => facts.networkId === world.network('web').facts.id,
  );
  const own = [...world.state.endpoints.values()].find((row) => row !== web) ?? assert.fail();
  const gateways = () => [...world.state.sandboxes.values()][0]?.gateways;
  assert.deepEqual(gateways(), { ipv4: web?.facts.id, ipv6: null });
  const intent = [...world.state.intents.values()].find(({ type }) => type === 'EndpointJoinRequested')?.meta.id ?? '';
  const answer = plug({ gateway4: '10.200.0.1', routes: [{ destination: '10.99.98.7/24', gateway: null }] });
  spec.when('SettleIntent', { intent, epoch: 1, answer }, { actor: 'worker:h1' }).records({
    type: 'JoinSettled',
    data: {
      interface: 'eth1',
      plug: {
        ...{ link: 'pc0', gateway4: '10.200.0.1', gateway6: null, outlet: false },
        routes: [{ destination: '10.99.98.0/24', gateway: null }],
      },
      gateways: { ipv4: own.facts.id, ipv6: null },
    },
  });
  assert.deepEqual(gateways(), { ipv4: own.facts.id, ipv6: null });
  const row = world.state.endpoints.get(own.facts.id);
  assert.deepEqual([row?.sandbox?.interface, row?.plug?.link], ['eth1', 'pc0']);
  // its routes are its own from here on
  spec
    .when('AttachSandbox', {
      sandbox: 's1',
      networks: [{ network: 'web', name: 'b', routes: [{ destination: '10.99.98.0/24' }] }],
    })
    .refuses('ROUTE_INVALID', { kind: 'endpoint', detail: '10.99.98.0/24' });
});

test('SettleIntent of a join: a name that was asked for is used whatever the plugin’s prefix, else the next free number', () => {
  const join = (more: Partial<CommandInput<'CreateEndpoint'>>, ...before: readonly Step[]) =>
    withPlugin(lan, network('web'), reported, ...before, (world) => {
      world.run('AttachSandbox', { sandbox: 's1', networks: [{ network: 'lan', ...more }] });
    });
  const named = (given: Given, prefix: string) => settling(given, plug({ prefix })).records({ type: 'JoinSettled' })[0];
  const nameOf = (fact: ReturnType<typeof named>) => (fact?.type === 'JoinSettled' ? fact.data.interface : undefined);
  assert.equal(nameOf(named(join({ interface: 'lan7' }), 'eth')), 'lan7');
  assert.equal(nameOf(named(join({}), 'wv')), 'wv0');
  assert.equal(nameOf(named(join({}), '')), 'eth0');
  assert.equal(nameOf(named(join({ name: 'b' }, attached('web')), 'eth')), 'eth1');
});

test('SettleIntent of a join: bad names, gateways and routes are refused', () => {
  const bad = (more: Parameters<typeof plug>[0]) => settling(withPlugin(lan, reported, attached('lan')), plug(more));
  bad({ link: 'a/b' }).refuses('NAME_INVALID', { kind: 'interface', id: 'a/b' });
  bad({ link: '..' }).refuses('NAME_INVALID', { kind: 'interface', id: '..' });
  bad({ link: 'eth0\0x' }).refuses('NAME_INVALID', { kind: 'interface', id: 'eth0\0x' });
  bad({ link: '漢漢漢漢漢漢' }).refuses('NAME_INVALID', { kind: 'interface', id: '漢漢漢漢漢漢' });
  bad({ prefix: '-x' }).refuses('NAME_INVALID', { kind: 'interface', id: '-x' });
  bad({ gateway4: 'gw' }).refuses('ADDRESS_INVALID', { kind: 'gateway', id: 'gw' });
  bad({ gateway4: 'fd00::1' }).refuses('ADDRESS_INVALID', { id: 'fd00::1' });
  bad({ gateway4: '10.200.0.2' }).refuses('ADDRESS_INVALID', { id: '10.200.0.2' });
  bad({ gateway6: 'fd00::1' }).refuses('ADDRESS_INVALID', { id: 'fd00::1' });
  bad({ routes: [{ destination: 'nowhere', gateway: null }] }).refuses('ROUTE_INVALID', {
    kind: 'route',
    id: 'nowhere',
  });
  bad({ routes: [{ destination: '10.9.0.0/16', gateway: '10.8.0.1' }] }).refuses('ROUTE_INVALID', {
    id: '10.9.0.0/16',
  });
  bad({ routes: [{ destination: '0.0.0.0/0', gateway: null }] }).refuses('ROUTE_INVALID', { id: '0.0.0.0/0' });
  bad({ link: null, gateway4: '10.200.0.1' }).refuses('ROUTE_INVALID', { id: '10.200.0.1' });
});

test('SettleIntent of a join: a route that another interface of the sandbox has is refused, and no interface is no fault', () => {
  const spec = () => withPlugin(network('web'), lan, reported, attached('web', 'lan'));
  const clash = plug({ routes: [{ destination: '10.200.0.0/24', gateway: null }] });
  settling(spec(), clash).refuses('ROUTE_INVALID', { kind: 'endpoint', name: 's1', detail: '10.200.0.0/24' });
  settling(spec(), plug({ link: null })).records({
    type: 'JoinSettled',
    data: { interface: null, plug: { link: null } },
  });
  const bridge = withPlugin(network('web'), reported, attached('web'));
  settling(bridge, plug()).refuses('SETTLE_INVALID', { kind: 'intent' });
});

test('a plug is over with its join', () => {
  const spec = withPlugin(lan, reported, attached('lan'), settled(plug({ gateway4: '10.200.0.1' })), reported);
  const { world } = spec;
  assert.equal(plugOf(world.endpoint('s1'))?.link, 'pc0');
  did('LeaveEndpoint', { network: 'lan', endpoint: 's1' })(world);
  assert.equal(world.endpoint('s1').sandbox?.interface, 'eth0');
  world.succeed();
  assert.equal(plugOf(world.endpoint('s1')), null);
  did('JoinEndpoint', { network: 'lan', endpoint: 's1', sandbox: 's2' })(world);
  assert.equal(plugOf(world.endpoint('s1')), null);
  assert.deepEqual([...world.state.sandboxes.values()][0]?.gateways, { ipv4: null, ipv6: null });
});

test('SettleIntent: what the host itself stands on is no plugin’s to lend', () => {
  const facts = {
    drivers: ['weave'],
    underlay: { address: '192.0.2.1', device: 'up0', mtu: 1500 },
    linkRoutes: { eth1: ['198.51.100.0/24'], pc0: ['fe80::/64'] },
  };
  const given = () => givenIn({ facts }, lan, reported, attached('lan'));
  for (const link of ['lo', 'up0', 'eth1'])
    settling(given(), plug({ link })).refuses('INTERFACE_IN_USE', { kind: 'interface', id: link });
  settling(given(), plug({ link: 'pc0' })).records({ type: 'JoinSettled' });
});
