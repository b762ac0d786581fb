// Published ports of the driver `bridge`: which elements lead to them, and how an outcome states them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diff, printPlan } from '../../drivers/plan.ts';
import type { NetworkFacts, PublishedPort } from '../../events/events.ts';
import {
  driver,
  elementsOf,
  endpoint,
  host,
  network,
  onlyIpv4,
  onlyIpv6,
  port,
  publication,
  sandbox,
  tag,
} from '../support/driver-facts.ts';

const bridge = driver('bridge');
const docker = 'com.docker.network.bridge';
const routed: NetworkFacts = {
  ...network,
  options: { [`${docker}.gateway_mode_ipv4`]: 'routed', [`${docker}.gateway_mode_ipv6`]: 'routed' },
};

const published = (family: 4 | 6, ports: readonly PublishedPort[], on = network) =>
  bridge.publish(host, publication(family, ports, on));
const elements = (...all: Parameters<typeof published>) => elementsOf(published(...all));
const bindings = (...[family, ports, on]: Parameters<typeof published>) =>
  bridge.bindingsOf(publication(family, ports, on));

test('on every address of the host: an element per family, tagged with the sandbox', () => {
  assert.deepEqual(published(4, [port()]), [
    {
      kind: 'element',
      set: 'dnat4',
      key: ['tcp', '8080'],
      data: ['10.1.0.2', '80'],
      tag: tag('sandbox', sandbox.incarnation),
    },
  ]);
  assert.deepEqual(elements(6, [port()]), ['dnat6 { tcp . 8080 : fd00:1::2 . 80 }']);
  const { protocol, port: inner, count } = port();
  const rest = { protocol, hostPort: 8080, port: inner, count };
  assert.deepEqual(bindings(4, [port()]), [{ ...rest, hostAddress: '0.0.0.0', address: '10.1.0.2' }]);
  assert.deepEqual(bindings(6, [port()]), [{ ...rest, hostAddress: '::', address: 'fd00:1::2' }]);
});

test('on chosen addresses: only there, each in its family', () => {
  const chosen = port({ protocol: 'udp', hostAddresses: ['127.0.0.1', '192.0.2.1', '2001:db8::1'] });
  assert.deepEqual(elements(4, [chosen]), [
    'dnat4ip { 127.0.0.1 . udp . 8080 : 10.1.0.2 . 80 }',
    'dnat4ip { 192.0.2.1 . udp . 8080 : 10.1.0.2 . 80 }',
  ]);
  assert.deepEqual(elements(6, [chosen]), ['dnat6ip { 2001:db8::1 . udp . 8080 : fd00:1::2 . 80 }']);
  assert.deepEqual(
    bindings(4, [chosen]).map(({ hostAddress }) => hostAddress),
    ['127.0.0.1', '192.0.2.1'],
  );
  assert.deepEqual(elements(6, [port({ hostAddresses: ['127.0.0.1'] })]), []);
});

test('a range: an element per port, and one binding', () => {
  const range = port({ protocol: 'sctp', hostAddresses: ['0.0.0.0'], hostPort: 65_533, port: 7000, count: 3 });
  assert.deepEqual(elements(4, [range]), [
    'dnat4 { sctp . 65533 : 10.1.0.2 . 7000 }',
    'dnat4 { sctp . 65534 : 10.1.0.2 . 7001 }',
    'dnat4 { sctp . 65535 : 10.1.0.2 . 7002 }',
  ]);
  assert.deepEqual(bindings(4, [range]), [
    { protocol: 'sctp', hostAddress: '0.0.0.0', hostPort: 65_533, address: '10.1.0.2', port: 7000, count: 3 },
  ]);
  assert.equal(published(4, [port({ port: 1, hostPort: 1, count: 1024 })]).length, 1024);
});

test('a host port that is still to be found leads nowhere yet', () => {
  assert.deepEqual(published(4, [port({ hostPort: 0 })]), []);
  assert.deepEqual(bindings(4, [port({ hostPort: 0 })]), []);
});

test('mode nat-unprotected publishes as mode nat does', () => {
  const open = { ...network, options: { [`${docker}.gateway_mode_ipv4`]: 'nat-unprotected' } };
  assert.deepEqual(published(4, [port()], open), published(4, [port()]));
});

test('mode routed: ports are opened at the endpoint, and host ports have no part in it', () => {
  const range = port({ protocol: 'udp', hostPort: 9000, port: 53, count: 2 });
  const again = port({ hostPort: 8081 });
  assert.deepEqual(elements(4, [port(), again, range], routed), [
    'routed4 { 10.1.0.2 . tcp . 80 }',
    'routed4 { 10.1.0.2 . udp . 53 }',
    'routed4 { 10.1.0.2 . udp . 54 }',
  ]);
  assert.deepEqual(elements(6, [port()], routed), ['routed6 { fd00:1::2 . tcp . 80 }']);
  assert.deepEqual(bindings(4, [range], routed), [
    { protocol: 'udp', hostAddress: '10.1.0.2', hostPort: 53, address: '10.1.0.2', port: 53, count: 2 },
  ]);
  const local = port({ hostAddresses: ['127.0.0.1', '2001:db8::1'] });
  for (const family of [4, 6] as const) {
    assert.deepEqual(elements(family, [local], routed), []);
    assert.deepEqual(bindings(family, [local], routed), []);
  }
});

