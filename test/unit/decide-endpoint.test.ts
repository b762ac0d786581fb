// Specifications of endpoints: CreateEndpoint and DeleteEndpoint, addresses and MACs included.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CommandInput } from '../../events/commands.ts';
import { did, endpoint, failed, given, joined, later, left, network, reported } from '../support/specification.ts';
import { hostFacts, World } from '../support/world.ts';

const web = network('web', { ipam: { subnets: [{ subnet: '10.1.0.0/29' }] } });
const at = (name: string, ipv4?: string, mac?: string): CommandInput<'CreateEndpoint'> => ({
  network: 'web',
  name,
  interfaces: [{ ...(ipv4 === undefined ? {} : { ipv4 }), ...(mac === undefined ? {} : { mac }) }],
});

test('CreateEndpoint: addresses and MAC are chosen', () => {
  given(network('web', { ipv6: true }))
    .when('CreateEndpoint', { network: 'web', name: 'a' })
    .records({
      type: 'EndpointCreateRequested',
      data: {
        endpoint: {
          name: 'a',
          ipv4: '10.200.0.2/24',
          ipv6: 'fd12:3456:789a::2/64',
          mac: '02:42:0a:c8:00:02',
          static: false,
          origin: 'endpoint',
          gc: null,
        },
      },
    });
  given(network('web', { ipv4: false, ipv6: true }))
    .when('CreateEndpoint', { network: 'web', name: 'a' })
    .records({ type: 'EndpointCreateRequested', data: { endpoint: { ipv4: null, ipv6: 'fd12:3456:789a::2/64' } } });
});

test('CreateEndpoint: what is given is honoured or refused, never replaced', () => {
  given(web)
    .when('CreateEndpoint', {
      ...at('a', '10.1.0.5', '02-00-00-00-00-0A'),
      gc: 1_000,
      aliases: ['db'],
      labels: { a: 'b' },
    })
    .records({
      type: 'EndpointCreateRequested',
      data: {
        endpoint: {
          ipv4: '10.1.0.5/29',
          mac: '02:00:00:00:00:0a',
          static: true,
          gc: 1_000,
          aliases: ['db'],
          labels: { a: 'b' },
        },
      },
    });
  const steps = [web, did('CreateEndpoint', at('a', '10.1.0.5', '02:00:00:00:00:0a'))];
  given(...steps)
    .when('CreateEndpoint', at('b', '10.1.0.5'))
    .refuses('ADDRESS_IN_USE', { kind: 'endpoint', name: 'a' });
  given(...steps)
    .when('CreateEndpoint', at('b', '10.1.0.1'))
    .refuses('ADDRESS_IN_USE', { kind: 'gateway' });
  given(...steps)
    .when('CreateEndpoint', at('b', '10.1.0.9'))
    .refuses('ADDRESS_OUTSIDE_SUBNET', { kind: 'subnet' });
  given(...steps)
    .when('CreateEndpoint', at('b', '10.1.0.7'))
    .refuses('ADDRESS_RESERVED', { id: '10.1.0.0/29' });
  given(...steps)
    .when('CreateEndpoint', at('b', 'fd00::1'))
    .refuses('ADDRESS_INVALID', { id: 'fd00::1' });
  given(...steps)
    .when('CreateEndpoint', at('b', '10.1.0'))
    .refuses('ADDRESS_INVALID', { kind: 'address', id: '10.1.0' });
  given(...steps)
    .when('CreateEndpoint', { network: 'web', name: 'b', interfaces: [{ ipv6: 'fd00::1' }] })
    .refuses('ADDRESS_INVALID', { kind: 'address', id: 'fd00::1' });
});

