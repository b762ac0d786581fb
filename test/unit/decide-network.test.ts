// Specifications of drivers and networks: ConfigureDriver, CreateNetwork, DeleteNetwork.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { did, endpoint, failed, given, givenIn, joined, network, reported } from '../support/specification.ts';
import { hostFacts } from '../support/world.ts';

const subnets = (...subnet: readonly string[]) => ({ ipam: { subnets: subnet.map((text) => ({ subnet: text })) } });
const mtu = 'com.docker.network.driver.mtu';

// ---------------------------------------------------------------- ConfigureDriver

test('ConfigureDriver: options that the driver knows are recorded, under its own name', () => {
  given()
    .when('ConfigureDriver', { driver: 'bridge', options: { [mtu]: '1400' } })
    .records({ type: 'DriverConfigureRequested', data: { driver: 'bridge', options: { [mtu]: '1400' } } });
  given()
    .when('ConfigureDriver', { driver: 'none', options: {} })
    .records({ type: 'DriverConfigureRequested', data: { driver: 'null' } });
});

test('ConfigureDriver: unknown drivers, options and values are refused', () => {
  given()
    .when('ConfigureDriver', { driver: 'weave', options: {} })
    .refuses('DRIVER_NOT_FOUND', { kind: 'driver', id: 'weave' });
  given()
    .when('ConfigureDriver', { driver: 'bridge', options: { colour: 'red' } })
    .refuses('OPTION_UNSUPPORTED', { kind: 'option', id: 'colour' });
  for (const value of ['', '67', '65536', '1e3', '-1', ' 1500', '1500.0'])
    given()
      .when('ConfigureDriver', { driver: 'bridge', options: { [mtu]: value } })
      .refuses('OPTION_INVALID', { kind: 'option', id: mtu, detail: value });
});

test('ConfigureDriver: networks that come later take it over, older ones keep theirs', () => {
  const configured = did('ConfigureDriver', { driver: 'bridge', options: { [mtu]: '1400' } });
  const { world } = given(
    network('before'),
    configured,
    network('after'),
    network('own', { options: { [mtu]: '1300' } }),
  );
  const mtus = ['before', 'after', 'own'].map((name) => world.network(name).facts.mtu);
  assert.deepEqual(mtus, [1500, 1400, 1300]);
});

// ---------------------------------------------------------------- CreateNetwork

test('CreateNetwork: chooses subnet and gateway', () => {
  given()
    .when('CreateNetwork', { name: 'web' })
    .records({
      type: 'NetworkCreateRequested',
      data: {
        network: {
          name: 'web',
          driver: 'bridge',
          ipv4: true,
          ipv6: false,
          subnets: [{ family: 4, subnet: '10.200.0.0/24', range: null, gateway: '10.200.0.1', aux: {} }],
        },
      },
    });
});

test('CreateNetwork: dual stack takes a /64 of the host', () => {
  const [fact] = given(network('one', { ipv6: true }))
    .when('CreateNetwork', { name: 'two', ipv6: true })
    .records({
      type: 'NetworkCreateRequested',
    });
  assert.ok(fact?.type === 'NetworkCreateRequested');
  assert.deepEqual(
    fact.data.network.subnets.map(({ subnet }) => subnet),
    ['10.200.1.0/24', 'fd12:3456:789a:1::/64'],
  );
});

test('CreateNetwork: what is asked for is honoured', () => {
  const asked = { subnet: '10.1.2.0/24', range: '10.1.2.128/25', gateway: '10.1.2.9', aux: { router: '10.1.2.8' } };
  given()
    .when('CreateNetwork', { name: 'web', ipam: { subnets: [asked] }, internal: true, labels: { a: 'b' }, gc: 'off' })
    .records({
      type: 'NetworkCreateRequested',
      data: { network: { subnets: [{ family: 4, ...asked }], internal: true, labels: { a: 'b' }, gc: 'off' } },
    });
});

