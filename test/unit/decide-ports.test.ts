// Specifications of published ports: what a request comes to, where it is published, and who holds what.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bridgeDriver } from '../../drivers/bridge.ts';
import type { CommandInput } from '../../events/commands.ts';
import { openLeases } from '../../events/leases.ts';
import { sandboxLeases } from '../support/sandbox-leases.ts';
import { did, endpoint, given, givenIn, network, reported, type Step } from '../support/specification.ts';
import { hostFacts, type World } from '../support/world.ts';

type Port = NonNullable<CommandInput<'CreateEndpoint'>['ports']>[number];

const web = network('web', { ipam: { subnets: [{ subnet: '10.1.0.0/24' }] } });
const dual = network('dual', { ipv6: true });
const six = network('six', { ipv4: false, ipv6: true });
const created = { type: 'EndpointCreateRequested' } as const;
const join = { type: 'EndpointJoinRequested' } as const;

const asked = (steps: readonly Step[], on: string, ...ports: readonly Port[]) =>
  given(...steps).when('CreateEndpoint', { network: on, name: 'a', ports: [...ports] });

/** The one lease that a request comes to on a network. */
const leased = (port: Port, on = 'web') => {
  const [fact] = asked([web, dual, six], on, port).records(created);
  return fact?.type === 'EndpointCreateRequested' ? fact.data.endpoint.ports : assert.fail();
};

test('a request becomes a lease: one, a range, one out of a range, or one that the host finds', () => {
  const lease = { protocol: 'tcp', hostAddresses: ['127.0.0.1'], choice: null, port: 80, count: 1 };
  assert.deepEqual(leased({ hostPort: 8080, port: 80 }), [{ ...lease, hostPort: 8080 }]);
  assert.deepEqual(leased({ port: 80 }), [{ ...lease, hostPort: 0 }]);
  assert.deepEqual(leased({ hostPort: 8080, hostPortEnd: 8080, port: 80 }), [{ ...lease, hostPort: 8080 }]);
  assert.deepEqual(leased({ hostPort: 8080, port: 80, portEnd: 89 }), [{ ...lease, hostPort: 8080, count: 10 }]);
  assert.deepEqual(leased({ hostPort: 8080, hostPortEnd: 8089, port: 80, portEnd: 89 }), [
    { ...lease, hostPort: 8080, count: 10 },
  ]);
  assert.deepEqual(leased({ hostPort: 8080, hostPortEnd: 8089, port: 80 }), [
    { ...lease, hostPort: 0, choice: { from: 8080, to: 8089 } },
  ]);
  assert.deepEqual(leased({ port: 80, portEnd: 82, protocol: 'sctp' }), [
    { ...lease, protocol: 'sctp', hostPort: 0, count: 3 },
  ]);
});

test('ranges that do not fit are refused', () => {
  const refused = (port: Port, id: string) => asked([web], 'web', port).refuses('PORT_INVALID', { kind: 'port', id });
  refused({ port: 80, portEnd: 79 }, 'tcp/80');
  refused({ hostPort: 9000, hostPortEnd: 8999, port: 80 }, 'tcp/9000');
  refused({ hostPort: 9000, hostPortEnd: 9001, port: 80, portEnd: 82 }, 'tcp/9000');
  refused({ hostPortEnd: 9001, port: 80 }, 'tcp/80');
  refused({ hostPort: 65_535, port: 80, portEnd: 81 }, 'tcp/65535');
  refused({ hostPort: 1, port: 1, portEnd: 1_025 }, 'tcp/1');
  assert.equal(leased({ hostPort: 1, port: 1, portEnd: 1_024 })[0]?.count, 1_024);
  assert.equal(leased({ hostPort: 65_535, port: 80 })[0]?.hostPort, 65_535);
  const many = Array.from({ length: 5 }, (_, n) => ({ hostPort: 1 + n * 1_024, port: 1, portEnd: 1_024 }));
  asked([web], 'web', ...many).refuses('PORT_INVALID', { id: 'tcp/4097' });
});