test('CreateEndpoint: MAC addresses are unicast and unique in the network', () => {
  const steps = [web, did('CreateEndpoint', at('a', undefined, '02:00:00:00:00:0a'))];
  given(...steps)
    .when('CreateEndpoint', at('b', undefined, '0200.0000.000A'))
    .refuses('MAC_IN_USE', { kind: 'endpoint', name: 'a' });
  for (const mac of ['01:00:5e:00:00:01', '00:00:00:00:00:00', 'ff:ff:ff:ff:ff:ff', '02:00', 'zz:00:00:00:00:00'])
    given(...steps)
      .when('CreateEndpoint', at('b', undefined, mac))
      .refuses('MAC_INVALID', { kind: 'mac', id: mac });
  given(...steps, network('db'))
    .when('CreateEndpoint', { network: 'db', name: 'b', interfaces: [{ mac: '02:00:00:00:00:0a' }] })
    .records({ type: 'EndpointCreateRequested', data: { endpoint: { mac: '02:00:00:00:00:0a' } } });
});

test('CreateEndpoint: a MAC that somebody asked for before steps aside for nobody', () => {
  given(web, did('CreateEndpoint', at('a', '10.1.0.6', '02:42:0a:01:00:02')))
    .when('CreateEndpoint', { network: 'web', name: 'b' })
    .records({
      type: 'EndpointCreateRequested',
      data: { endpoint: { ipv4: '10.1.0.2/29', mac: '02:44:0a:01:00:00' } },
    });
});

test('CreateEndpoint: names compare without case, are free at the delete intent, and unique per network only', () => {
  given(web, endpoint('web', 'a'))
    .when('CreateEndpoint', { network: 'WEB', name: 'A' })
    .refuses('ENDPOINT_EXISTS', { kind: 'endpoint', name: 'a', detail: 'creating' });
  given(web, endpoint('web', 'a'), did('DeleteEndpoint', { network: 'web', endpoint: 'A' }))
    .when('CreateEndpoint', { network: 'web', name: 'a' })
    .records({ type: 'EndpointCreateRequested', data: { endpoint: { ipv4: '10.1.0.3/29' } } });
  given(web, endpoint('web', 'a'), network('db'))
    .when('CreateEndpoint', { network: 'db', name: 'a' })
    .records({ type: 'EndpointCreateRequested' });
});

test('CreateEndpoint: networks that are not there or on their way out', () => {
  given().when('CreateEndpoint', at('a')).refuses('NETWORK_NOT_FOUND', { kind: 'network', id: 'web' });
  const { world } = given(web, reported, did('DeleteNetwork', { network: 'web' }));
  const decision = world.decide('CreateEndpoint', { ...at('a'), network: world.network('web').facts.id });
  assert.ok(!decision.ok && decision.code === 'NETWORK_DELETING' && decision.culprits[0]?.name === 'web');
});

test('CreateEndpoint: an address is held until the outcome, rests, and is given again when nothing else is left', () => {
  const gone = did('DeleteEndpoint', { network: 'web', endpoint: 'a' });
  const others = ['b', 'c', 'd', 'e'].map((name) => endpoint('web', name));
  const full = [web, endpoint('web', 'a'), ...others];
  given(...full)
    .when('CreateEndpoint', at('z'))
    .refuses('ADDRESS_POOL_EXHAUSTED', { kind: 'subnet', id: '10.1.0.0/29' });
  given(...full, gone)
    .when('CreateEndpoint', at('z'))
    .refuses('ADDRESS_POOL_EXHAUSTED');
  given(...full, gone)
    .when('CreateEndpoint', at('z', '10.1.0.2'))
    .refuses('ADDRESS_IN_USE', { name: 'a' });
  given(...full, gone, reported)
    .when('CreateEndpoint', at('z'))
    .records({ type: 'EndpointCreateRequested', data: { endpoint: { ipv4: '10.1.0.2/29' } } });
  given(web, endpoint('web', 'a'), gone, reported, later(10))
    .when('CreateEndpoint', at('z'))
    .records({ type: 'EndpointCreateRequested', data: { endpoint: { ipv4: '10.1.0.3/29' } } });
  given(web, endpoint('web', 'a'), failed('EndpointCreateRequested'))
    .when('CreateEndpoint', at('z', '10.1.0.2'))
    .records({ type: 'EndpointCreateRequested' });
});

