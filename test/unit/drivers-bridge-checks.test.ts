// What the driver `bridge` refuses: values, combinations, ports and routes that could have no effect.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EndpointFacts, NetworkFacts } from '../../events/events.ts';
import { driver, endpoint, network, onlyIpv4, onlyIpv6, port } from '../support/driver-facts.ts';

const bridge = driver('bridge');
const docker = 'com.docker.network';
const inside = { ...network, internal: true };

const codeOf = (options: NetworkFacts['options'], base: NetworkFacts = network) =>
  bridge.checkNetwork({ ...base, options }, [])?.code ?? null;

/** Per option: values that are fine, and values that are not. */
const values: Readonly<Record<string, readonly [good: readonly string[], bad: readonly string[]]>> = {
  'bridge.name': [
    ['br0', 'br-web.1', 'a'.repeat(15)],
    ['', '.', '..', 'a/b', 'a b', 'a:b', 'a'.repeat(16), '0br', 'ä', 'a\n'],
  ],
  'bridge.enable_icc': [
    ['true', 'false'],
    ['', 'no', '0'],
  ],
  'bridge.enable_ip_masquerade': [
    ['true', 'false'],
    ['', 'no', '0'],
  ],
  'bridge.inhibit_ipv4': [
    ['true', 'false'],
    ['', 'no', '0'],
  ],
  'bridge.gateway_mode_ipv4': [
    ['nat', 'nat-unprotected', 'routed'],
    ['', 'NAT', 'bridge'],
  ],
  'bridge.gateway_mode_ipv6': [
    ['nat', 'nat-unprotected', 'routed'],
    ['', 'NAT', 'bridge'],
  ],
  'bridge.host_binding_ipv4': [
    ['0.0.0.0', '127.0.0.1', '192.0.2.1'],
    ['', '::', '0.0.0.1', '224.0.0.1', '255.255.255.255', '10.1', 'localhost', '192.0.2.0/24'],
  ],
  'bridge.host_binding_ipv6': [
    ['::', '2001:db8::1', 'fd00::1'],
    ['', '0.0.0.0', '::1', 'fe80::1', 'ff02::1', '::ffff:192.0.2.1', '[::]', 'fe80::1%eth0'],
  ],
  'bridge.trusted_host_interfaces': [
    ['eth0', 'eth0:wg0', 'br-x@1'],
    ['', 'eth0:', ':', '.', '..', 'eth0:a/b', 'a b', 'x'.repeat(16)],
  ],
  'driver.mtu': [
    ['1280', '9000', '65535'],
    ['67', '65536', '', '-1', '1e3', 'auto'],
  ],
  container_iface_prefix: [
    ['eth', 'x', 'a'.repeat(12)],
    ['', '0eth', 'a b', 'a/b', 'a'.repeat(13)],
  ],
  host_ipv4: [['192.0.2.1'], ['', '0.0.0.0', '127.0.0.1', '169.254.1.1', '224.0.0.1', '::1', '2001:db8::1']],
  host_ipv6: [['2001:db8::1'], ['', '::', '::1', 'fe80::1', 'ff02::1', '192.0.2.1']],
};

test('every option takes its values and no others', () => {
  for (const [name, [good, bad]] of Object.entries(values)) {
    for (const value of good) assert.equal(codeOf({ [`${docker}.${name}`]: value }), null, `${name} ${value}`);
    for (const value of bad)
      assert.equal(codeOf({ [`${docker}.${name}`]: value }), 'OPTION_INVALID', `${name} ${value}`);
  }
});

test('the driver itself takes the MTU and where ports are published', () => {
  for (const name of ['driver.mtu', 'bridge.host_binding_ipv4', 'bridge.host_binding_ipv6']) {
    const [good = [], bad = []] = values[name] ?? [];
    const code = (value: string) => bridge.checkConfigure({ [`${docker}.${name}`]: value })?.code ?? null;
    for (const value of good) assert.equal(code(value), null, value);
    for (const value of bad) assert.equal(code(value), 'OPTION_INVALID', value);
  }
  for (const name of ['bridge.name', 'bridge.enable_icc', 'host_ipv4'])
    assert.equal(bridge.checkConfigure({ [`${docker}.${name}`]: 'true' })?.code, 'OPTION_UNSUPPORTED');
});