test('one family is routed, the other translated', () => {
  const mixed = { ...network, options: { [`${docker}.gateway_mode_ipv6`]: 'routed' } };
  assert.deepEqual(elements(4, [port()], mixed), ['dnat4 { tcp . 8080 : 10.1.0.2 . 80 }']);
  assert.deepEqual(elements(6, [port()], mixed), ['routed6 { fd00:1::2 . tcp . 80 }']);
});

test('a network that leads nowhere publishes nothing', () => {
  const inhibited = { ...network, options: { [`${docker}.inhibit_ipv4`]: 'true' } };
  const nowhere: readonly (readonly [4 | 6, NetworkFacts])[] = [
    [4, { ...network, internal: true }],
    [6, { ...network, internal: true }],
    [4, onlyIpv6],
    [6, onlyIpv4],
    [4, inhibited],
    [4, { ...network, subnets: [] }],
  ];
  for (const [family, on] of nowhere) {
    assert.deepEqual(published(family, [port()], on), []);
    assert.deepEqual(bindings(family, [port()], on), []);
    assert.equal(bridge.canPublish(on, family), false);
  }
  assert.ok(bridge.canPublish(network, 4) && bridge.canPublish(network, 6));
  assert.equal(published(6, [port()], inhibited).length, 1);
  const without = { ...publication(6, [port()]), endpoint: { ...endpoint, ipv6: null } };
  assert.deepEqual(bridge.publish(host, without), []);
});

test('without an address a port is published on 127.0.0.1, unless network or driver say more', () => {
  const binding = (family: 4 | 6, address: string) => ({ [`${docker}.host_binding_ipv${family}`]: address });
  const given = (options: NetworkFacts['options']) => ({ ...network, options });
  assert.deepEqual(bridge.defaultBindings(network, {}), ['127.0.0.1']);
  assert.deepEqual(bridge.defaultBindings(network, { ...binding(4, '0.0.0.0'), ...binding(6, '::') }), [
    '0.0.0.0',
    '::',
  ]);
  assert.deepEqual(bridge.defaultBindings(given(binding(4, '192.0.2.1')), binding(4, '0.0.0.0')), ['192.0.2.1']);
  assert.deepEqual(bridge.defaultBindings(given(binding(6, '2001:DB8:0::1')), {}), ['127.0.0.1', '2001:db8::1']);
  assert.deepEqual(bridge.defaultBindings(onlyIpv6, {}), []);
  assert.deepEqual(bridge.defaultBindings(onlyIpv6, binding(4, '0.0.0.0')), []);
  assert.deepEqual(bridge.defaultBindings(onlyIpv4, binding(6, '::')), ['127.0.0.1']);
  assert.deepEqual(bridge.defaultBindings({ ...network, internal: true }, binding(4, '0.0.0.0')), []);
  assert.deepEqual(bridge.defaultBindings(given({ [`${docker}.inhibit_ipv4`]: 'true' }), binding(6, '::')), ['::']);
});

test('mode routed: the network says that endpoints are reached, so nothing else has to', () => {
  assert.deepEqual(bridge.defaultBindings(routed, { [`${docker}.host_binding_ipv4`]: '192.0.2.1' }), ['0.0.0.0', '::']);
  assert.deepEqual(bridge.defaultBindings({ ...network, options: { [`${docker}.gateway_mode_ipv6`]: 'routed' } }, {}), [
    '127.0.0.1',
    '::',
  ]);
});

test('a dry run shows ports that are published, that follow the gateway, and that go', () => {
  const before = [...published(4, [port({ count: 2 })]), ...published(6, [port({ protocol: 'udp' })])];
  const moved = { ...publication(4, [port()]), endpoint: { ...endpoint, ipv4: '10.2.0.7/24' } };
  const after = [
    ...bridge.publish(host, moved),
    ...published(4, [port({ hostAddresses: ['127.0.0.1'], hostPort: 90 })]),
  ];
  assert.deepEqual(printPlan(diff(after, before)).split('\n'), [
    '- nft element dnat4 { tcp . 8081 : 10.1.0.2 . 81 }',
    '- nft element dnat6 { udp . 8080 : fd00:1::2 . 80 }',
    '~ nft element dnat4 { tcp . 8080 : 10.2.0.7 . 80 }',
    '+ nft element dnat4ip { 127.0.0.1 . tcp . 90 : 10.1.0.2 . 80 }',
  ]);
});
