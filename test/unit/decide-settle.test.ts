// Specifications of networks that somebody else carries out, and of SettleIntent for networks and endpoints.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CommandInput } from '../../events/commands.ts';
import {
  addresses,
  attached,
  intentOf,
  ipam,
  lan,
  plug,
  pool,
  settled,
  settling,
  subnets,
  withPlugin,
} from '../support/settling.ts';
import { did, endpoint, given, network, reported, type Step } from '../support/specification.ts';

test('CreateNetwork: a driver that the worker states is taken, with options that nobody else knows', () => {
  withPlugin()
    .when('CreateNetwork', { name: 'lan', driver: 'weave', options: { 'my.opt': '1' } })
    .records({
      type: 'NetworkCreateRequested',
      data: {
        network: {
          driver: 'weave',
          scope: 'host',
          defaultRoute: 'endpoint',
          options: { 'my.opt': '1' },
          subnets: [{ subnet: '10.200.0.0/24', gateway: '10.200.0.1' }],
          mtu: null,
        },
      },
    });
  given()
    .when('CreateNetwork', { name: 'lan', driver: 'weave' })
    .refuses('DRIVER_NOT_FOUND', { kind: 'driver', id: 'weave' });
});

test('AttachSandbox: what its driver decides is left open, and its networks live on when nobody states it any more', () => {
  const { world, when } = withPlugin(lan, network('web'), reported);
  world.report({ type: 'HostFacts', data: { ...world.state.facts.get('host'), drivers: [] } as never }, null);
  when('AttachSandbox', {
    sandbox: 's1',
    networks: [{ network: 'lan', interface: 'lan0', options: { 'k.v': 'x' } }, { network: 'web' }],
  }).records(
    { type: 'EndpointCreateRequested', data: { endpoint: { ipv4: '10.200.0.2/24', mac: null, wanted: null } } },
    { type: 'EndpointJoinRequested', data: { interface: null, mac: null, gateways: { ipv4: null, ipv6: null } } },
    { type: 'EndpointCreateRequested' },
    { type: 'EndpointJoinRequested', data: { interface: 'eth0' } },
  );
});

test('AttachSandbox: a name that an open join may get is nobody else’s', () => {
  const attach = (...interfaces: readonly string[]): CommandInput<'AttachSandbox'> => ({
    sandbox: 's1',
    networks: ['lan', 'web'].map((name, at) => ({ network: name, interface: interfaces[at] ?? 'eth9' })),
  });
  withPlugin(lan, network('web'), reported)
    .when('AttachSandbox', attach('lan0', 'lan0'))
    .refuses('INTERFACE_IN_USE', { kind: 'endpoint', detail: 'lan0' });
});

test('what its carrier reports of an interface is that of the membership', () => {
  const { world } = withPlugin(lan, did('AttachSandbox', { sandbox: 's1', networks: [{ network: 'lan' }] }));
  for (const intent of [...world.state.intents.values()]) {
    if (intent.type !== 'EndpointJoinRequested') {
      world.succeedOne(intent);
      continue;
    }
    const { endpointId, networkId, name, sandbox, ipv4, ipv6 } = intent.data;
    const data = { endpointId, networkId, name, key: sandbox.key, ipv4, ipv6, mac: '02:00:00:00:00:07', routes: [] };
    world.report(
      { type: 'EndpointJoined', data: { ...data, sandbox, interface: 'fab0', ports: [], peer: null } },
      intent,
    );
  }
  assert.equal(world.endpoint('s1').sandbox?.interface, 'fab0');
});

// ---------------------------------------------------------------- SettleIntent

