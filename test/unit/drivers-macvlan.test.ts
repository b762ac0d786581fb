/** The driver macvlan: what it makes, which parents it takes, what it refuses. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { NetworkFacts } from '../../events/events.ts';
import { network as both, driver, endpoint, host, join, tag } from '../support/driver-facts.ts';
import { hostFacts } from '../support/world.ts';

const macvlan = driver('macvlan');

const facts = (change: Partial<ReturnType<typeof hostFacts>> = {}) => ({
  ...hostFacts('h1'),
  capabilities: { netAdmin: true, netns: true, veth: true, macvlan: true, vlan: true },
  vlans: ['bond0.7'],
  ...change,
});

/** A network as the decider records it. */
const network = (options: Record<string, string>, change: Partial<NetworkFacts> = {}): NetworkFacts => {
  const bare = { ...both, driver: 'macvlan', options, mtu: macvlan.mtu(options, {}, facts(), []), ...change };
  const parent = macvlan.parentOf(bare, facts());
  assert.ok(parent === null || 'make' in parent, JSON.stringify(parent));
  return { ...bare, parent, defaultRoute: macvlan.defaultRoute(options), ...change };
};

const refusalOf = (options: Record<string, string>, others: readonly NetworkFacts[] = []) => {
  const refusal = macvlan.checkNetwork(network(options), others);
  return refusal && [refusal.code, refusal.culprits.map(({ id }) => id)];
};

