/** The driver ipvlan, where it is not as macvlan: one MAC for all, modes of the parent, routes without a gateway. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { NetworkFacts } from '../../events/events.ts';
import { canCarry } from '../../events/gateways.ts';
import { network as both, driver, endpoint, host, join, tag } from '../support/driver-facts.ts';
import { hostFacts } from '../support/world.ts';

const ipvlan = driver('ipvlan');

const network = (options: Record<string, string>, change: Partial<NetworkFacts> = {}): NetworkFacts => {
  const bare = { ...both, driver: 'ipvlan', options, mtu: ipvlan.mtu(options, {}, hostFacts('h1'), []) };
  const parent = ipvlan.parentOf(bare, hostFacts('h1'));
  assert.ok(parent === null || 'make' in parent);
  return { ...bare, parent, defaultRoute: ipvlan.defaultRoute(options), ...change };
};

describe('driver ipvlan', () => {
  it('makes an interface on the parent, whose MAC it has', () => {
    for (const [options, mode, flag] of [
      [{}, 'l2', 'bridge'],
      [{ ipvlan_mode: 'l3', ipvlan_flag: 'private' }, 'l3', 'private'],
      [{ ipvlan_mode: 'l3s', ipvlan_flag: 'vepa' }, 'l3s', 'vepa'],
    ] as const) {
      const made = network({ parent: 'eth0', ...options });
      assert.deepEqual(ipvlan.join(host, { ...join, network: made, endpoint: { ...endpoint, mac: null } }).ensure, [
        {
          kind: 'device',
          netns: '/run/cnm/netns/s1',
          name: 'eth3',
          source: { type: 'ipvlan', parent: 'eth0', mode, flag },
          mac: null,
          mtu: null,
          addresses: ['10.1.0.2/24', 'fd00:1::2/64'],
          birth: { sysctls: {}, link: '' },
          tag: tag('endpoint', endpoint.id),
        },
      ]);
    }
  });

  it('has no MAC of its own, and needs what it is made of', () => {
    assert.equal(ipvlan.hasMac, false);
    assert.deepEqual(ipvlan.needs({ parent: 'eth0' }), ['netAdmin', 'netns', 'ipvlan']);
    assert.deepEqual(ipvlan.needs({}), ['netAdmin', 'netns', 'ipvlan', 'veth']);
  });

  it('carries a default route over the link itself on layer 3, and over a gateway that was given on layer 2', () => {
    const bare = both.subnets.map((subnet) => ({ ...subnet, gateway: null }));
    for (const [options, route, withGateway, without] of [
      [{ parent: 'eth0' }, 'gateway', true, false],
      [{ parent: 'eth0', ipvlan_mode: 'l3' }, 'link', true, true],
      [{ parent: 'eth0', ipvlan_mode: 'l3s' }, 'link', true, true],
      [{ ipvlan_mode: 'l3' }, 'none', false, false],
      [{}, 'none', false, false],
    ] as const) {
      const made = network(options);
      assert.equal(made.defaultRoute, route);
      assert.deepEqual([canCarry(made, 4), canCarry({ ...made, subnets: bare }, 6)], [withGateway, without]);
      assert.equal(canCarry({ ...made, internal: true }, 4), false);
    }
  });

  it('shares a parent with networks of the same mode and flag, and with none of driver macvlan', () => {
    const l3 = { parent: 'eth0', ipvlan_mode: 'l3' };
    const other = (options: Record<string, string>, name = 'ipvlan'): NetworkFacts =>
      network(options, { id: 'other0000001', name: 'other', driver: name });
    const codeOf = (options: Record<string, string>, theirs: NetworkFacts) =>
      ipvlan.checkNetwork(network(options), [theirs])?.code ?? null;
    assert.equal(codeOf(l3, other(l3)), null);
    assert.equal(codeOf(l3, other({ ...l3, parent: 'eth1', ipvlan_mode: 'l2' })), null);
    assert.equal(codeOf({ parent: 'eth0' }, other({ parent: 'eth0', ipvlan_mode: 'l2', ipvlan_flag: 'bridge' })), null);
    for (const theirs of [{ parent: 'eth0' }, { ...l3, ipvlan_flag: 'vepa' }, { ...l3, ipvlan_mode: 'l3s' }]) {
      assert.equal(codeOf(l3, other(theirs)), 'DRIVER_FORBIDS');
    }
    assert.equal(codeOf(l3, other({ parent: 'eth0' }, 'macvlan')), 'DRIVER_FORBIDS');
  });

  it('refuses modes, flags and options that it does not know', () => {
    for (const [options, code] of [
      [{ ipvlan_mode: 'l4' }, 'OPTION_INVALID'],
      [{ ipvlan_flag: 'none' }, 'OPTION_INVALID'],
      [{ parent: 'lo' }, 'OPTION_INVALID'],
      [{ macvlan_mode: 'bridge' }, 'OPTION_UNSUPPORTED'],
    ] as const) {
      assert.equal(ipvlan.checkNetwork(network(options), [])?.code, code);
    }
    assert.equal(ipvlan.checkEndpoint({ ...endpoint, options: { x: '1' } }, network({}))?.code, 'OPTION_UNSUPPORTED');
    assert.equal(ipvlan.checkConfigure({ x: '1' })?.code, 'OPTION_UNSUPPORTED');
  });
});