test('options that another setting leaves without effect are refused, with the reason', () => {
  const cases: readonly (readonly [NetworkFacts, NetworkFacts['options'], culprit: string, reason: RegExp])[] = [
    [onlyIpv4, { 'bridge.gateway_mode_ipv6': 'nat' }, 'bridge.gateway_mode_ipv6', /no IPv6/],
    [onlyIpv4, { 'bridge.host_binding_ipv6': '::' }, 'bridge.host_binding_ipv6', /no IPv6/],
    [onlyIpv4, { host_ipv6: '2001:db8::1' }, 'host_ipv6', /no IPv6/],
    [onlyIpv6, { 'bridge.gateway_mode_ipv4': 'nat' }, 'bridge.gateway_mode_ipv4', /no IPv4/],
    [onlyIpv6, { 'bridge.inhibit_ipv4': 'true' }, 'bridge.inhibit_ipv4', /no IPv4/],
    [network, { 'bridge.gateway_mode_ipv4': 'isolated' }, 'bridge.gateway_mode_ipv4', /internal/],
    [network, { 'bridge.gateway_mode_ipv6': 'isolated' }, 'bridge.gateway_mode_ipv6', /internal/],
    [inside, { 'bridge.gateway_mode_ipv4': 'routed' }, 'bridge.gateway_mode_ipv4', /internal/],
    [inside, { 'bridge.gateway_mode_ipv6': 'nat-unprotected' }, 'bridge.gateway_mode_ipv6', /internal/],
    [inside, { 'bridge.host_binding_ipv4': '0.0.0.0' }, 'bridge.host_binding_ipv4', /internal/],
    [inside, { host_ipv6: '2001:db8::1' }, 'host_ipv6', /internal/],
    [inside, { 'bridge.trusted_host_interfaces': 'eth0' }, 'bridge.trusted_host_interfaces', /internal/],
    [network, { 'bridge.enable_ip_masquerade': 'false', host_ipv4: '192.0.2.1' }, 'host_ipv4', /masquerade is false/],
    [network, { 'bridge.gateway_mode_ipv4': 'routed', host_ipv4: '192.0.2.1' }, 'host_ipv4', /routed/],
    [
      network,
      { 'bridge.gateway_mode_ipv6': 'routed', 'bridge.host_binding_ipv6': '::' },
      'bridge.host_binding_ipv6',
      /routed/,
    ],
    [
      network,
      { 'bridge.inhibit_ipv4': 'true', 'bridge.host_binding_ipv4': '0.0.0.0' },
      'bridge.host_binding_ipv4',
      /inhibit_ipv4/,
    ],
    [
      network,
      { 'bridge.name': 'br0', 'bridge.trusted_host_interfaces': 'eth0:br0' },
      'bridge.trusted_host_interfaces',
      /itself/,
    ],
  ];
  for (const [base, given, culprit, reason] of cases) {
    const options = Object.fromEntries(Object.entries(given).map(([key, value]) => [`${docker}.${key}`, value]));
    const refusal = bridge.checkNetwork({ ...base, options }, []);
    assert.equal(refusal?.code, 'OPTION_INVALID', JSON.stringify(given));
    assert.equal(refusal?.culprits[0]?.id, `${docker}.${culprit}`);
    assert.match(refusal?.detail ?? '', reason);
  }
});

test('what says in other words how it is anyway is taken', () => {
  assert.equal(codeOf({ [`${docker}.bridge.gateway_mode_ipv4`]: 'nat' }, inside), null);
  assert.equal(codeOf({ [`${docker}.bridge.enable_ip_masquerade`]: 'false' }, inside), null);
  assert.equal(codeOf({ [`${docker}.bridge.gateway_mode_ipv4`]: 'isolated' }, inside), null);
});

test('an MTU below 1280 carries no IPv6', () => {
  const small = { ...network, mtu: 1279, options: { [`${docker}.driver.mtu`]: '1279' } };
  assert.equal(bridge.checkNetwork(small, [])?.code, 'OPTION_INVALID');
  assert.equal(bridge.checkNetwork({ ...onlyIpv4, mtu: 1279, options: small.options }, []), null);
  assert.equal(bridge.checkNetwork({ ...small, mtu: 1280, options: {} }, []), null);
});