test('without an address a port is published on the loopback, unless the network or the driver says otherwise', () => {
  const key = (family: 4 | 6) => `com.docker.network.bridge.host_binding_ipv${family}`;
  const at = (on: string, ...steps: readonly Step[]) => {
    const [fact] = asked(steps, on, { hostPort: 80, port: 80 }).records(created);
    return fact?.type === 'EndpointCreateRequested' ? fact.data.endpoint.ports[0]?.hostAddresses : assert.fail();
  };
  assert.deepEqual(at('web', web), ['127.0.0.1']);
  assert.deepEqual(at('dual', dual), ['127.0.0.1']);
  assert.deepEqual(at('n', network('n', { options: { [key(4)]: '0.0.0.0' } })), ['0.0.0.0']);
  const open = did('ConfigureDriver', { driver: 'bridge', options: { [key(4)]: '10.9.9.9', [key(6)]: '::' } });
  assert.deepEqual(at('web', open, web), ['10.9.9.9']);
  assert.deepEqual(at('dual', open, dual), ['10.9.9.9', '::']);
  assert.deepEqual(at('six', open, six), ['::']);
  assert.deepEqual(at('n', open, network('n', { ipv6: true, options: { [key(4)]: '127.0.0.2' } })), [
    '127.0.0.2',
    '::',
  ]);
  asked([six], 'six', { hostPort: 80, port: 80 }).refuses('PORT_ADDRESS_INVALID', { kind: 'port', id: 'tcp/80' });
});

test('an address must be one that the kernel can lead on, of a family that the network has', () => {
  const at = (hostAddress: string, on: string) => leased({ hostPort: 80, port: 80, hostAddress }, on)[0]?.hostAddresses;
  assert.deepEqual(at('any', 'web'), ['0.0.0.0']);
  assert.deepEqual(at('any', 'dual'), ['0.0.0.0', '::']);
  assert.deepEqual(at('any', 'six'), ['::']);
  assert.deepEqual(at('127.0.0.1', 'web'), ['127.0.0.1']);
  assert.deepEqual(at('FD00:0::1', 'dual'), ['fd00::1']);
  for (const hostAddress of [
    '::1',
    'fe80::1',
    '224.0.0.1',
    '0.0.0.1',
    'ff02::1',
    '::ffff:10.0.0.1',
    'localhost',
    '10.1',
  ])
    asked([dual], 'dual', { hostPort: 80, port: 80, hostAddress }).refuses('PORT_ADDRESS_INVALID', {
      id: 'tcp/80',
      detail: hostAddress,
    });
  asked([web], 'web', { hostPort: 80, port: 80, hostAddress: '::' }).refuses('PORT_ADDRESS_INVALID', { detail: '::' });
  asked([six], 'six', { port: 80, hostAddress: '0.0.0.0' }).refuses('PORT_ADDRESS_INVALID', { detail: '0.0.0.0' });
});

test('what has no way in publishes nothing, and says why', () => {
  const ports = [{ hostPort: 80, port: 80 }];
  const facts = { capabilities: { ...hostFacts('h1').capabilities, macvlan: true } };
  const why = <T extends 'CreateEndpoint' | 'AttachSandbox'>(step: Step, type: T, data: CommandInput<T>): string => {
    const { world, when } = givenIn({ facts }, step);
    when(type, data).refuses('DRIVER_FORBIDS', { id: 'tcp/80' });
    const decision = world.decide(type, data);
    return decision.ok ? '' : decision.detail;
  };
  for (const [made, said] of [
    [{ internal: true }, /^ports of network n cannot be published: .* the network is internal$/],
    [{ driver: 'host' }, /network n of driver host publishes none: the driver makes no links$/],
    [{ driver: 'null' }, /the driver makes no links$/],
    [{ driver: 'macvlan' }, /of driver macvlan publishes none: .* at their own addresses/],
  ] as const)
    assert.match(why(network('n', made), 'CreateEndpoint', { network: 'n', name: 'a', ports }), said);
  assert.equal(
    why(network('n', { internal: true }), 'AttachSandbox', { sandbox: 's1', ports, networks: [{ network: 'n' }] }),
    'ports of sandbox s1 cannot be published: nothing carries a default route',
  );
});