test('CreateNetwork: names compare without case, and are free again at the delete intent', () => {
  const culprits = given(network('web'))
    .when('CreateNetwork', { name: 'WEB' })
    .refuses('NETWORK_EXISTS', { name: 'web' });
  assert.equal(culprits[0]?.kind, 'network');
  given(network('web'), did('DeleteNetwork', { network: 'Web' }))
    .when('CreateNetwork', { name: 'WEB' })
    .records({ type: 'NetworkCreateRequested', data: { network: { name: 'WEB' } } });
  given(network('web'), failed('NetworkCreateRequested'))
    .when('CreateNetwork', { name: 'web' })
    .records({ type: 'NetworkCreateRequested' });
});

test('CreateNetwork: a subnet is held until the outcome, then rests', () => {
  const gone = [network('web', subnets('10.1.0.0/24')), did('DeleteNetwork', { network: 'web' })];
  given(...gone)
    .when('CreateNetwork', { name: 'web', ...subnets('10.1.0.0/24') })
    .refuses('SUBNET_OVERLAPS', { kind: 'network', name: 'web', detail: '10.1.0.0/24' });
  given(...gone, reported)
    .when('CreateNetwork', { name: 'web', ...subnets('10.1.0.0/24') })
    .records({ type: 'NetworkCreateRequested' });
  const [fact] = given(network('web'), did('DeleteNetwork', { network: 'web' }), reported)
    .when('CreateNetwork', { name: 'web' })
    .records({ type: 'NetworkCreateRequested' });
  assert.ok(fact?.type === 'NetworkCreateRequested');
  assert.equal(fact.data.network.subnets[0]?.subnet, '10.200.1.0/24', 'another one while it rests');
});

test('CreateNetwork: subnets that cannot be are refused with what is in the way', () => {
  const asked = (subnet: string) =>
    given(network('web', subnets('10.1.0.0/24'))).when('CreateNetwork', { name: 'new', ...subnets(subnet) });
  for (const subnet of ['10.1.0.0/24', '10.1.0.128/25', '10.0.0.0/8'])
    asked(subnet).refuses('SUBNET_OVERLAPS', { kind: 'network', name: 'web' });
  for (const subnet of ['10.1.2.3/24', '300.1.0.0/24', '10.3.0.0', '10.3.0.0/31', '127.0.0.0/24', '224.0.0.0/8'])
    asked(subnet).refuses('SUBNET_INVALID', { kind: 'subnet', id: subnet });
  asked('fd00::/64').refuses('IPAM_INVALID', { id: 'ipv6' });
  givenIn({ facts: { routes: ['10.2.0.0/16'] } })
    .when('CreateNetwork', { name: 'new', ...subnets('10.2.3.0/24') })
    .refuses('SUBNET_OVERLAPS', { kind: 'route', id: '10.2.0.0/16' });
  givenIn({ facts: { pools: [{ base: '10.9.0.0/24', size: 24 }] } }, network('only'))
    .when('CreateNetwork', { name: 'new' })
    .refuses('SUBNET_POOL_EXHAUSTED', { kind: 'network', name: 'only' });
  givenIn({ facts: { pools: [] } })
    .when('CreateNetwork', { name: 'new' })
    .refuses('SUBNET_POOL_EXHAUSTED', { kind: 'host', id: 'h1' });
});

test('CreateNetwork: overlap only where it is asked for', () => {
  given(network('web', subnets('10.1.0.0/24')))
    .when('CreateNetwork', { name: 'new', ipam: { overlap: true, subnets: [{ subnet: '10.1.0.0/24' }] } })
    .records({ type: 'NetworkCreateRequested', data: { network: { ipam: { overlap: true } } } });
});

test('CreateNetwork: gateway, range and auxiliary addresses must fit', () => {
  const asked = (more: object) =>
    given().when('CreateNetwork', { name: 'new', ipam: { subnets: [{ subnet: '10.1.0.0/24', ...more }] } });
  asked({ gateway: '10.2.0.1' }).refuses('ADDRESS_OUTSIDE_SUBNET', { kind: 'gateway', id: '10.2.0.1' });
  asked({ gateway: '10.1.0.255' }).refuses('ADDRESS_RESERVED', { kind: 'gateway' });
  asked({ gateway: 'x9' }).refuses('ADDRESS_INVALID', { kind: 'gateway' });
  asked({ range: '10.2.0.0/25' }).refuses('RANGE_INVALID', { id: '10.1.0.0/24' });
  asked({ aux: { a: '10.1.0.9', b: '10.1.0.9' } }).refuses('ADDRESS_IN_USE', { kind: 'aux', id: 'b' });
  given()
    .when('CreateNetwork', { name: 'new', ipam: { subnets: [{ gateway: '10.1.0.1' }] } })
    .refuses('IPAM_INVALID', { kind: 'field', id: 'ipam.subnets' });
});