describe('driver macvlan', () => {
  it('makes an interface on the parent, with MAC, addresses, settings and routes of the endpoint', () => {
    const made = network({ parent: 'eth0', macvlan_mode: 'private', 'com.docker.network.driver.mtu': '1400' });
    const routed = {
      ...endpoint,
      linkLocal: ['169.254.7.7/16'],
      sysctls: { 'net.ipv4.conf.IFNAME.arp_notify': '1' },
      routes: [{ destination: '10.9.0.0/16', gateway: null }],
    };
    const own = tag('endpoint', endpoint.id);
    const place = { netns: '/run/cnm/netns/s1', tag: own } as const;
    assert.deepEqual(macvlan.join(host, { ...join, network: made, endpoint: routed }).ensure, [
      {
        kind: 'device',
        ...place,
        name: 'eth3',
        source: { type: 'macvlan', parent: 'eth0', mode: 'private' },
        mac: '02:42:0a:01:00:02',
        mtu: 1400,
        addresses: ['10.1.0.2/24', '169.254.7.7/16', 'fd00:1::2/64'],
        birth: { sysctls: routed.sysctls, link: '' },
      },
      { kind: 'route', ...place, destination: '10.9.0.0/16', gateway: '', device: 'eth3' },
    ]);
    assert.deepEqual(macvlan.join(host, { ...join, network: made, interface: null }).ensure, []);
  });

  it('is in mode bridge and has the MTU of its parent where nothing else is asked for', () => {
    const [device] = macvlan.join(host, { ...join, network: network({ parent: 'eth0' }) }).ensure;
    assert.ok(device?.kind === 'device');
    assert.deepEqual([device.source, device.mtu], [{ type: 'macvlan', parent: 'eth0', mode: 'bridge' }, null]);
  });

  it('stands on an interface, on a VLAN that it makes, or on a stub', () => {
    const own = tag('network', both.id);
    for (const [options, parent, needs, ensure] of [
      [{ parent: 'eth0' }, { link: 'eth0', make: 'nothing' }, ['eth0'], []],
      // There already.
      [{ parent: 'bond0.7' }, { link: 'bond0.7', make: 'nothing' }, ['bond0.7'], []],
      [
        { parent: 'eth0.4094' },
        { link: 'eth0.4094', make: 'vlan' },
        ['eth0'],
        [{ kind: 'vlan', name: 'eth0.4094', parent: 'eth0', id: 4094, tag: own }],
      ],
      [
        { parent: 'a.b.12' },
        { link: 'a.b.12', make: 'vlan' },
        ['a.b'],
        [{ kind: 'vlan', name: 'a.b.12', parent: 'a.b', id: 12, tag: own }],
      ],
      [{}, { link: `cp${both.id}`, make: 'stub' }, [], [{ kind: 'stub', name: `cp${both.id}`, mtu: 1500, tag: own }]],
      [
        { 'com.docker.network.driver.mtu': '9000' },
        { link: `cp${both.id}`, make: 'stub' },
        [],
        [{ kind: 'stub', name: `cp${both.id}`, mtu: 9000, tag: own }],
      ],
    ] as const) {
      const made = network(options);
      assert.deepEqual(made.parent, parent);
      assert.deepEqual(macvlan.createNetwork(host, made), { ensure, remove: [], needs });
      assert.deepEqual(macvlan.deleteNetwork(host, made), { ensure: [], remove: ensure });
    }
  });

  it('refuses parents that cannot be', () => {
    for (const [link, code] of [
      ['eth0.0', 'OPTION_INVALID'],
      ['eth0.4095', 'OPTION_INVALID'],
      ['eth0.050', 'OPTION_INVALID'],
      ['.5', null],
    ] as const) {
      const parent = macvlan.parentOf({ id: both.id, internal: false, options: { parent: link } }, facts());
      assert.equal(parent && 'code' in parent ? parent.code : null, code, link);
    }
    for (const link of ['lo', '', 'a/b', 'a b', 'a:b', '..', 'sixteen-letters-', 'cb0a1b2c3d4e5f', 'cx0a1b2c3d4e5f']) {
      assert.deepEqual(refusalOf({ parent: link }), ['OPTION_INVALID', ['parent']], link);
    }
  });

  it('needs 802.1q only for VLANs that are not there', () => {
    const { vlan: _, ...capabilities } = facts().capabilities;
    const on = (link: string) =>
      macvlan.parentOf({ id: both.id, internal: false, options: { parent: link } }, facts({ capabilities }));
    const refusal = on('eth0.50');
    assert.ok(refusal && 'code' in refusal);
    assert.equal(refusal.code, 'CAPABILITY_MISSING');
    assert.deepEqual(refusal.culprits[0], { kind: 'capability', id: 'vlan' });
    for (const link of ['eth0', 'bond0.7']) assert.deepEqual(on(link), { link, make: 'nothing' });
    assert.deepEqual(macvlan.needs({ parent: 'eth0' }), ['netAdmin', 'netns', 'macvlan']);
    assert.deepEqual(macvlan.needs({}), ['netAdmin', 'netns', 'macvlan', 'veth']);
  });

  it('refuses options, modes and MTUs that it does not know', () => {
    assert.deepEqual(refusalOf({ macvlan_mode: 'source' }), ['OPTION_INVALID', ['macvlan_mode']]);
    assert.deepEqual(refusalOf({ ipvlan_mode: 'l2' }), ['OPTION_UNSUPPORTED', ['ipvlan_mode']]);
    const mtu = 'com.docker.network.driver.mtu';
    assert.deepEqual(refusalOf({ [mtu]: '67' }), ['OPTION_INVALID', [mtu]]);
    assert.deepEqual(refusalOf({ [mtu]: '1279' }), ['OPTION_INVALID', [mtu]]);
    assert.equal(macvlan.checkNetwork(network({ [mtu]: '1279' }, { ipv6: false }), []), null);
    assert.equal(macvlan.checkConfigure({ parent: 'eth0' })?.code, 'OPTION_UNSUPPORTED');
  });

  it('shares a parent with networks of its kind, but not in mode passthru', () => {
    const other = (options: Record<string, string>, change: Partial<NetworkFacts> = {}) =>
      network(options, { id: 'other0000001', name: 'other', ...change });
    const passthru = { parent: 'eth0', macvlan_mode: 'passthru' };
    const onEth0 = other({ parent: 'eth0', macvlan_mode: 'vepa' });
    assert.equal(refusalOf({ parent: 'eth0' }, [onEth0]), null);
    assert.equal(refusalOf({ parent: 'eth1', macvlan_mode: 'passthru' }, [onEth0]), null);
    assert.equal(refusalOf({ parent: 'eth0.5' }, [onEth0]), null);
    assert.equal(refusalOf({}, [other({})]), null);
    for (const [mine, theirs] of [
      [passthru, onEth0],
      [{ parent: 'eth0' }, other(passthru)],
      [{ parent: 'eth0' }, other({ parent: 'eth0' }, { driver: 'ipvlan' })],
    ] as const) {
      assert.deepEqual(refusalOf(mine, [theirs]), ['DRIVER_FORBIDS', ['other0000001', 'parent']]);
    }
    // A bridge of ours goes with its network, and whatever stood on it.
    const bridge = { driver: 'bridge', parent: null, options: { 'com.docker.network.bridge.name': 'br7' } } as const;
    for (const parent of ['br7', 'br7.50'])
      assert.deepEqual(refusalOf({ parent }, [other({}, bridge)]), ['DRIVER_FORBIDS', ['other0000001', 'parent']]);
    assert.equal(refusalOf({ parent: 'br70' }, [other({}, bridge)]), null);
    // A parent's name is of no matter to other drivers.
    assert.equal(refusalOf({ parent: 'eth0' }, [other(passthru, { driver: 'bridge' })]), null);
  });

  it('carries a default route over a gateway that was given, where it has a parent', () => {
    assert.deepEqual([macvlan.defaultRoute({ parent: 'eth0' }), macvlan.defaultRoute({})], ['gateway', 'none']);
    assert.equal(macvlan.needsGateway({}), false);
    assert.equal(macvlan.hasMac, true);
  });

  it('publishes nothing, and takes routes that lead somewhere', () => {
    const on = network({ parent: 'eth0' });
    for (const family of [4, 6] as const) assert.equal(macvlan.canPublish(on, family), false);
    assert.deepEqual(macvlan.defaultBindings(on, {}), []);
    assert.equal(macvlan.checkEndpoint(endpoint, on), null);
    assert.equal(macvlan.checkEndpoint({ ...endpoint, options: { x: '1' } }, on)?.code, 'OPTION_UNSUPPORTED');
    const routes = [{ destination: '10.9.0.0/16', gateway: '192.0.2.1' }];
    assert.equal(macvlan.checkEndpoint({ ...endpoint, routes }, on)?.code, 'ROUTE_INVALID');
  });
});
