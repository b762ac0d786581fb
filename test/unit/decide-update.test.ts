// Specifications of changes in place: UpdateEndpoint and UpdateNetwork, and what is left of them when they fail.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CommandInput } from '../../events/commands.ts';
import { openLeases } from '../../events/leases.ts';
import { did, endpoint, failed, given, joined, left, network, reported, type Step } from '../support/specification.ts';
import type { World } from '../support/world.ts';

const web = network('web');
const db = network('db');
const port = (hostPort: number) => ({ hostPort, port: 80 });
const a = endpoint('web', 'a', { aliases: ['x'], ports: [port(80)], gatewayPriority: 1 });
const update = (more: Partial<CommandInput<'UpdateEndpoint'>>) => ({ network: 'web', endpoint: 'a', ...more });
const updated = (more: Partial<CommandInput<'UpdateEndpoint'>>): Step => did('UpdateEndpoint', update(more));
const requested = 'EndpointUpdateRequested';

/** Host ports of an endpoint, and all that are held. */
const ports = (world: World) => ({
  own: world.endpoint('a').facts.ports.map(({ hostPort }) => hostPort),
  held: [...world.state.ports.keys()].sort(),
});

test('UpdateEndpoint: what is left out stays, and the event carries all of it', () => {
  const { world, when } = given(web, a, joined('web', 'a', 's1'), reported);
  const { facts } = world.endpoint('a');
  const [row] = world.state.sandboxes.values();
  when('UpdateEndpoint', update({ aliases: ['y'] })).records({
    type: requested,
    data: {
      endpointId: facts.id,
      settings: { aliases: ['y'], ports: facts.ports, gatewayPriority: 1 },
      sandbox: { id: 's1' },
      gateways: row?.gateways,
    },
  });
  assert.equal(world.endpoint('a').status, 'joined');
  assert.deepEqual(world.endpoint('a').facts.aliases, ['y']);
  given(web, a)
    .when('UpdateEndpoint', update({ gatewayPriority: 7 }))
    .records({ type: requested, data: { sandbox: null, gateways: { ipv4: null, ipv6: null } } });
});

test('UpdateEndpoint: ports of before and of now are both held until it is reported', () => {
  const { world } = given(web, a, reported, updated({ ports: [port(81)] }));
  assert.deepEqual(ports(world), { own: [81], held: ['tcp/80', 'tcp/81'] });
  const other = (hostPort: number) => {
    const decision = world.decide('CreateEndpoint', { network: 'web', name: 'b', ports: [port(hostPort)] });
    return decision.ok ? 'accepted' : decision.code;
  };
  assert.deepEqual([other(80), other(81)], ['PORT_IN_USE', 'PORT_IN_USE']);
  world.succeed();
  assert.deepEqual(ports(world), { own: [81], held: ['tcp/81'] });
  assert.deepEqual([other(80), other(81)], ['accepted', 'PORT_IN_USE']);
});

test('UpdateEndpoint: what failed gives back what was before it, ports included', () => {
  const { world } = given(web, a, reported, updated({ ports: [port(81)], aliases: [] }), failed(requested));
  assert.deepEqual(ports(world), { own: [80], held: ['tcp/80'] });
  assert.deepEqual(world.endpoint('a').facts.aliases, ['x']);
  assert.equal(world.endpoint('a').update, null);
});

test('UpdateEndpoint: several follow each other, and the last one that is done counts', () => {
  const first = updated({ ports: [port(81)] });
  const second = updated({ ports: [port(82)] });
  const both = () => given(web, a, reported, first, second).world;
  assert.deepEqual(ports(both()), { own: [82], held: ['tcp/80', 'tcp/81', 'tcp/82'] });

  const done = both();
  done.succeed();
  assert.deepEqual(ports(done), { own: [82], held: ['tcp/82'] });

  const lastFailed = both();
  const [one] = [...lastFailed.state.intents.values()];
  assert.ok(one);
  lastFailed.succeedOne(one);
  assert.deepEqual(ports(lastFailed).held, ['tcp/81', 'tcp/82']);
  lastFailed.fail(requested);
  assert.deepEqual(ports(lastFailed), { own: [81], held: ['tcp/81'] });

  const bothFailed = both();
  bothFailed.fail(requested);
  assert.deepEqual(ports(bothFailed), { own: [82], held: ['tcp/80', 'tcp/82'] });
  bothFailed.fail(requested);
  assert.deepEqual(ports(bothFailed), { own: [80], held: ['tcp/80'] });
});

