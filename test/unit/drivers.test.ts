// What holds for every driver: what is made is what is removed, tags, and refusing what has no effect.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Driver, Effect } from '../../drivers/driver.ts';
import { formatMovedTag, formatTag, type KernelObject, movedFrom, parseTag } from '../../drivers/objects.ts';
import { checkOptions, flag, listOf, oneOf, wholeNumber } from '../../drivers/options.ts';
import { drivers } from '../../drivers/registry.ts';
import type { EndpointFacts } from '../../events/events.ts';
import { gatewayOf } from '../../events/gateways.ts';
import { driver, endpoint, host, join, network, port, publication } from '../support/driver-facts.ts';
import { hostFacts } from '../support/world.ts';

const bridge = driver('bridge');

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
    for (const family of [4, 6] as const) {
      assert.deepEqual(made.publish(host, publication(family, [port()])), []);
      assert.deepEqual(made.bindingsOf(publication(family, [port()])), []);
    }
    assert.equal(made.mtu({}, {}, hostFacts('h1'), []), null);
    assert.deepEqual([made.addresses, made.exclusive, made.networksMax], [false, true, 1]);
  }
  assert.equal(driver('host').sandbox, 'host');
  assert.equal(driver('null').sandbox, 'own');
  assert.equal(bridge.endpointsMax, 1023);
});

test('null and host refuse whatever needs an interface', () => {
  const asked: readonly Partial<EndpointFacts>[] = [
    { ports: [port()] },
    { gatewayPriority: -1 },
    { interface: 'eth0' },
    { sysctls: { 'net.ipv4.conf.IFNAME.arp_notify': '1' } },
    { linkLocal: ['169.254.1.1/16'] },
    { routes: [{ destination: '10.9.0.0/16', gateway: null }] },
    { aliases: ['b'] },
    { links: { db: 'a' } },
    { services: [{ name: 'http', protocol: 'tcp', port: 80 }] },
  ];
  for (const name of ['null', 'host']) {
    const idle = { ...network, driver: name, options: {} };
    const bare = { ...endpoint, ipv4: null, ipv6: null, mac: null };
    assert.equal(driver(name).checkEndpoint(bare, idle), null);
    for (const changes of asked) {
      const refusal = driver(name).checkEndpoint({ ...bare, ...changes }, idle);
      assert.equal(refusal?.code, 'OPTION_UNSUPPORTED');
      assert.deepEqual(refusal?.culprits, [{ kind: 'field', id: Object.keys(changes)[0] }]);
    }
  }
});

test('host resolves names as the host does; null has files that say how', () => {
  const resolved = { ...network, options: {}, dns: { servers: ['192.0.2.53'], search: null, options: null } };
  assert.equal(driver('host').checkNetwork(resolved, [])?.code, 'OPTION_UNSUPPORTED');
  assert.equal(driver('host').checkNetwork(network, []), null);
  assert.equal(driver('null').checkNetwork(resolved, []), null);
});

test('options that nobody acts on are refused by name, also those that every object has', () => {
  const odd = ['x', '', 'toString', 'valueOf', 'hasOwnProperty', 'constructor', 'com.docker.network.bridge.Name'];
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
  const rules = {
    n: wholeNumber(68, 65_535),
    f: flag,
    o: oneOf(['a', 'b']),
    l: listOf(':', 'digits', (item) => /^\d$/.test(item)),
  };
  const cases: readonly (readonly [keyof typeof rules, readonly string[], readonly string[]])[] = [
    ['n', ['68', '1500', '65535'], ['67', '65536', '', ' 70', '1e3', '0x64', '-70', '70.0', '７０', '9'.repeat(30)]],
    ['f', ['true', 'false'], ['', '1', 'TRUE', 'yes', 'true ']],
    ['o', ['a', 'b'], ['', 'c', 'a,b', 'toString']],
    ['l', ['1', '1:2'], ['', ':', '1:', '1::2', '1,2', 'x']],
  ];
  for (const [key, good, bad] of cases) {
    for (const value of good) assert.equal(checkOptions('x', { [key]: value }, rules), null, `${key} ${value}`);
    for (const value of bad) {
      const refusal = checkOptions('x', { [key]: value }, rules);
      assert.equal(refusal?.code, 'OPTION_INVALID', `${key} ${value}`);
      assert.deepEqual(refusal?.culprits, [{ kind: 'option', id: key, detail: value }]);
    }
  }
});

test('the default route leads to the gateway, or to the auxiliary address that says so', () => {
  assert.deepEqual([gatewayOf(network, 4), gatewayOf(network, 6)], ['10.1.0.1', 'fd00:1::1']);
  const [ipv4, ipv6] = network.subnets;
  assert.ok(ipv4 && ipv6);
  const elsewhere = {
    ...network,
    subnets: [
      { ...ipv4, aux: { DefaultGatewayIPv4: '10.1.0.254', DefaultGatewayIPv6: 'fd00:1::fe' } },
      { ...ipv6, gateway: null },
    ],
  };
  assert.deepEqual([gatewayOf(elsewhere, 4), gatewayOf(elsewhere, 6)], ['10.1.0.254', null]);
  assert.equal(gatewayOf({ ...network, subnets: [] }, 4), null);
});

test('tags fit into the kernel and come back', () => {
  const objects: readonly KernelObject[] = [
    ...bridge.createNetwork(host, network).ensure,
    ...bridge.join(host, join).ensure,
    ...bridge.publish(host, publication(4, [port()])),
  ];
  assert.deepEqual([...new Set(objects.map(({ tag }) => tag.entity))], ['network', 'endpoint', 'sandbox']);
  for (const object of objects) {
    const text = formatTag(object.tag);
    assert.ok(Buffer.byteLength(text) <= 128);
    assert.deepEqual(parseTag(text), object.tag);
  }
  const longest = { realm: 'r'.repeat(32), host: 'h'.repeat(63), entity: 'sandbox' as const, id: 'z'.repeat(13) };
  assert.ok(formatTag(longest).length <= 128);
  for (const foreign of ['', 'docker0', 'cnm:r:h:x:1', 'cnm:r:h:n', 'cnm:r:h:n:1:2', 'CNM:r:h:n:1', 'cnm:r:h:n:A'])
    assert.equal(parseTag(foreign), null, foreign);
  const tag = { realm: 'r', host: 'h', entity: 'endpoint', id: '1' } as const;
  assert.deepEqual([formatMovedTag(tag, 'pc0'), formatMovedTag(tag, '')], ['cnm:r:h:e:1:pc0', formatTag(tag)]);
  for (const text of ['cnm:r:h:e:1:pc0', 'cnm:r:h:e:1']) assert.deepEqual(parseTag(text), tag);
  assert.deepEqual(['cnm:r:h:e:1:pc0', 'cnm:r:h:e:1', 'cnm:r:h:e:1:a/b', 'pc0'].map(movedFrom), [
    'pc0',
    null,
    null,
    null,
  ]);
});