test('SettleIntent: only the worker of the host settles, in its epoch, and only what is open and in time', () => {
  const answer = plug();
  const spec = withPlugin(lan, reported, attached('lan'));
  const intent = intentOf(spec.world, 'EndpointJoinRequested');
  const by = (actor: string, epoch: number, id = intent) =>
    spec.when('SettleIntent', { intent: id, epoch, answer }, { actor });
  by('alice', 1).refuses('SETTLE_INVALID', { kind: 'actor', id: 'alice' });
  by('worker:h2', 1).refuses('SETTLE_INVALID', { kind: 'actor', id: 'worker:h2' });
  by('worker:h1', 0).refuses('SETTLE_INVALID', { kind: 'host', id: 'h1', detail: '1' });
  by('worker:h1', 1, 'commit9.9').refuses('SETTLE_INVALID', { kind: 'intent', id: 'commit9.9' });
  const created = intentOf(spec.world, 'EndpointCreateRequested');
  by('worker:h1', 1, created).refuses('SETTLE_INVALID', { kind: 'intent', id: created });
  const { meta } = spec.world.state.intents.get(intent) ?? assert.fail();
  spec.world.nowMs += 60_000;
  spec.world.run('ExpireCommand', { actor: meta.actor, commandId: meta.commandid });
  by('worker:h1', 1).refuses('SETTLE_INVALID', { kind: 'intent', id: intent });
  spec.world.fail('EndpointJoinRequested');
  by('worker:h1', 1).refuses('SETTLE_INVALID', { kind: 'intent', id: intent });
});

test('SettleIntent: what is done is settled no more', () => {
  const spec = withPlugin(lan, reported, attached('lan'));
  const intent = intentOf(spec.world, 'EndpointJoinRequested');
  settled(plug())(spec.world);
  spec.world.succeed();
  spec
    .when('SettleIntent', { intent, epoch: 1, answer: plug() }, { actor: 'worker:h1' })
    .refuses('SETTLE_INVALID', { kind: 'intent', id: intent });
});

// ---------------------------------------------------------------- networks

test('SettleIntent of a network: subnet, gateway and pool are as its IPAM plugin says, and held', () => {
  const spec = withPlugin(ipam('lan', 'bridge'));
  assert.deepEqual(spec.world.network('lan').facts.subnets, []);
  const answer = subnets(pool('10.251.0.0/24', { gateway: '10.251.0.1', aux: { rtr: '10.251.0.5' } }));
  settling(spec, answer).records({
    type: 'NetworkSettled',
    data: {
      name: 'lan',
      subnets: [
        {
          ...{ family: 4, subnet: '10.251.0.0/24', range: null, gateway: '10.251.0.1', aux: { rtr: '10.251.0.5' } },
          ...{ vni: null, pool: 'plnet/10.251.0.0/24' },
        },
      ],
    },
  });
  assert.equal(spec.world.network('lan').facts.subnets[0]?.pool, 'plnet/10.251.0.0/24');
  spec
    .when('CreateNetwork', { name: 'other', ipam: { subnets: [{ subnet: '10.251.0.0/16' }] } })
    .refuses('SUBNET_OVERLAPS', { kind: 'network', name: 'lan' });
  // asked again after a restart: another answer takes its place
  settled(subnets(pool('10.252.0.0/24')))(spec.world);
  spec
    .when('CreateNetwork', { name: 'other', ipam: { subnets: [{ subnet: '10.251.0.0/16' }] } })
    .records({ type: 'NetworkCreateRequested' });
});

test('SettleIntent of a network: what was asked for is honoured, and one subnet comes for each family', () => {
  const asked = () => withPlugin(ipam('lan', 'weave', { subnets: [{ subnet: '10.7.0.0/24', gateway: '10.7.0.9' }] }));
  settling(asked(), subnets(pool('10.7.0.0/24', { gateway: '10.7.0.9' }))).records({ type: 'NetworkSettled' });
  settling(asked(), subnets(pool('10.8.0.0/24'))).refuses('SUBNET_INVALID', { kind: 'subnet', id: '10.8.0.0/24' });
  settling(asked(), subnets(pool('10.7.0.0/24'))).refuses('ADDRESS_INVALID');
  settling(asked(), subnets()).refuses('IPAM_INVALID', { kind: 'field', id: 'ipv4' });
  const six = pool('fd00:7::/64', { family: 6 });
  settling(asked(), subnets(pool('10.7.0.0/24', { gateway: '10.7.0.9' }), six)).refuses('IPAM_INVALID', { id: 'ipv6' });
  settling(asked(), subnets(six)).refuses('IPAM_INVALID', { kind: 'field', id: 'ipv4' });
});