test('UpdateEndpoint: an update that is reported late changes nothing more', () => {
  const { world } = given(web, a, reported, updated({ ports: [port(81)] }), updated({ ports: [port(82)] }));
  const [, second] = [...world.state.intents.values()];
  assert.ok(second);
  world.succeedOne(second);
  world.fail(requested);
  assert.deepEqual(ports(world), { own: [82], held: ['tcp/82'] });
});

test('UpdateEndpoint: one that came too late is reported as done, and then as taken back', () => {
  const { world } = given(web, a, reported);
  const [intent] = world.run('UpdateEndpoint', update({ ports: [port(81)] }), { id: 'mhx3k2p1-up' });
  assert.ok(intent);
  world.nowMs += 31_000;
  world.run('ExpireCommand', { actor: 'alice', commandId: 'mhx3k2p1-up' });
  world.succeedOne(intent);
  assert.deepEqual(ports(world).held, ['tcp/80', 'tcp/81']);
  world.fail(requested);
  assert.deepEqual(ports(world), { own: [80], held: ['tcp/80'] });
  assert.equal(world.state.intents.size, 0);
});

test('UpdateEndpoint: a port that is asked for as before keeps what was found for it', () => {
  const found = { port: 80 };
  const { world } = given(web, endpoint('web', 'a', { ports: [found] }));
  const lease = (hostPort: number, index = 0) => {
    const [intent] = [...world.state.intents.values()].filter((one) => openLeases(world.state, one).length > 0);
    const { id: holder } = world.endpoint('a').facts;
    const ports = [{ holder, index, hostPort }];
    world.run('LeasePorts', { intent: intent?.meta.id ?? '', ports }, { actor: 'worker:h1' });
  };
  // before it is found: the update waits for the same port
  world.run('UpdateEndpoint', update({ aliases: ['y'] }));
  lease(40_000);
  assert.deepEqual(ports(world), { own: [40_000], held: ['tcp/40000'] });
  world.succeed();
  world.run('UpdateEndpoint', update({ ports: [{ port: 81 }, found] }));
  assert.deepEqual(ports(world).own, [0, 40_000]);
  lease(40_001);
  assert.deepEqual(ports(world), { own: [40_001, 40_000], held: ['tcp/40000', 'tcp/40001'] });
  world.fail(requested);
  assert.deepEqual(ports(world), { own: [40_000], held: ['tcp/40000'] });
});

test('UpdateEndpoint: ports are checked like those of a new one, but for its own', () => {
  const b = endpoint('web', 'b', { ports: [port(90)] });
  const { when } = given(web, a, b);
  when('UpdateEndpoint', update({ ports: [port(90)] })).refuses('PORT_IN_USE', { name: 'b' });
  when('UpdateEndpoint', update({ ports: [port(91), port(91)] })).refuses('PORT_IN_USE', { id: 'tcp/91' });
  when('UpdateEndpoint', update({ ports: [{ port: 80, hostPortEnd: 3 }] })).refuses('PORT_INVALID');
  given(web, a)
    .when('UpdateEndpoint', update({ ports: [{ ...port(80), portEnd: 81 }] }))
    .records({ type: requested });
});