test('through a gateway in mode routed only ports on every address open: others are refused, whoever asks', () => {
  const routed = network('r', { ipv6: true, options: { 'com.docker.network.bridge.gateway_mode_ipv4': 'routed' } });
  const ports = (hostAddress: string) => ({ ports: [{ hostPort: 80, port: 80, hostAddress }] });
  const attach = (hostAddress: string) => ({ sandbox: 's1', ...ports(hostAddress), networks: [{ network: 'r' }] });
  const culprit = (detail: string) => ({ kind: 'port', id: 'tcp/80', detail });
  for (const one of ['127.0.0.1', '10.9.0.1']) {
    given(routed).when('AttachSandbox', attach(one)).refuses('DRIVER_FORBIDS', culprit(one));
    asked([routed], 'r', ...ports(one).ports).refuses('DRIVER_FORBIDS', culprit(one));
  }
  for (const one of ['0.0.0.0', 'any', 'fd00::1'])
    given(routed).when('AttachSandbox', attach(one)).records(created, join);
});

// ---------------------------------------------------------------- who holds what

const any = (hostPort: number, more: Partial<Port> = {}): Port => ({ hostPort, port: 80, ...more });

test('a host port is held once: wildcards overlap their family, ranges where they meet', () => {
  const second = (held: Port, ...wanted: readonly Port[]) =>
    given(dual, network('db', { ipv6: true }), endpoint('dual', 'a', { ports: [held] })).when('CreateEndpoint', {
      network: 'db',
      name: 'b',
      ports: [...wanted],
    });
  const on = (hostAddress: string, hostPort = 80): Port => any(hostPort, { hostAddress });
  const holder = { kind: 'endpoint', name: 'a' };
  second(on('any'), on('10.9.0.1')).refuses('PORT_IN_USE', holder);
  second(on('0.0.0.0'), on('127.0.0.1')).refuses('PORT_IN_USE', holder);
  second(on('10.9.0.1'), on('0.0.0.0')).refuses('PORT_IN_USE', holder);
  second(on('10.9.0.1'), on('10.9.0.1')).refuses('PORT_IN_USE', { kind: 'port', id: 'tcp/80' });
  second(on('::'), on('fd00::9')).refuses('PORT_IN_USE', holder);
  second(on('0.0.0.0'), on('::')).records(created);
  second(on('10.9.0.1'), on('10.9.0.2')).records(created);
  second(on('0.0.0.0'), any(80, { protocol: 'udp' })).records(created);
  second(any(80, { portEnd: 89 }), any(89)).refuses('PORT_IN_USE', { kind: 'port', id: 'tcp/89' });
  second(any(85), any(80, { portEnd: 89 })).refuses('PORT_IN_USE', { kind: 'port', id: 'tcp/85' });
  second(any(80, { portEnd: 89 }), any(90)).records(created);
  second(on('10.9.0.1'), on('10.9.0.2'), on('10.9.0.2')).refuses('PORT_IN_USE', { kind: 'port', id: 'tcp/80' });
  second(on('10.9.0.1'), any(0x50, { hostAddress: '10.9.0.2' }), any(81)).records(created);
});

test('the endpoints and the sandbox of one command share the ports of a host too', () => {
  const attach = (hostAddress: string, ...own: readonly Port[]) => ({
    sandbox: 's1',
    ports: [...own],
    networks: [
      { network: 'web', ports: [any(80, { hostAddress: '10.9.0.1' })] },
      { network: 'db', ports: [any(80, { hostAddress })] },
    ],
  });
  const both = given(web, network('db'));
  both.when('AttachSandbox', attach('0.0.0.0')).refuses('PORT_IN_USE', { kind: 'port', id: 'tcp/80' });
  both.when('AttachSandbox', attach('10.9.0.2', any(80, { hostAddress: '10.9.0.2' }))).refuses('PORT_IN_USE');
  both.when('AttachSandbox', attach('10.9.0.2', any(81))).records(created, join, created, join);
});