test('SettleIntent of a network: a bad, taken or mismatching subnet is refused', () => {
  const open = () => withPlugin(network('web'), ipam('lan', 'bridge'));
  const bad = (answer: ReturnType<typeof pool>) => settling(open(), subnets(answer));
  bad(pool('10.200.0.0/24')).refuses('SUBNET_OVERLAPS', { kind: 'network', name: 'web' });
  bad(pool('10.9.0.1/24')).refuses('SUBNET_INVALID');
  bad(pool('elsewhere')).refuses('SUBNET_INVALID', { kind: 'subnet', id: 'elsewhere' });
  bad(pool('fd00::/64')).refuses('SUBNET_INVALID');
  bad(pool('0.0.0.0/0')).refuses('SUBNET_INVALID', { id: '0.0.0.0/0' });
  bad(pool('10.9.0.0/24', { gateway: '10.10.0.1' })).refuses('ADDRESS_OUTSIDE_SUBNET', { id: '10.10.0.1' });
  bad(pool('10.9.0.0/24', { aux: { a: '10.9.0.255' } })).refuses('ADDRESS_RESERVED', { kind: 'aux', id: 'a' });
});

test('SettleIntent of a network: a pool of all addresses is nobody’s own', () => {
  const wide = subnets(pool('0.0.0.0/0', { gateway: '169.254.1.1' }));
  const spec = withPlugin(ipam('a', 'weave'), settled(wide), ipam('b', 'weave'));
  assert.equal(spec.world.network('a').facts.subnets[0]?.gateway, '169.254.1.1');
  settling(spec, subnets(pool('0.0.0.0/0'))).records({ type: 'NetworkSettled' });
  settling(withPlugin(ipam('a', 'weave')), subnets(pool('0.0.0.0/0', { gateway: 'fd00::1' }))).refuses(
    'ADDRESS_INVALID',
    {
      id: 'fd00::1',
    },
  );
});

test('SettleIntent of a network: of our own subnets a driver may leave the gateway out, and nothing else', () => {
  const own = (more: Partial<ReturnType<typeof pool>> = {}) => subnets(pool('10.200.0.0/24', { pool: null, ...more }));
  const spec = withPlugin(lan, attached('lan'));
  settling(spec, own()).records({
    type: 'NetworkSettled',
    data: { subnets: [{ subnet: '10.200.0.0/24', gateway: null }] },
  });
  // what its endpoints have stays theirs, and what was the gateway's is free
  const two = (ipv4: string) => spec.when('CreateEndpoint', { network: 'lan', name: 'b', interfaces: [{ ipv4 }] });
  two('10.200.0.2').refuses('ADDRESS_IN_USE', { kind: 'endpoint', name: 's1' });
  two('10.200.0.1').records({ type: 'EndpointCreateRequested' });
  const again = () => withPlugin(lan);
  settling(again(), own({ gateway: '10.200.0.7' })).refuses('ADDRESS_INVALID');
  settling(again(), own({ subnet: '10.201.0.0/24' })).refuses('SUBNET_INVALID');
  settling(again(), subnets()).refuses('IPAM_INVALID', { id: 'ipv4' });
  settling(withPlugin(network('web')), own()).refuses('SETTLE_INVALID', { kind: 'network', name: 'web' });
});

test('SettleIntent of a network: a gateway that was asked for is not left out', () => {
  const subnet = '10.7.0.0/24';
  const asked = (gateway: string | undefined) =>
    withPlugin(network('lan', { driver: 'weave', ipam: { subnets: [{ subnet, ...(gateway ? { gateway } : {}) }] } }));
  const answer = subnets(pool(subnet, { pool: null }));
  settling(asked(undefined), answer).records({ type: 'NetworkSettled', data: { subnets: [{ gateway: null }] } });
  // The first address of its subnet, which it would have got by itself too.
  settling(asked('10.7.0.1'), answer).refuses('ADDRESS_INVALID', { kind: 'subnet', id: 'none' });
  settling(asked('10.7.0.1'), subnets(pool(subnet, { pool: null, gateway: '10.7.0.1' }))).records({
    type: 'NetworkSettled',
  });
});

