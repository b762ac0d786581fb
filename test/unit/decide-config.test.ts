// Specifications of networks that hold settings for others, and of PruneNetworks.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CommandInput } from '../../events/commands.ts';
import {
  did,
  endpoint,
  failed,
  given,
  joined,
  later,
  left,
  network,
  reported,
  type Step,
} from '../support/specification.ts';
import { startMs } from '../support/world.ts';

const subnet = '10.7.0.0/24';
const settings = {
  ipv6: true,
  ipam: { subnets: [{ subnet, range: '10.7.0.128/25', gateway: '10.7.0.1', aux: { router: '10.7.0.2' } }] },
  options: { 'com.docker.network.driver.mtu': '1400' },
  labels: { tier: 'front' },
  dns: { servers: ['10.0.0.53'] },
};
const config = network('config', { configOnly: true, ...settings });
const from = (more: Partial<CommandInput<'CreateNetwork'>> = {}) => ({ name: 'web', configFrom: 'config', ...more });
const created = 'NetworkCreateRequested';

test('a network that only holds settings holds nothing else', () => {
  const { world } = given(config, reported);
  const { facts, status } = world.network('config');
  assert.equal(status, 'active');
  assert.partialDeepStrictEqual(facts, {
    driver: 'null',
    configOnly: true,
    configFrom: null,
    ipv4: true,
    ipv6: true,
    mtu: null,
  });
  // its subnet is for others, and a host has room for one network of driver null
  given(config).when('CreateNetwork', { name: 'other', ipam: settings.ipam }).records({ type: created });
  given(config, network('none', { driver: 'null' }))
    .when('CreateNetwork', { ...from(), name: 'web' })
    .records({ type: created });
  given(network('none', { driver: 'null' }), config, network('more', { configOnly: true }));
});

test('a network takes its settings from another, and is one of its own from then on', () => {
  const { world } = given(config, did('CreateNetwork', from()));
  const { facts } = world.network('web');
  assert.partialDeepStrictEqual(facts, {
    ...{ driver: 'bridge', configOnly: false, configFrom: 'config', ipv4: true, ipv6: true, mtu: 1400 },
    ...{ options: settings.options, labels: settings.labels, dns: { ...settings.dns, search: null, options: null } },
  });
  assert.deepEqual(facts.subnets[0], { family: 4, ...settings.ipam.subnets[0], vni: null, pool: null });
  assert.equal(facts.subnets[1]?.family, 6, 'what the other leaves out is chosen');
  given(config, did('CreateNetwork', from()))
    .when('CreateNetwork', from({ name: 'two' }))
    .refuses('SUBNET_OVERLAPS', { name: 'web' });
  given(config)
    .when('CreateNetwork', from({ internal: true, gc: 'off' }))
    .records({ type: created, data: { network: { internal: true } } });
});

test('settings are given once: by the other network, or by oneself', () => {
  const conflict = (more: Partial<CommandInput<'CreateNetwork'>>, id: string) =>
    given(config).when('CreateNetwork', from(more)).refuses('CONFIG_CONFLICT', { kind: 'field', id });
  conflict({ ipv4: false }, 'ipv4');
  conflict({ ipv6: true }, 'ipv6');
  conflict({ ipam: { driver: 'other' } }, 'ipam.driver');
  conflict({ ipam: { options: { a: 'b' } } }, 'ipam.options');
  conflict({ ipam: { subnets: [{ subnet: '10.8.0.0/24' }] } }, 'ipam.subnets');
  conflict({ ipam: { overlap: true } }, 'ipam.overlap');
  conflict({ options: { x: 'y' } }, 'options');
  conflict({ labels: { x: 'y' } }, 'labels');
  conflict({ dns: {} }, 'dns');
  given().when('CreateNetwork', from()).refuses('NETWORK_NOT_FOUND', { id: 'config' });
  given(network('config'))
    .when('CreateNetwork', from())
    .refuses('CONFIG_CONFLICT', { kind: 'network', name: 'config' });
});

