// Specifications of networks that somebody else carries out, and of SettleIntent.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CommandInput } from '../../events/commands.ts';
import { did, type Given, given, givenIn, network, reported, type Step } from '../support/specification.ts';

const facts = { drivers: ['weave'] };
const withPlugin = (...steps: readonly Step[]): Given => givenIn({ facts }, ...steps);
const lan = network('lan', { driver: 'weave', options: { 'my.opt': '1' } });

test('CreateNetwork: a driver that the worker states is taken, with options that nobody else knows', () => {
  withPlugin()
    .when('CreateNetwork', { name: 'lan', driver: 'weave', options: { 'my.opt': '1' } })
    .records({
      type: 'NetworkCreateRequested',
      data: {
        network: {
          driver: 'weave',
          scope: 'host',
          defaultRoute: 'endpoint',
          options: { 'my.opt': '1' },
          subnets: [{ subnet: '10.200.0.0/24', gateway: '10.200.0.1' }],
          mtu: null,
        },
      },
    });
  given()
    .when('CreateNetwork', { name: 'lan', driver: 'weave' })
    .refuses('DRIVER_NOT_FOUND', { kind: 'driver', id: 'weave' });
});

test('AttachSandbox: what its driver decides is left open, and its networks live on when nobody states it any more', () => {
  const { world, when } = withPlugin(lan, network('web'), reported);
  world.report({ type: 'HostFacts', data: { ...world.state.facts.get('host'), drivers: [] } as never }, null);
  when('AttachSandbox', {
    sandbox: 's1',
    networks: [{ network: 'lan', interface: 'lan0', options: { 'k.v': 'x' } }, { network: 'web' }],
  }).records(
    { type: 'EndpointCreateRequested', data: { endpoint: { ipv4: '10.200.0.2/24', mac: null, wanted: null } } },
    { type: 'EndpointJoinRequested', data: { interface: null, mac: null, gateways: { ipv4: null, ipv6: null } } },
    { type: 'EndpointCreateRequested' },
    { type: 'EndpointJoinRequested', data: { interface: 'eth0' } },
  );
});

test('AttachSandbox: a name that an open join may get is nobody else’s', () => {
  const attach = (...interfaces: readonly string[]): CommandInput<'AttachSandbox'> => ({
    sandbox: 's1',
    networks: ['lan', 'web'].map((name, at) => ({ network: name, interface: interfaces[at] ?? 'eth9' })),
  });
  withPlugin(lan, network('web'), reported)
    .when('AttachSandbox', attach('lan0', 'lan0'))
    .refuses('INTERFACE_IN_USE', { kind: 'endpoint', detail: 'lan0' });
});

test('what its carrier reports of an interface is that of the membership', () => {
  const { world } = withPlugin(lan, did('AttachSandbox', { sandbox: 's1', networks: [{ network: 'lan' }] }));
  for (const intent of [...world.state.intents.values()]) {
    if (intent.type !== 'EndpointJoinRequested') {
      world.succeedOne(intent);
      continue;
    }
    const { endpointId, networkId, name, sandbox, ipv4, ipv6 } = intent.data;
    const data = { endpointId, networkId, name, key: sandbox.key, ipv4, ipv6, mac: '02:00:00:00:00:07', routes: [] };
    world.report(
      { type: 'EndpointJoined', data: { ...data, sandbox, interface: 'fab0', ports: [], peer: null } },
      intent,
    );
  }
  assert.equal(world.endpoint('s1').sandbox?.interface, 'fab0');
});

test('SettleIntent: only the worker of the host settles, and only what is open and in time', () => {
  const settle = { intent: 'commit2.0', answer: { kind: 'network' as const, subnets: [] } };
  withPlugin(lan).when('SettleIntent', settle).refuses('SETTLE_INVALID', { kind: 'actor', id: 'alice' });
});