test('CreateNetwork: IPAM drivers are those that the worker states, where the driver works with them', () => {
  const create = (driver: string, name: string, more: object = {}) =>
    withPlugin().when('CreateNetwork', { name: 'lan', driver, ipam: { driver: name, ...more } });
  create('bridge', 'weave', { options: { io: '1' } }).records({
    type: 'NetworkCreateRequested',
    data: { network: { subnets: [], ipam: { driver: 'weave', options: { io: '1' } } } },
  });
  create('weave', 'null').records({ type: 'NetworkCreateRequested', data: { network: { subnets: [], ipv4: true } } });
  create('weave', 'other').refuses('IPAM_DRIVER_NOT_FOUND', { kind: 'ipam-driver', id: 'other' });
  create('bridge', 'null').refuses('DRIVER_FORBIDS', { kind: 'ipam-driver', id: 'null' });
  create('host', 'weave').refuses('DRIVER_FORBIDS', { kind: 'ipam-driver', id: 'weave' });
  create('weave', 'null', { options: { io: '1' } }).refuses('OPTION_UNSUPPORTED', { id: 'io' });
  create('weave', 'null', { subnets: [{ subnet: '10.1.0.0/24' }] }).refuses('IPAM_INVALID');
  create('bridge', 'weave', { subnets: [{ gateway: '10.1.0.1' }] }).refuses('IPAM_INVALID');
});

// ---------------------------------------------------------------- endpoints

const managed = (driver = 'bridge'): readonly Step[] => [
  ipam('lan', driver),
  settled(subnets(pool('10.251.0.0/24', { gateway: '10.251.0.1' }))),
  reported,
];

test('SettleIntent of an endpoint: the address is as the IPAM plugin says, the MAC follows from it', () => {
  const spec = withPlugin(...managed(), attached('lan'));
  const { facts } = spec.world.endpoint('s1');
  assert.deepEqual([facts.ipv4, facts.mac, facts.wanted], [null, null, { ipv4: null, ipv6: null }]);
  settling(spec, addresses('10.251.0.7/24')).records({
    type: 'EndpointSettled',
    data: { name: 's1', ipv4: '10.251.0.7/24', ipv6: null, mac: '02:42:0a:fb:00:07' },
  });
  // it is held like any other
  const other = endpoint('lan', 'b');
  other(spec.world);
  settling(spec, addresses('10.251.0.7/24')).refuses('ADDRESS_IN_USE', { kind: 'endpoint', name: 's1' });
  settling(spec, addresses('10.251.0.8/24', '02:42:0a:fb:00:07')).refuses('MAC_IN_USE', {
    kind: 'endpoint',
    name: 's1',
  });
  settling(spec, addresses('10.251.0.8/24', '02:00:00:00:00:08')).records({
    type: 'EndpointSettled',
    data: { ipv4: '10.251.0.8/24', mac: '02:00:00:00:00:08' },
  });
  spec.world.succeed();
  // and free when it is gone
  did('DeleteEndpoint', { network: 'lan', endpoint: 'b' })(spec.world);
  spec.world.succeed();
  endpoint('lan', 'c')(spec.world);
  settling(spec, addresses('10.251.0.8/24', '02:00:00:00:00:08')).records({ type: 'EndpointSettled' });
});

test('SettleIntent of an endpoint: the last answer counts, the one before is free again', () => {
  const spec = withPlugin(...managed(), attached('lan'), settled(addresses('10.251.0.7/24')));
  settled(addresses('10.251.0.8/24'))(spec.world);
  assert.equal(spec.world.endpoint('s1').facts.ipv4, '10.251.0.8/24');
  endpoint('lan', 'b')(spec.world);
  settling(spec, addresses('10.251.0.7/24')).records({ type: 'EndpointSettled' });
});