test('CreateEndpoint: a failed join, or a leave, keeps the address', () => {
  const join = joined('web', 'a', 's1');
  for (const steps of [
    [join, failed('EndpointJoinRequested')],
    [join, reported, left('web', 'a'), reported],
  ])
    given(web, endpoint('web', 'a'), ...steps)
      .when('CreateEndpoint', at('b', '10.1.0.2'))
      .refuses('ADDRESS_IN_USE', { name: 'a' });
});

test('CreateEndpoint: a failed deletion keeps everything but the name', () => {
  const steps = [web, endpoint('web', 'a'), reported, did('DeleteEndpoint', { network: 'web', endpoint: 'a' })];
  const stuck = [...steps, failed('EndpointDeleteRequested')];
  given(...stuck)
    .when('CreateEndpoint', at('b', '10.1.0.2'))
    .refuses('ADDRESS_IN_USE', { name: 'a' });
  given(...stuck)
    .when('CreateEndpoint', at('a'))
    .records({ type: 'EndpointCreateRequested', data: { endpoint: { ipv4: '10.1.0.3/29' } } });
});

test('CreateEndpoint: an interface that is allocated already is recorded as it is, or refused', () => {
  const allocated = { ipv4: '10.1.0.4', mac: '02:42:0a:01:00:04', allocated: true };
  given(web)
    .when('CreateEndpoint', { network: 'web', name: 'a', interfaces: [allocated] })
    .records({
      type: 'EndpointCreateRequested',
      data: { endpoint: { ipv4: '10.1.0.4/29', mac: '02:42:0a:01:00:04' } },
    });
  given(web)
    .when('CreateEndpoint', { network: 'web', name: 'a', interfaces: [{ allocated: true }] })
    .refuses('ADDRESS_INVALID', { kind: 'network', name: 'web' });
  given(network('web', { ipv6: true }))
    .when('CreateEndpoint', { network: 'web', name: 'a', interfaces: [{ ipv4: '10.200.0.4', allocated: true }] })
    .refuses('ADDRESS_INVALID', { kind: 'network', name: 'web' });
  given(web, did('CreateEndpoint', at('b', '10.1.0.4')))
    .when('CreateEndpoint', { network: 'web', name: 'a', interfaces: [allocated] })
    .refuses('ADDRESS_IN_USE', { name: 'b' });
});

test('CreateEndpoint: options that no driver acts on are refused', () => {
  given(web)
    .when('CreateEndpoint', { ...at('a'), options: { x: 'y' } })
    .refuses('OPTION_UNSUPPORTED', { id: 'x' });
});

test('CreateEndpoint: drivers without addresses take none', () => {
  for (const driver of ['null', 'host']) {
    given(network('n', { driver }))
      .when('CreateEndpoint', { network: 'n', name: 'a' })
      .records({ type: 'EndpointCreateRequested', data: { endpoint: { ipv4: null, ipv6: null, mac: null } } });
    for (const one of [{ ipv4: '10.1.0.2' }, { ipv6: 'fd00::2' }, { mac: '02:00:00:00:00:01' }])
      given(network('n', { driver }))
        .when('CreateEndpoint', { network: 'n', name: 'a', interfaces: [one] })
        .refuses('DRIVER_FORBIDS', { kind: 'address', id: Object.values(one)[0] ?? '' });
  }
});