test('UpdateEndpoint: another gateway resets connections, so it must be allowed', () => {
  const attach = did('AttachSandbox', {
    sandbox: 's1',
    networks: [
      { network: 'web', name: 'a' },
      { network: 'db', name: 'b' },
    ],
  });
  const { when } = given(web, db, attach);
  when('UpdateEndpoint', update({ gatewayPriority: -1 })).refuses('UPDATE_DISRUPTS', { kind: 'endpoint', name: 'a' });
  when('UpdateEndpoint', update({ gatewayPriority: 5 })).records({ type: requested });
  const { world } = given(web, db, attach, updated({ gatewayPriority: -1, disrupt: true }));
  const carrier = () => [...world.state.sandboxes.values()][0]?.gateways.ipv4;
  assert.equal(carrier(), world.endpoint('b').facts.id);
  world.succeedOne([...world.state.intents.values()][0] ?? assert.fail());
  world.fail(requested);
  assert.equal(carrier(), world.endpoint('a').facts.id, 'what was before holds again');
});

test('UpdateEndpoint: an endpoint that is on its way out is not changed', () => {
  given(web, a, joined('web', 'a', 's1'), left('web', 'a'))
    .when('UpdateEndpoint', update({ aliases: [] }))
    .refuses('ENDPOINT_NOT_JOINED', { name: 'a' });
  given().when('UpdateEndpoint', update({})).refuses('NETWORK_NOT_FOUND', { id: 'web' });
});

// ---------------------------------------------------------------- UpdateNetwork

const icc = 'com.docker.network.bridge.enable_icc';
const mtu = 'com.docker.network.driver.mtu';
const change = (more: Partial<CommandInput<'UpdateNetwork'>>) => ({ network: 'web', ...more });

test('UpdateNetwork: what is left out stays, options are added to those that are there', () => {
  const dns = { servers: ['10.0.0.53'] };
  const named = network('web', { labels: { a: '1' }, dns, options: { 'com.docker.network.bridge.name': 'br7' } });
  const settings = { servers: ['10.0.0.53'], search: null, options: null };
  const { world } = given(named, reported);
  given(named, reported)
    .when('UpdateNetwork', change({ options: { [mtu]: '1400', [icc]: 'false' } }))
    .records({
      type: 'NetworkUpdateRequested',
      data: {
        name: 'web',
        settings: {
          labels: { a: '1' },
          mtu: 1400,
          dns: settings,
          options: { 'com.docker.network.bridge.name': 'br7', [mtu]: '1400', [icc]: 'false' },
        },
      },
    });
  world.run('UpdateNetwork', change({ labels: {}, dns: { search: ['lan'] } }));
  const { facts, status, update } = world.network('web');
  assert.deepEqual([facts.labels, facts.mtu, facts.dns.servers, facts.dns.search], [{}, 1500, null, ['lan']]);
  assert.equal(status, 'active');
  assert.deepEqual(update?.before.labels, { a: '1' });
  world.fail('NetworkUpdateRequested');
  assert.deepEqual(world.network('web').facts.dns, settings);
  assert.equal(world.network('web').update, null);
});

test('UpdateNetwork: an MTU that was taken from the host stays what it is when the host has another', () => {
  const { world } = given(web, did('ConfigureDriver', { driver: 'bridge', options: { [mtu]: '1300' } }));
  world.run('UpdateNetwork', change({ options: { [icc]: 'false' } }));
  assert.equal(world.network('web').facts.mtu, 1500);
});

test('UpdateNetwork: what cannot change, or is wrong, is refused', () => {
  const { when } = given(network('web', { ipv6: true }));
  const masquerade = 'com.docker.network.bridge.enable_ip_masquerade';
  when('UpdateNetwork', change({ options: { [masquerade]: 'false' } })).refuses('OPTION_IMMUTABLE', { id: masquerade });
  when('UpdateNetwork', change({ options: { nonsense: '1' } })).refuses('OPTION_UNSUPPORTED', { id: 'nonsense' });
  when('UpdateNetwork', change({ options: { [mtu]: '1000' } })).refuses('OPTION_INVALID', { id: mtu });
  when('UpdateNetwork', change({ dns: { servers: ['dns.example'] } })).refuses('DNS_INVALID', { id: 'dns.example' });
  given(network('web', { options: { [masquerade]: 'false' } }))
    .when('UpdateNetwork', change({ options: { [masquerade]: 'false', [icc]: 'true' } }))
    .records({ type: 'NetworkUpdateRequested' });
});
