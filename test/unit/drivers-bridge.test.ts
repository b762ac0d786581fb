// The driver `bridge` as pure functions: which kernel objects networks and joins are, with every option.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Join } from '../../drivers/driver.ts';
import { objectKey } from '../../drivers/objects.ts';
import type { EndpointFacts, NetworkFacts } from '../../events/events.ts';
import {
  br,
  driver,
  elementsOf,
  endpoint,
  host,
  join,
  network,
  onlyIpv4,
  onlyIpv6,
  tag,
} from '../support/driver-facts.ts';
import { hostFacts } from '../support/world.ts';

const bridge = driver('bridge');
const docker = 'com.docker.network';

const made = (options: NetworkFacts['options'], base: NetworkFacts = network) => {
  const facts = { ...base, options };
  assert.equal(bridge.checkNetwork(facts, []), null, JSON.stringify(options));
  return bridge.createNetwork(host, facts).ensure;
};
const linkOf = (options: NetworkFacts['options'], base?: NetworkFacts) => {
  const [link] = made(options, base);
  assert.ok(link?.kind === 'bridge');
  return link;
};

const always = [`bridges { ${br} }`, `own { ${br} . ${br} }`];
const icc = `icc { ${br} . ${br} }`;
const masq = [`masq4 { ${br} }`, `masq6 { ${br} }`];

test('a network is a bridge with its gateways, and elements that isolate it and lead out', () => {
  const { ensure, remove } = bridge.createNetwork(host, network);
  assert.deepEqual(remove, []);
  const [link, ...elements] = ensure;
  assert.ok(link?.kind === 'bridge');
  assert.match(link.mac, /^02:cb(:[0-9a-f]{2}){4}$/);
  assert.deepEqual(link, {
    kind: 'bridge',
    name: br,
    mac: link.mac,
    mtu: 1450,
    addresses: ['10.1.0.1/24', 'fd00:1::1/64'],
    routed: true,
    tag: tag('network', network.id),
  });
  assert.deepEqual(elementsOf(elements), [...always, icc, ...masq]);
  for (const element of elements) assert.deepEqual(element.tag, link.tag);
});

test('a family that the network lacks has no elements', () => {
  assert.deepEqual(elementsOf(made({}, onlyIpv4)), [...always, icc, `masq4 { ${br} }`]);
  assert.deepEqual(elementsOf(made({}, onlyIpv6)), [...always, icc, `masq6 { ${br} }`]);
  assert.deepEqual(linkOf({}, onlyIpv6).addresses, ['fd00:1::1/64']);
});

test('an internal network leads nowhere; the host keeps its addresses there', () => {
  const inside = { ...network, internal: true };
  assert.deepEqual(elementsOf(made({}, inside)), [...always, icc, `internal { ${br} }`]);
  const { addresses, routed } = linkOf({}, inside);
  assert.deepEqual({ addresses, routed }, { addresses: ['10.1.0.1/24', 'fd00:1::1/64'], routed: false });
});

test('a name of its own is used everywhere', () => {
  const options = { [`${docker}.bridge.name`]: 'br-web' };
  assert.deepEqual(made(options).map(objectKey), [
    'link br-web',
    'element bridges br-web',
    'element own br-web . br-web',
    'element icc br-web . br-web',
    'element masq4 br-web',
    'element masq6 br-web',
  ]);
  const [veth] = bridge.join(host, { ...join, network: { ...network, options } }).ensure;
  assert.ok(veth?.kind === 'veth' && veth.bridge === 'br-web');
});

test('enable_icc false: no element for neighbours, and isolated ports', () => {
  const options = { [`${docker}.bridge.enable_icc`]: 'false' };
  assert.deepEqual(elementsOf(made(options)), [...always, ...masq]);
  const isolated = (options: NetworkFacts['options']) => {
    const [veth] = bridge.join(host, { ...join, network: { ...network, options } }).ensure;
    return veth?.kind === 'veth' && veth.isolated;
  };
  assert.equal(isolated(options), true);
  assert.equal(isolated({ [`${docker}.bridge.enable_icc`]: 'true' }), false);
  assert.equal(isolated({}), false);
});

test('masquerading: off, or with chosen addresses, family by family', () => {
  const out = (options: NetworkFacts['options']) => elementsOf(made(options)).slice(3);
  assert.deepEqual(out({ [`${docker}.bridge.enable_ip_masquerade`]: 'false' }), []);
  assert.deepEqual(out({ [`${docker}.bridge.enable_ip_masquerade`]: 'true' }), masq);
  assert.deepEqual(out({ [`${docker}.host_ipv4`]: '192.0.2.7' }), [`snat4 { ${br} : 192.0.2.7 }`, `masq6 { ${br} }`]);
  assert.deepEqual(out({ [`${docker}.host_ipv6`]: '2001:DB8::0:7' }), [
    `masq4 { ${br} }`,
    `snat6 { ${br} : 2001:db8::7 }`,
  ]);
});