test('a port is free again with the outcome of the deletion', () => {
  const ports = [any(80)];
  const steps = [web, endpoint('web', 'a', { ports }), did('DeleteEndpoint', { network: 'web', endpoint: 'a' })];
  given(...steps)
    .when('CreateEndpoint', { network: 'web', name: 'b', ports })
    .refuses('PORT_IN_USE', { name: 'a' });
  given(...steps, reported)
    .when('CreateEndpoint', { network: 'web', name: 'b', ports })
    .records(created);
});

test('ports of a sandbox are its own until it is gone, whichever network they go through', () => {
  const attached = did('AttachSandbox', { sandbox: 's1', ports: [any(80)], networks: [{ network: 'web' }] });
  const { world } = given(web, attached);
  const [row] = world.state.sandboxes.values();
  assert.deepEqual(row?.facts.ports, [
    { ...any(80), protocol: 'tcp', hostAddresses: ['127.0.0.1'], choice: null, count: 1 },
  ]);
  assert.equal(world.endpoint('s1').facts.ports.length, 0);
  const again = (...steps: readonly Step[]) =>
    given(web, attached, ...steps).when('CreateEndpoint', { network: 'web', name: 'b', ports: [any(80)] });
  const detached = did('DetachSandbox', { sandbox: 's1' });
  again().refuses('PORT_IN_USE', { kind: 'sandbox', id: 's1' });
  again(reported, detached).refuses('PORT_IN_USE', { kind: 'sandbox', id: 's1' });
  again(reported, detached, reported).records(created);
});

test('a sandbox that is there keeps the ports that it has', () => {
  const attached = did('AttachSandbox', { sandbox: 's1', ports: [{ port: 80 }], networks: [{ network: 'web' }] });
  const more = (ports: readonly Port[]) => ({ sandbox: 's1', ports: [...ports], networks: [{ network: 'db' }] });
  const { when } = given(web, network('db'), attached);
  when('AttachSandbox', more([any(80)])).refuses('SANDBOX_CONFLICT', { kind: 'sandbox', id: 's1' });
  given(web, network('db'), attached)
    .when('AttachSandbox', more([{ port: 80 }]))
    .records(created, join);
  given(web, network('db'), attached).when('AttachSandbox', more([])).records(created, join);
});

test('without addresses of its own a sandbox follows the bindings of the networks that carry its default routes', () => {
  const option = 'com.docker.network.bridge.host_binding_ipv';
  const four = network('four', { options: { [`${option}4`]: '10.9.9.4' } });
  const both = network('both', { ipv6: true, options: { [`${option}4`]: '10.9.9.5', [`${option}6`]: 'fd00::6' } });
  const networks = [{ network: 'four' }, { network: 'both' }];
  const { world } = given(four, both, did('AttachSandbox', { sandbox: 's1', ports: [any(80)], networks }));
  const [row] = world.state.sandboxes.values();
  assert.deepEqual(row?.facts.ports[0]?.hostAddresses, ['10.9.9.4', 'fd00::6']);
});

// ---------------------------------------------------------------- ports that the host finds

const worker = { actor: 'worker:h1' };
const attached = did('AttachSandbox', {
  sandbox: 's1',
  ports: [{ port: 53, protocol: 'udp' }],
  networks: [{ network: 'web', ports: [any(81), { hostPort: 90, hostPortEnd: 91, port: 80 }] }],
});

/** What the open intents of a world wait for, as a worker would ask for it. */
const openIn = (world: World) =>
  [...world.state.intents.values()].flatMap((intent) =>
    openLeases(world.state, intent).map((lease) => ({ intent: intent.meta.id, ...lease })),
  );
const request = (world: World, ...hostPorts: readonly number[]): CommandInput<'LeasePorts'> => {
  const open = openIn(world);
  const ports = hostPorts.flatMap((hostPort, at) => {
    const lease = open[at];
    return lease ? [{ holder: lease.holder, index: lease.index, hostPort }] : [];
  });
  return { intent: open[0]?.intent ?? 'none', ports };
};