test('a bridge belongs to one network, whoever named it first', () => {
  const other = { ...network, id: 'other0000001', name: 'other', options: { [`${docker}.bridge.name`]: 'br0' } };
  const mine = { ...network, options: { [`${docker}.bridge.name`]: 'br0' } };
  assert.deepEqual(bridge.checkNetwork(mine, [other])?.culprits, [{ kind: 'network', id: other.id, name: 'other' }]);
  assert.equal(bridge.checkNetwork(network, [other]), null);
  const squatter = { ...other, options: { [`${docker}.bridge.name`]: 'cb0123456789ab' } };
  assert.equal(bridge.checkNetwork(network, [squatter])?.code, 'DRIVER_FORBIDS');
});

test('ports are refused where nothing could lead to them', () => {
  const check = (hostAddresses: readonly string[], on: NetworkFacts = network, options: NetworkFacts['options'] = {}) =>
    bridge.checkEndpoint({ ...endpoint, ports: [port({ hostAddresses: [...hostAddresses] })] }, { ...on, options });
  const routed = { [`${docker}.bridge.gateway_mode_ipv4`]: 'routed' };
  const inhibited = { [`${docker}.bridge.inhibit_ipv4`]: 'true' };
  assert.equal(check(['0.0.0.0', '::']), null);
  assert.equal(check(['127.0.0.1']), null);
  assert.equal(check(['0.0.0.0', '::'], network, routed), null);
  assert.equal(check(['::'], network, inhibited), null);
  const refused: readonly (readonly [ReturnType<typeof check>, RegExp])[] = [
    [check(['::'], onlyIpv4), /no IPv6/],
    [check(['127.0.0.1'], onlyIpv6), /no IPv4/],
    [check(['0.0.0.0'], inside), /internal/],
    [check(['::', '192.0.2.1'], network, inhibited), /no IPv4 address/],
    [check(['127.0.0.1'], network, routed), /routed.*0\.0\.0\.0/],
    [check(['192.0.2.1'], network, routed), /routed/],
  ];
  for (const [refusal, reason] of refused) {
    assert.equal(refusal?.code, 'DRIVER_FORBIDS');
    assert.match(refusal?.detail ?? '', reason);
    assert.equal(refusal?.culprits[0]?.id, 'tcp/8080');
  }
});

test('static routes lead to other subnets, through the link or a gateway on it', () => {
  const code = (routes: EndpointFacts['routes'], changes: Partial<EndpointFacts> = {}) =>
    bridge.checkEndpoint({ ...endpoint, ...changes, routes }, network)?.code ?? null;
  const to = (destination: string, gateway: string | null = null) => ({ destination, gateway });
  assert.equal(code([to('10.9.0.0/16', '10.1.0.9'), to('10.8.0.0/16'), to('fd00:9::/64', 'fd00:1::9')]), null);
  assert.equal(code([to('fd00:9::/64', 'fe80::9')], { linkLocal: ['fe80::2/64'] }), null);
  assert.equal(code([to('10.1.0.0/25')]), null);
  const bad = [
    [to('0.0.0.0/0', '10.1.0.9')],
    [to('::/0')],
    [to('10.1.0.0/24')],
    [to('10.9.0.0/16', '10.2.0.9')],
    [to('10.9.0.0/16', 'fd00:1::9')],
    [to('fd00:9::/64', 'fe80::9')],
    [to('nowhere')],
    [to('10.9.0.0/16', 'nobody')],
    [to('10.9.0.0/16'), to('10.9.0.0/16', '10.1.0.9')],
    [to('10.9.0.0/16', '10.1.0.0')],
    [to('10.9.0.0/16', '10.1.0.255')],
    [to('10.9.0.0/16', endpoint.ipv4?.split('/')[0] ?? assert.fail())],
    [to('127.0.0.0/8')],
    [to('::1/128')],
  ];
  for (const routes of bad) assert.equal(code(routes), 'ROUTE_INVALID', JSON.stringify(routes));
  assert.equal(code([to('fd00:9::/64')], { ipv6: null }), 'ROUTE_INVALID');
});

test('the link-local address of the bridge is its own', () => {
  const code = (linkLocal: string[], on: NetworkFacts) =>
    bridge.checkEndpoint({ ...endpoint, linkLocal }, on)?.code ?? null;
  assert.equal(code(['fe80::1/64'], network), 'ADDRESS_IN_USE');
  assert.equal(code(['fe80::1/64'], onlyIpv4), null);
  assert.equal(code(['fe80::11/64', '169.254.0.1/16'], network), null);
});
