// The drivers as pure functions: which kernel objects each verb asks for, and which options they refuse.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Driver, Effect, HostContext, Join } from '../../drivers/driver.ts';
import { formatTag, type KernelObject, objectKey, parseTag } from '../../drivers/objects.ts';
import { checkOptions, wholeNumber } from '../../drivers/options.ts';
import { drivers } from '../../drivers/registry.ts';
import type { EndpointFacts, NetworkFacts, SandboxFacts } from '../../events/events.ts';

const host: HostContext = { realm: 'r1', host: 'node-1.example' };
const network: NetworkFacts = {
  id: '0123456789ab',
  name: 'web',
  driver: 'bridge',
  ipv4: true,
  ipv6: true,
  internal: false,
  ipam: { driver: 'default', options: {}, overlap: false },
  subnets: [
    { family: 4, subnet: '10.1.0.0/24', range: null, gateway: '10.1.0.1', aux: {} },
    { family: 6, subnet: 'fd00:1::/64', range: null, gateway: 'fd00:1::1', aux: {} },
  ],
  mtu: 1450,
  options: {},
  labels: {},
  gc: null,
};
const endpoint: EndpointFacts = {
  id: 'endpoint0001',
  networkId: network.id,
  name: 'a',
  ipv4: '10.1.0.2/24',
  ipv6: 'fd00:1::2/64',
  mac: '02:42:0a:01:00:02',
  static: false,
  aliases: [],
  ports: [],
  options: {},
  labels: {},
  gc: null,
  origin: 'endpoint',
};
const sandbox: SandboxFacts = {
  id: 's1',
  incarnation: 'sandbox00001',
  key: '/run/cnm/netns/s1',
  owned: true,
  hostname: null,
  domainname: null,
};
const join: Join = { joinId: 'join00000001', network, endpoint, sandbox, interface: 'eth3' };

const driver = (name: string): Driver => drivers.get(name) ?? assert.fail(name);
const bridge = driver('bridge');
const tag = (entity: 'network' | 'endpoint', id: string) => ({ realm: 'r1', host: 'node-1.example', entity, id });

test('bridge: a network is a bridge with its gateways, and elements that isolate it', () => {
  const of = tag('network', network.id);
  const { ensure, remove } = bridge.createNetwork(host, network);
  assert.deepEqual(remove, []);
  const [link, ...elements] = ensure;
  assert.ok(link?.kind === 'bridge');
  assert.match(link.mac, /^02:cb(:[0-9a-f]{2}){4}$/);
  assert.deepEqual(link, {
    kind: 'bridge',
    name: 'cb0123456789ab',
    mac: link.mac,
    mtu: 1450,
    addresses: ['10.1.0.1/24', 'fd00:1::1/64'],
    tag: of,
  });
  assert.deepEqual(elements, [
    { kind: 'element', set: 'bridges', key: ['cb0123456789ab'], tag: of },
    { kind: 'element', set: 'own', key: ['cb0123456789ab', 'cb0123456789ab'], tag: of },
  ]);
});

test('bridge: an internal network has one element more; a name of its own is used everywhere', () => {
  const named = { ...network, internal: true, options: { 'com.docker.network.bridge.name': 'br-web' } };
  const objects = bridge.createNetwork(host, named).ensure;
  assert.deepEqual(objects.map(objectKey), [
    'link br-web',
    'element bridges br-web',
    'element own br-web . br-web',
    'element internal br-web',
  ]);
  const [veth] = bridge.join(host, { ...join, network: named }).ensure;
  assert.ok(veth?.kind === 'veth' && veth.bridge === 'br-web');
});