test('SettleIntent of an endpoint: bad, reserved and missing addresses are refused, and what was asked for is honoured', () => {
  const open = (more: Partial<CommandInput<'CreateEndpoint'>> = {}) =>
    withPlugin(...managed(), endpoint('lan', 'a', more));
  settling(open(), addresses(null)).refuses('ADDRESS_INVALID', { kind: 'field', id: 'ipv4' });
  settling(open(), addresses('10.251.0.7')).refuses('ADDRESS_INVALID', { id: '10.251.0.7' });
  settling(open(), addresses('10.251.0.7/16')).refuses('ADDRESS_INVALID', { id: '10.251.0.7/16' });
  settling(open(), addresses('10.252.0.7/24')).refuses('ADDRESS_OUTSIDE_SUBNET');
  settling(open(), addresses('10.251.0.1/24')).refuses('ADDRESS_IN_USE', { kind: 'gateway' });
  settling(open(), addresses('10.251.0.255/24')).refuses('ADDRESS_RESERVED');
  settling(open(), addresses('127.0.0.1/24')).refuses('ADDRESS_INVALID');
  settling(open(), addresses('10.251.0.7/24', '01:00:5e:00:00:01')).refuses('MAC_INVALID', { kind: 'mac' });
  settling(open(), addresses('10.251.0.7/24', null, 'fd00:9::1')).refuses('ADDRESS_INVALID', { id: 'fd00:9::1' });
  const nine = open({ interfaces: [{ ipv4: '10.251.0.9', mac: '02:00:00:00:00:09' }] });
  assert.deepEqual(nine.world.endpoint('a').facts.wanted, { ipv4: '10.251.0.9', ipv6: null });
  settling(nine, addresses('10.251.0.8/24')).refuses('ADDRESS_INVALID', { id: '10.251.0.8/24' });
  settling(nine, addresses('10.251.0.9/24', '02:00:00:00:00:0a')).refuses('ADDRESS_INVALID');
  settling(nine, addresses('10.251.0.9/24')).records({
    type: 'EndpointSettled',
    data: { ipv4: '10.251.0.9/24', mac: '02:00:00:00:00:09' },
  });
  settling(withPlugin(network('web'), endpoint('web', 'a')), addresses(null)).refuses('SETTLE_INVALID');
  withPlugin(...managed())
    .when('CreateEndpoint', { network: 'lan', name: 'a', interfaces: [{ ipv6: 'fd00::9' }] })
    .refuses('ADDRESS_INVALID', { id: 'fd00::9' });
});

test('SettleIntent of an endpoint: a network driver gives a MAC, and addresses only where nobody manages them', () => {
  const own = withPlugin(lan, reported, attached('lan'));
  settling(own, addresses('10.200.0.3/24')).refuses('ADDRESS_INVALID', { id: '10.200.0.3/24' });
  settling(own, addresses(null, '02:aa:00:00:00:02')).records({
    type: 'EndpointSettled',
    data: { ipv4: '10.200.0.2/24', mac: '02:aa:00:00:00:02' },
  });
  const unmanaged = withPlugin(
    network('lan', { driver: 'weave', ipam: { driver: 'null' } }),
    reported,
    endpoint('lan', 'a'),
    settled(addresses('192.168.7.20/24')),
    endpoint('lan', 'b'),
  );
  settling(unmanaged, addresses('192.168.7.20/24')).refuses('ADDRESS_IN_USE', { kind: 'endpoint', name: 'a' });
  settling(unmanaged, addresses('192.168.7.21/24')).records({ type: 'EndpointSettled', data: { mac: null } });
  unmanaged.world.succeed();
  did('DeleteEndpoint', { network: 'lan', endpoint: 'a' })(unmanaged.world);
  unmanaged.world.succeed();
  endpoint('lan', 'c')(unmanaged.world);
  settling(unmanaged, addresses('192.168.7.20/24')).records({ type: 'EndpointSettled' });
});

test('CreateEndpoint: routes of an endpoint whose addresses come later are looked at when they come', () => {
  const routes = [{ destination: '10.9.0.0/16', gateway: '10.251.0.30' }];
  const open = () => withPlugin(...managed(), endpoint('lan', 'a', { routes }));
  settling(open(), addresses('10.251.0.7/24')).records({ type: 'EndpointSettled' });
  settling(open(), addresses('10.251.0.30/24')).refuses('ROUTE_INVALID', { kind: 'route', id: '10.9.0.0/16' });
});