test('CreateEndpoint: a bridge is full at 1,023 endpoints', () => {
  const world = new World();
  world.run('CreateNetwork', { name: 'web', ipam: { subnets: [{ subnet: '10.1.0.0/20' }] } });
  for (let count = 0; count < 1_023; count++) world.run('CreateEndpoint', { network: 'web', name: `e${count}` });
  const refused = world.decide('CreateEndpoint', { network: 'web', name: 'more' });
  assert.ok(!refused.ok && refused.code === 'NETWORK_FULL');
  assert.partialDeepStrictEqual(refused.culprits, [{ kind: 'network', name: 'web', detail: '1023 endpoints' }]);
  const attach = world.decide('AttachSandbox', { sandbox: 's1', networks: [{ network: 'web' }] });
  assert.ok(!attach.ok && attach.code === 'NETWORK_FULL');
  world.run('DeleteEndpoint', { network: 'web', endpoint: 'e7' });
  assert.ok(!world.decide('CreateEndpoint', { network: 'web', name: 'more' }).ok, 'until it is gone');
  world.succeed();
  assert.ok(world.decide('CreateEndpoint', { network: 'web', name: 'more' }).ok);
});

test('CreateEndpoint: a capability that got lost refuses what needs it', () => {
  const { world } = given(web);
  world.report({ type: 'HostFacts', data: hostFacts('h1', { capabilities: {} }) }, null);
  const decision = world.decide('CreateEndpoint', at('a'));
  assert.ok(!decision.ok && decision.code === 'CAPABILITY_MISSING');
});

// ---------------------------------------------------------------- DeleteEndpoint

test('DeleteEndpoint: by name or id, with the cause', () => {
  const { world } = given(web, endpoint('web', 'a'));
  const { id } = world.endpoint('a').facts;
  for (const ref of ['a', 'A', id])
    given(web, endpoint('web', 'a'))
      .when('DeleteEndpoint', { network: 'h1/web', endpoint: ref })
      .records({
        type: 'EndpointDeleteRequested',
        data: { endpointId: id, name: 'a', cause: 'command', garbage: null },
      });
});

test('DeleteEndpoint: not while it is in a sandbox, and the sandbox is named', () => {
  const steps = [web, endpoint('web', 'a'), joined('web', 'a', 's1')];
  const ref = { network: 'web', endpoint: 'a' };
  given(...steps)
    .when('DeleteEndpoint', ref)
    .refuses('ENDPOINT_JOINED', { name: 'a', detail: 'joining, sandbox s1' });
  given(...steps, reported)
    .when('DeleteEndpoint', ref)
    .refuses('ENDPOINT_JOINED', { detail: 'joined, sandbox s1' });
  given(...steps, left('web', 'a'))
    .when('DeleteEndpoint', ref)
    .records({ type: 'EndpointDeleteRequested' });
});

test('DeleteEndpoint: what is not there, in this network', () => {
  const ref = { network: 'web', endpoint: 'a' };
  given().when('DeleteEndpoint', ref).refuses('NETWORK_NOT_FOUND', { id: 'web' });
  given(web).when('DeleteEndpoint', ref).refuses('ENDPOINT_NOT_FOUND', { kind: 'endpoint', id: 'a' });
  const { world } = given(web, network('db'), endpoint('db', 'a'));
  const id = world.endpoint('a').facts.id;
  given(web, network('db'), endpoint('db', 'a'))
    .when('DeleteEndpoint', { network: 'web', endpoint: id })
    .refuses('ENDPOINT_NOT_FOUND', { id });
});

test('DeleteEndpoint: twice, and again after it failed', () => {
  const steps = [web, endpoint('web', 'a'), reported];
  const { world } = given(...steps);
  const ref = { network: 'web', endpoint: world.endpoint('a').facts.id };
  given(...steps, did('DeleteEndpoint', ref))
    .when('DeleteEndpoint', ref)
    .refuses('ENDPOINT_DELETING', { name: 'a' });
  given(...steps, did('DeleteEndpoint', ref), failed('EndpointDeleteRequested'))
    .when('DeleteEndpoint', ref)
    .records({ type: 'EndpointDeleteRequested' });
});