test('CreateNetwork: families', () => {
  given().when('CreateNetwork', { name: 'n', ipv4: false }).refuses('IPAM_INVALID', { kind: 'field', id: 'ipv4' });
  given()
    .when('CreateNetwork', { name: 'n', ipv4: false, ipv6: true })
    .records({ type: 'NetworkCreateRequested', data: { network: { ipv4: false, ipv6: true } } });
  given()
    .when('CreateNetwork', { name: 'n', ...subnets('10.1.0.0/24', '10.2.0.0/24') })
    .refuses('IPAM_INVALID', { id: 'ipam.subnets' });
  given()
    .when('CreateNetwork', { name: 'n', ipv6: true, ipam: { subnets: [{ family: 6, subnet: '10.1.0.0/24' }] } })
    .refuses('SUBNET_INVALID', { kind: 'subnet', id: '10.1.0.0/24' });
});

test('CreateNetwork: IPAM drivers and their options are not ignored, whatever the driver', () => {
  for (const driver of ['bridge', 'null', 'host']) {
    given()
      .when('CreateNetwork', { name: 'n', driver, ipam: { driver: 'dhcp' } })
      .refuses('IPAM_DRIVER_NOT_FOUND', { kind: 'ipam-driver', id: 'dhcp' });
    given()
      .when('CreateNetwork', { name: 'n', driver, ipam: { options: { x: 'y' } } })
      .refuses('OPTION_UNSUPPORTED', { kind: 'option', id: 'x' });
  }
});

test('CreateNetwork: unknown drivers, options and lacking capabilities', () => {
  given().when('CreateNetwork', { name: 'n', driver: 'vxlan' }).refuses('DRIVER_NOT_FOUND', { id: 'vxlan' });
  given()
    .when('CreateNetwork', { name: 'n', options: { x: 'y' } })
    .refuses('OPTION_UNSUPPORTED', { id: 'x' });
  const capabilities = { ...hostFacts('h1').capabilities, bridge: false, veth: false };
  const culprits = givenIn({ facts: { capabilities } })
    .when('CreateNetwork', { name: 'n' })
    .refuses('CAPABILITY_MISSING', { kind: 'capability', id: 'bridge' });
  assert.deepEqual(
    culprits.map(({ id }) => id),
    ['bridge', 'veth'],
  );
  givenIn({ facts: { capabilities: {} } })
    .when('CreateNetwork', { name: 'n', driver: 'host' })
    .records({ type: 'NetworkCreateRequested' });
});

test('CreateNetwork: one bridge belongs to one network', () => {
  const named = { options: { 'com.docker.network.bridge.name': 'br0' } };
  given(network('one', named))
    .when('CreateNetwork', { name: 'two', ...named })
    .refuses('DRIVER_FORBIDS', { name: 'one' });
  const long = { options: { 'com.docker.network.bridge.name': 'a-bridge-too-long' } };
  given()
    .when('CreateNetwork', { name: 'two', ...long })
    .refuses('OPTION_INVALID');
});

test('CreateNetwork: drivers null and host have one network each, without addresses', () => {
  for (const driver of ['null', 'none', 'host']) {
    const own = network('first', { driver });
    given()
      .when('CreateNetwork', { name: 'first', driver })
      .records({
        type: 'NetworkCreateRequested',
        data: { network: { subnets: [], ipv4: false, ipv6: false, mtu: null } },
      });
    given(own)
      .when('CreateNetwork', { name: 'second', driver })
      .refuses('DRIVER_FORBIDS', { kind: 'network', name: 'first' });
    // as with names, what is being deleted is in nobody's way
    given(own, did('DeleteNetwork', { network: 'first' }))
      .when('CreateNetwork', { name: 'second', driver })
      .records({ type: 'NetworkCreateRequested' });
    given()
      .when('CreateNetwork', { name: 'n', driver, ...subnets('10.1.0.0/24') })
      .refuses('IPAM_INVALID');
    for (const option of ['ipv6', 'internal'] as const)
      given()
        .when('CreateNetwork', { name: 'n', driver, [option]: true })
        .refuses('OPTION_UNSUPPORTED', { kind: 'option', id: option });
  }
});