test('bridge: a join is a veth pair, born in the namespace with everything it needs', () => {
  assert.deepEqual(bridge.join(host, join), {
    ensure: [
      {
        kind: 'veth',
        name: 'cvjoin00000001',
        bridge: 'cb0123456789ab',
        mtu: 1450,
        netns: '/run/cnm/netns/s1',
        peer: { name: 'eth3', mac: '02:42:0a:01:00:02', addresses: ['10.1.0.2/24', 'fd00:1::2/64'] },
        tag: tag('endpoint', endpoint.id),
      },
    ],
    remove: [],
  });
  const [veth] = bridge.join(host, { ...join, endpoint: { ...endpoint, ipv6: null } }).ensure;
  assert.ok(veth?.kind === 'veth');
  assert.deepEqual(veth.peer.addresses, ['10.1.0.2/24']);
});

test('bridge: another incarnation never has the name of one that is still being removed', () => {
  const name = (changes: Partial<Join>) => bridge.join(host, { ...join, ...changes }).ensure.map(objectKey);
  assert.notDeepEqual(name({ joinId: 'join00000002' }), name({}));
  const mac = (id: string) => {
    const [link] = bridge.createNetwork(host, { ...network, id }).ensure;
    return link?.kind === 'bridge' ? link.mac : '';
  };
  assert.notEqual(mac('0123456789ab'), mac('0123456789ac'));
  assert.equal(mac('0123456789ab'), mac('0123456789ab'));
});

test('every name of a link is one that the kernel takes, with ids of every length', () => {
  for (const id of ['0'.repeat(12), 'z'.repeat(13)]) {
    const all = [
      ...bridge.createNetwork(host, { ...network, id }).ensure,
      ...bridge.join(host, { ...join, joinId: id }).ensure,
    ];
    for (const object of all) {
      if (object.kind !== 'bridge' && object.kind !== 'veth') continue;
      const names = object.kind === 'veth' ? [object.name, object.peer.name] : [object.name];
      for (const name of names) assert.ok(name.length <= 15 && /^[a-z0-9]+$/.test(name), name);
    }
  }
});

test('what is removed is what was made', () => {
  const pairs = (made: Driver): readonly (readonly [Effect, Effect])[] => [
    [made.createNetwork(host, network), made.deleteNetwork(host, network)],
    [made.createEndpoint(host, network, endpoint), made.deleteEndpoint(host, network, endpoint)],
    [made.join(host, join), made.leave(host, join)],
  ];
  for (const made of drivers.values())
    for (const [there, back] of pairs(made)) {
      assert.deepEqual(back.remove, there.ensure);
      assert.deepEqual([...there.remove, ...back.ensure], []);
    }
});

test('null and host make nothing, and none is another name of null', () => {
  assert.equal(driver('none'), driver('null'));
  for (const name of ['null', 'host']) {
    const made = driver(name);
    const effects = [made.configure(host), made.createNetwork(host, network), made.join(host, join)];
    for (const { ensure, remove } of effects) assert.deepEqual([...ensure, ...remove], []);
    assert.equal(made.mtu({}, {}, 1500), null);
    assert.deepEqual([made.addresses, made.exclusive, made.networksMax], [false, true, 1]);
  }
  assert.equal(driver('host').sandbox, 'host');
  assert.equal(driver('null').sandbox, 'own');
  assert.equal(bridge.endpointsMax, 1023);
});

test('the MTU: the network s, else the driver s, else the host s', () => {
  const mtu = 'com.docker.network.driver.mtu';
  assert.equal(bridge.mtu({ [mtu]: '1300' }, { [mtu]: '1400' }, 1500), 1300);
  assert.equal(bridge.mtu({}, { [mtu]: '1400' }, 1500), 1400);
  assert.equal(bridge.mtu({}, {}, 1500), 1500);
});

test('an MTU below 1280 carries no IPv6', () => {
  const small = { ...network, mtu: 1279, options: { 'com.docker.network.driver.mtu': '1279' } };
  assert.equal(bridge.checkNetwork(small, [])?.code, 'OPTION_INVALID');
  assert.equal(bridge.checkNetwork({ ...small, ipv6: false }, []), null);
  assert.equal(bridge.checkNetwork({ ...small, mtu: 1280, options: {} }, []), null);
});