test('what is found becomes a fact of the holder, and is held from then on', () => {
  const { world } = given(web, reported, attached);
  assert.deepEqual(
    openIn(world).map(({ index, port }) => [index, port.port, port.choice]),
    [
      [1, 80, { from: 90, to: 91 }],
      [0, 53, null],
    ],
  );
  const [row] = world.state.sandboxes.values();
  const key = row?.facts.incarnation ?? '';
  assert.deepEqual(
    sandboxLeases(world.state, key).map(({ hostPort }) => hostPort),
    [81],
  );
  world.run('LeasePorts', request(world, 91, 40_000), worker);
  assert.deepEqual(openIn(world), []);
  assert.deepEqual(
    sandboxLeases(world.state, key).map(({ protocol, hostPort }) => [protocol, hostPort]),
    [
      ['udp', 40_000],
      ['tcp', 81],
      ['tcp', 91],
    ],
  );
  for (const taken of [any(91), any(40_000, { protocol: 'udp' as const })]) {
    const decision = world.decide('CreateEndpoint', { network: 'web', name: 'b', ports: [taken] });
    assert.equal(decision.ok || decision.code, 'PORT_IN_USE');
  }
  world.succeed();
  assert.equal(world.endpoint('s1').status, 'joined');
  world.run('DetachSandbox', { sandbox: 's1' });
  world.succeed();
  assert.equal(world.state.ports.size, 0);
});

test('a found port that somebody holds by then is refused, and one more is looked for', () => {
  const { world } = given(web, endpoint('web', 'b', { ports: [any(90)] }), reported, attached);
  const decision = world.decide('LeasePorts', request(world, 90), worker);
  assert.ok(!decision.ok && decision.code === 'PORT_IN_USE');
  assert.partialDeepStrictEqual(decision.culprits, [{ name: 'b' }, { kind: 'port', id: 'tcp/90' }]);
  world.run('LeasePorts', request(world, 91), worker);
  assert.equal(world.endpoint('s1').facts.ports[1]?.hostPort, 91);
});

test('only the worker of the host leases, and only what is waited for', () => {
  const { world } = given(web, attached);
  const refused = (data: CommandInput<'LeasePorts'>, actor: string) => {
    const decision = world.decide('LeasePorts', data, { actor });
    assert.equal(decision.ok || decision.code, 'LEASE_INVALID');
  };
  const asked = request(world, 90, 40_000);
  refused(asked, 'alice');
  refused(asked, 'worker:h2');
  refused({ ...asked, intent: 'other.0' }, worker.actor);
  refused(request(world, 92), worker.actor);
  const [first] = asked.ports;
  assert.ok(first);
  refused({ ...asked, ports: [{ ...first, index: 0 }] }, worker.actor);
  refused({ ...asked, ports: [first, first] }, worker.actor);
  world.run('LeasePorts', asked, worker);
  refused(asked, worker.actor);
});

test('what nobody waits for any more is not leased', () => {
  const { world } = given(web, attached);
  const data = request(world, 90);
  world.fail('EndpointCreateRequested');
  const decision = world.decide('LeasePorts', data, worker);
  assert.equal(decision.ok || decision.code, 'LEASE_INVALID');
});

test('a lease that was decided while its endpoint failed changes nothing', () => {
  const { world } = given(web, attached);
  const decision = world.decide('LeasePorts', request(world, 90, 40_000), worker);
  assert.ok(decision.ok);
  world.fail('EndpointCreateRequested');
  for (const fact of decision.facts) world.record(fact, { type: 'LeasePorts', id: 'mhx3k2p1-late' });
  world.fail('EndpointJoinRequested');
  assert.equal(world.state.ports.size, 0);
});

test('the rules of the driver say what can be published', () => {
  const closed = new Map([['bridge', { ...bridgeDriver, canPublish: () => false }]]);
  givenIn({ drivers: closed }, web)
    .when('CreateEndpoint', { network: 'web', name: 'a', ports: [any(80)] })
    .refuses('DRIVER_FORBIDS', { id: 'tcp/80' });
});