// ---------------------------------------------------------------- DeleteNetwork

test('DeleteNetwork: by name in any case, HOST/NAME, or id', () => {
  const { world } = given(network('web'));
  const { id } = world.network('web').facts;
  for (const ref of ['web', 'WEB', 'h1/web', id, `h1/${id}`])
    given(network('web'))
      .when('DeleteNetwork', { network: ref })
      .records({ type: 'NetworkDeleteRequested', data: { networkId: id, name: 'web' } });
});

test('DeleteNetwork: what is not there, on this host', () => {
  given().when('DeleteNetwork', { network: 'web' }).refuses('NETWORK_NOT_FOUND', { kind: 'network', id: 'web' });
  given(network('web'))
    .when('DeleteNetwork', { network: 'h2/web' })
    .refuses('NETWORK_NOT_FOUND', { kind: 'network', id: 'h2/web' });
});

test('DeleteNetwork: endpoints are listed, also those that left their sandbox', () => {
  const steps = [network('web'), endpoint('web', 'a'), endpoint('web', 'b'), joined('web', 'b', 's1'), reported];
  const culprits = given(...steps)
    .when('DeleteNetwork', { network: 'web' })
    .refuses('NETWORK_HAS_ENDPOINTS');
  assert.deepEqual(
    culprits.map(({ kind, name, detail }) => ({ kind, name, detail })),
    [
      { kind: 'endpoint', name: 'a', detail: 'created' },
      { kind: 'endpoint', name: 'b', detail: 'joined, sandbox s1' },
    ],
  );
});

test('DeleteNetwork: at most ten endpoints are listed, and the number of all is said', () => {
  const many = Array.from({ length: 12 }, (_, index) => endpoint('web', `e${index}`));
  const { world } = given(network('web'), ...many);
  const decision = world.decide('DeleteNetwork', { network: 'web' });
  assert.ok(!decision.ok);
  assert.equal(decision.culprits.length, 10);
  assert.match(decision.detail, /12 endpoints/);
});

test('DeleteNetwork: endpoints whose deletion is accepted are in nobody s way; one that could not be deleted is', () => {
  const gone = did('DeleteEndpoint', { network: 'web', endpoint: 'a' });
  given(network('web'), endpoint('web', 'a'), gone)
    .when('DeleteNetwork', { network: 'web' })
    .records({ type: 'NetworkDeleteRequested' });
  given(network('web'), endpoint('web', 'a'), reported, gone, failed('EndpointDeleteRequested'))
    .when('DeleteNetwork', { network: 'web' })
    .refuses('NETWORK_HAS_ENDPOINTS', { name: 'a', detail: 'stuck' });
});

test('DeleteNetwork: twice, and again after it failed', () => {
  const steps = [network('web'), reported];
  const { world } = given(...steps);
  const ref = { network: world.network('web').facts.id };
  given(...steps, did('DeleteNetwork', ref))
    .when('DeleteNetwork', ref)
    .refuses('NETWORK_DELETING', { name: 'web' });
  const stuck = [...steps, did('DeleteNetwork', ref), failed('NetworkDeleteRequested')];
  given(...stuck)
    .when('CreateEndpoint', { ...ref, name: 'a' })
    .refuses('NETWORK_STUCK', { name: 'web' });
  given(...stuck)
    .when('UpdateNetwork', { ...ref, labels: {} })
    .refuses('NETWORK_STUCK', { name: 'web' });
  given(...stuck)
    .when('DeleteNetwork', ref)
    .records({ type: 'NetworkDeleteRequested' });
});