test('gateway modes: each family has its own', () => {
  const mode = (family: 4 | 6, value: string) => ({ [`${docker}.bridge.gateway_mode_ipv${family}`]: value });
  const out = (...options: NetworkFacts['options'][]) => elementsOf(made(Object.assign({}, ...options))).slice(3);
  assert.deepEqual(out(mode(4, 'nat'), mode(6, 'nat')), masq);
  assert.deepEqual(out(mode(4, 'nat-unprotected')), [`masq4 { ${br} }`, `open4 { ${br} }`, `masq6 { ${br} }`]);
  assert.deepEqual(out(mode(6, 'nat-unprotected')), [`masq4 { ${br} }`, `masq6 { ${br} }`, `open6 { ${br} }`]);
  assert.deepEqual(out(mode(4, 'routed')), [`masq6 { ${br} }`]);
  assert.deepEqual(out(mode(6, 'routed')), [`masq4 { ${br} }`]);
  assert.deepEqual(out(mode(4, 'routed'), mode(6, 'routed')), []);
  const unprotected = [mode(4, 'nat-unprotected'), { [`${docker}.bridge.enable_ip_masquerade`]: 'false' }];
  assert.deepEqual(out(...unprotected), [`open4 { ${br} }`]);
  const inside = { ...network, internal: true };
  assert.deepEqual(linkOf(mode(4, 'isolated'), inside).addresses, ['fd00:1::1/64']);
  assert.deepEqual(linkOf({ ...mode(4, 'isolated'), ...mode(6, 'isolated') }, inside).addresses, []);
  assert.deepEqual(elementsOf(made(mode(4, 'isolated'), inside)), [...always, icc, `internal { ${br} }`]);
});

test('inhibit_ipv4: the bridge has no IPv4 address', () => {
  assert.deepEqual(linkOf({ [`${docker}.bridge.inhibit_ipv4`]: 'true' }).addresses, ['fd00:1::1/64']);
  assert.equal(linkOf({ [`${docker}.bridge.inhibit_ipv4`]: 'false' }).addresses.length, 2);
});

test('trusted interfaces: an element each, one of the same name', () => {
  const options = { [`${docker}.bridge.trusted_host_interfaces`]: 'wg0:eth0.100:wg0' };
  assert.deepEqual(elementsOf(made(options)).slice(5), [`trusted { wg0 . ${br} }`, `trusted { eth0.100 . ${br} }`]);
});

test('a join is a veth pair, born in the namespace with everything it needs, and the routes of the endpoint', () => {
  const given: EndpointFacts = {
    ...endpoint,
    linkLocal: ['fe80::7/64', '169.254.7.7/16'],
    sysctls: { 'net.ipv4.conf.IFNAME.arp_notify': '1' },
    routes: [
      { destination: '10.9.0.0/16', gateway: '10.1.0.9' },
      { destination: 'fd00:9::/64', gateway: null },
    ],
  };
  assert.equal(bridge.checkEndpoint(given, network), null);
  const of = tag('endpoint', endpoint.id);
  const on = { netns: '/run/cnm/netns/s1', device: 'eth3', tag: of };
  assert.deepEqual(bridge.join(host, { ...join, endpoint: given }), {
    ensure: [
      {
        kind: 'veth',
        name: 'cvjoin00000001',
        bridge: br,
        mtu: 1450,
        netns: '/run/cnm/netns/s1',
        peer: {
          name: 'eth3',
          mac: '02:42:0a:01:00:02',
          addresses: ['10.1.0.2/24', '169.254.7.7/16', 'fd00:1::2/64', 'fe80::7/64'],
        },
        isolated: false,
        birth: { sysctls: { 'net.ipv4.conf.IFNAME.arp_notify': '1' } },
        tag: of,
      },
      { kind: 'route', destination: '10.9.0.0/16', gateway: '10.1.0.9', ...on },
      { kind: 'route', destination: 'fd00:9::/64', gateway: '', ...on },
    ],
    remove: [],
  });
  const [veth] = bridge.join(host, { ...join, endpoint: { ...endpoint, ipv6: null } }).ensure;
  assert.ok(veth?.kind === 'veth');
  assert.deepEqual(veth.peer.addresses, ['10.1.0.2/24']);
});

test('another incarnation never has the name of one that is still being removed', () => {
  const name = (changes: Partial<Join>) => bridge.join(host, { ...join, ...changes }).ensure.map(objectKey);
  assert.notDeepEqual(name({ joinId: 'join00000002' }), name({}));
  const mac = (id: string) => linkOf({}, { ...network, id }).mac;
  assert.notEqual(mac('0123456789ab'), mac('0123456789ac'));
  assert.equal(mac('0123456789ab'), mac('0123456789ab'));
});

test('every name of a link is one that the kernel takes, with ids of every length', () => {
  for (const id of ['0'.repeat(12), 'z'.repeat(13)]) {
    const all = [...made({}, { ...network, id }), ...bridge.join(host, { ...join, joinId: id }).ensure];
    for (const object of all) {
      if (object.kind !== 'bridge' && object.kind !== 'veth') continue;
      const names = object.kind === 'veth' ? [object.name, object.peer.name] : [object.name];
      for (const name of names) assert.ok(name.length <= 15 && /^[a-z0-9]+$/.test(name), name);
    }
  }
});

test('the MTU: the network s, else the driver s, else the host s', () => {
  const mtu = `${docker}.driver.mtu`;
  assert.equal(bridge.mtu({ [mtu]: '1300' }, { [mtu]: '1400' }, hostFacts('h1', { mtu: 1500 }), []), 1300);
  assert.equal(bridge.mtu({}, { [mtu]: '1400' }, hostFacts('h1', { mtu: 1500 }), []), 1400);
  assert.equal(bridge.mtu({}, {}, hostFacts('h1', { mtu: 1500 }), []), 1500);
});

test('names of interfaces begin as the network says', () => {
  assert.equal(bridge.interfacePrefix(network), 'eth');
  const options = { [`${docker}.container_iface_prefix`]: 'net' };
  assert.equal(bridge.interfacePrefix({ ...network, options }), 'net');
});

test('what may change in use: the MTU and whether endpoints talk to each other', () => {
  assert.deepEqual([...bridge.updatableOptions].sort(), [`${docker}.bridge.enable_icc`, `${docker}.driver.mtu`]);
});