test('options that nobody acts on are refused by name, also those that every object has', () => {
  const odd = ['x', '', 'toString', 'valueOf', 'hasOwnProperty', 'constructor'];
  for (const [name, made] of drivers) {
    for (const key of odd) {
      const options = { [key]: '1' };
      const refusals = [
        made.checkConfigure(options),
        made.checkNetwork({ ...network, options }, []),
        made.checkEndpoint({ ...endpoint, options }, network),
      ];
      for (const refusal of refusals) {
        assert.equal(refusal?.code, 'OPTION_UNSUPPORTED', `${name}: ${key}`);
        assert.equal(refusal?.culprits[0]?.id, key);
      }
    }
  }
});

test('values of options are checked to the letter', () => {
  const check = (value: string) => checkOptions('x', { n: value }, { n: wholeNumber(68, 65_535) })?.code ?? null;
  for (const good of ['68', '1500', '65535']) assert.equal(check(good), null, good);
  for (const bad of ['67', '65536', '', ' 70', '1e3', '0x64', '-70', '70.0', '７０', '9'.repeat(30)])
    assert.equal(check(bad), 'OPTION_INVALID', bad);
  const named = (value: string) =>
    bridge.checkNetwork({ ...network, options: { 'com.docker.network.bridge.name': value } }, [])?.code ?? null;
  for (const good of ['br0', 'br-web.1', 'a'.repeat(15)]) assert.equal(named(good), null, good);
  for (const bad of ['', '.', '..', 'a/b', 'a b', 'a:b', 'a'.repeat(16), '0br', 'ä', 'a\n'])
    assert.equal(named(bad), 'OPTION_INVALID', bad);
});

test('ports are refused until a driver publishes them', () => {
  const ports = [{ protocol: 'udp' as const, hostAddress: null, hostPort: 53, port: 53 }];
  for (const made of drivers.values()) {
    const refusal = made.checkEndpoint({ ...endpoint, ports }, network);
    assert.equal(refusal?.code, 'OPTION_UNSUPPORTED');
    assert.deepEqual(refusal?.culprits, [{ kind: 'port', id: 'udp/53' }]);
  }
});

test('a bridge belongs to one network, whoever named it first', () => {
  const other = { ...network, id: 'other0000001', name: 'other', options: { 'com.docker.network.bridge.name': 'br0' } };
  const mine = { ...network, options: { 'com.docker.network.bridge.name': 'br0' } };
  assert.deepEqual(bridge.checkNetwork(mine, [other])?.culprits, [{ kind: 'network', id: other.id, name: 'other' }]);
  assert.equal(bridge.checkNetwork(network, [other]), null);
  const squatter = { ...other, options: { 'com.docker.network.bridge.name': 'cb0123456789ab' } };
  assert.equal(bridge.checkNetwork(network, [squatter])?.code, 'DRIVER_FORBIDS');
});

test('tags fit into the kernel and come back', () => {
  const objects: readonly KernelObject[] = [
    ...bridge.createNetwork(host, network).ensure,
    ...bridge.join(host, join).ensure,
  ];
  for (const object of objects) {
    const text = formatTag(object.tag);
    assert.ok(Buffer.byteLength(text) <= 128);
    assert.deepEqual(parseTag(text), object.tag);
  }
  const longest = { realm: 'r'.repeat(32), host: 'h'.repeat(63), entity: 'sandbox' as const, id: 'z'.repeat(13) };
  assert.ok(formatTag(longest).length <= 128);
  for (const foreign of ['', 'docker0', 'cnm:r:h:x:1', 'cnm:r:h:n', 'cnm:r:h:n:1:2', 'CNM:r:h:n:1', 'cnm:r:h:n:A'])
    assert.equal(parseTag(foreign), null, foreign);
});