test('what a network for settings cannot have is refused, and what is wrong in them', () => {
  const refused = (more: Partial<CommandInput<'CreateNetwork'>>, id: string) =>
    given(config)
      .when('CreateNetwork', { name: 'c', configOnly: true, ...more })
      .refuses('CONFIG_CONFLICT', { id });
  refused({ configFrom: 'config' }, 'configFrom');
  refused({ internal: true }, 'internal');
  refused({ gc: 'off' }, 'gc');
  refused({ driver: 'host' }, 'driver');
  const holder = (subnets: NonNullable<CommandInput<'CreateNetwork'>['ipam']>['subnets']) =>
    given().when('CreateNetwork', { name: 'c', configOnly: true, ipam: { subnets } });
  holder([{ subnet: '10.7.0.1/24' }]).refuses('SUBNET_INVALID');
  holder([{ gateway: '10.7.0.1' }]).refuses('IPAM_INVALID');
  holder([{ subnet: 'fd00::/64' }]).refuses('IPAM_INVALID');
  holder([{ family: 4, subnet: 'fd00::/64' }]).refuses('SUBNET_INVALID');
  holder([]).records({ type: created, data: { network: { subnets: [] } } });
});

test('it takes no endpoints, and stays while others have its settings', () => {
  const { when } = given(config, did('CreateNetwork', from({ configFrom: 'CONFIG' })));
  when('CreateEndpoint', { network: 'config', name: 'a' }).refuses('NETWORK_CONFIG_ONLY', { name: 'config' });
  when('AttachSandbox', { sandbox: 's1', networks: [{ network: 'config' }] }).refuses('NETWORK_CONFIG_ONLY');
  when('DeleteNetwork', { network: 'config' }).refuses('NETWORK_IN_USE', { kind: 'network', name: 'web' });
  const gone = did('DeleteNetwork', { network: 'web' });
  given(config, did('CreateNetwork', from()), gone)
    .when('DeleteNetwork', { network: 'config' })
    .records({ type: 'NetworkDeleteRequested' });
  given(config)
    .when('UpdateNetwork', { network: 'config', options: { x: 'y' } })
    .records({ type: 'NetworkUpdateRequested', data: { settings: { mtu: null, labels: settings.labels } } });
});

// ---------------------------------------------------------------- PruneNetworks

/** Names of the networks that a prune takes. */
const taken = (data: CommandInput<'PruneNetworks'>, ...steps: readonly Step[]): readonly string[] => {
  const { world } = given(...steps);
  const decision = world.decide('PruneNetworks', data);
  if (!decision.ok) {
    assert.equal(decision.code, 'NOTHING_TO_PRUNE');
    assert.deepEqual(decision.culprits, [{ kind: 'host', id: 'h1' }]);
    return [];
  }
  return decision.facts.map((fact) => (fact.type === 'NetworkDeleteRequested' ? fact.data.name : fact.type));
};

test('PruneNetworks: networks without endpoints, but for those that hold settings and those that are stuck', () => {
  const steps = [
    config,
    network('idle'),
    network('used'),
    endpoint('used', 'a'),
    network('leaving'),
    endpoint('leaving', 'b'),
    joined('leaving', 'b', 's1'),
    left('leaving', 'b'),
    network('free'),
    endpoint('free', 'c'),
    reported,
    did('DeleteEndpoint', { network: 'free', endpoint: 'c' }),
  ];
  assert.deepEqual(taken({}, ...steps), ['idle', 'free']);
  assert.deepEqual(taken({}, config), []);
  const stuck = [network('x'), reported, did('DeleteNetwork', { network: 'x' }), failed('NetworkDeleteRequested')];
  assert.deepEqual(taken({}, ...stuck), []);
});

test('PruneNetworks: by labels, all of them and none of those that are excluded', () => {
  const labelled = (name: string, labels: Record<string, string>) => network(name, { labels });
  const steps = [
    labelled('a', { x: '1' }),
    labelled('b', { x: '2', y: '' }),
    labelled('c', {}),
    labelled('d', { x: '1=2' }),
  ];
  assert.deepEqual(taken({ labels: ['x'] }, ...steps), ['a', 'b', 'd']);
  assert.deepEqual(taken({ labels: ['x=1'] }, ...steps), ['a']);
  assert.deepEqual(taken({ labels: ['x=1=2'] }, ...steps), ['d']);
  assert.deepEqual(taken({ labels: ['x', 'y='] }, ...steps), ['b']);
  assert.deepEqual(taken({ not: ['x=1', 'y'] }, ...steps), ['c', 'd']);
  assert.deepEqual(taken({ labels: ['x'], not: ['x'] }, ...steps), []);
  assert.deepEqual(taken({ labels: ['toString'] }, ...steps), []);
});

test('PruneNetworks: only what is older than a time', () => {
  const until = new Date(startMs + 1_000).toISOString();
  assert.deepEqual(taken({ until }, network('old'), later(1_000), network('new')), ['old']);
});
