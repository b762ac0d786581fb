/** What plugins may answer, and what is wrong with what they may not. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { z } from 'zod';
import { problemsOf } from '../../services/plugins/checks.ts';
import { addressAnswer, poolAnswer } from '../../services/plugins/ipam-messages.ts';
import { endpointAnswer, JoinAnswer, NetworkCapabilities } from '../../services/plugins/network-messages.ts';
import { endpointOptions, networkOptions, pluginId } from '../../services/plugins/options.ts';

/** The value, or the problems. */
const read = (schema: z.ZodType, answer: unknown): unknown => {
  const result = schema.safeParse(answer);
  return result.success ? result.data : problemsOf(result.error);
};

type Case = readonly [what: string, answer: unknown, read: unknown];
const each = (schema: z.ZodType, cases: readonly Case[]): void => {
  for (const [what, answer, wanted] of cases) it(what, () => assert.deepEqual(read(schema, answer), wanted));
};

describe('ids', () => {
  it('are 64 hexadecimal digits, of realm and id', () => {
    assert.equal(pluginId('default', 'n1'), '1565d555e56547f5b91ad6a69080a5bd94aa3f94c07ed69912097e7803a39b14');
    assert.equal(new Set([pluginId('a', 'b'), pluginId('a', 'c'), pluginId('b', 'b')]).size, 3);
  });
});

describe('options', () => {
  const ports = { exposed: [], published: [] };
  it('of the user never take the place of ours', () => {
    const portmap = 'com.docker.network.portmap';
    const options = endpointOptions({ ports, mac: null, interface: null, driver: { [portmap]: 'mine', other: 'x' } });
    assert.deepEqual([options.get(portmap), options.get('other')], [[], 'x']);
  });
  it('of an internal network say so, and of others nothing', () => {
    const internal = 'com.docker.network.internal';
    const said = [true, false].map((is) =>
      networkOptions({ ipv4: true, ipv6: false, internal: is, driver: {} }).get(internal),
    );
    assert.deepEqual(said, [true, undefined]);
  });
});

describe('capabilities of a network driver', () => {
  each(NetworkCapabilities, [
    ['local', { Scope: 'local' }, { scope: 'local', connectivityScope: 'local', gwAllocChecker: false }],
    [
      'all of them',
      { Scope: 'local', ConnectivityScope: 'global', GwAllocChecker: true },
      { scope: 'local', connectivityScope: 'global', gwAllocChecker: true },
    ],
    ['no scope', {}, 'Scope: neither local nor global'],
    ['another scope', { Scope: 'swarm' }, 'Scope: neither local nor global'],
    [
      'another scope of connectivity',
      { Scope: 'local', ConnectivityScope: 'x' },
      'ConnectivityScope: neither local nor global',
    ],
  ]);
});

describe('CreateEndpoint', () => {
  const nothing = { ipv4: null, ipv6: null, mac: null };
  describe('nothing given', () => {
    each(endpointAnswer(nothing), [
      ['nothing said', {}, nothing],
      ['null', { Interface: null }, nothing],
      ['empty texts', { Interface: { Address: '', AddressIPv6: '', MacAddress: '' } }, nothing],
      [
        'all chosen, in any form',
        { Interface: { Address: '10.1.0.2/24', AddressIPv6: 'FD00::0:2/64', MacAddress: '02-AA-00-00-00-01' } },
        { ipv4: '10.1.0.2/24', ipv6: 'fd00::2/64', mac: '02:aa:00:00:00:01' },
      ],
      [
        'an address without prefix length',
        { Interface: { Address: '10.1.0.2' } },
        'Interface.Address: "10.1.0.2" is not an IPv4 address with its prefix length',
      ],
      [
        'an address of the other family',
        { Interface: { Address: 'fd00::2/64' } },
        'Interface.Address: "fd00::2/64" is not an IPv4 address with its prefix length',
      ],
      [
        'addresses that nobody can have',
        { Interface: { Address: '224.0.0.1/24', AddressIPv6: '::1/128' } },
        'Interface.Address: "224.0.0.1/24" is not an IPv4 address with its prefix length; ' +
          'Interface.AddressIPv6: "::1/128" is not an IPv6 address with its prefix length',
      ],
      [
        'a MAC of a group',
        { Interface: { MacAddress: '01:00:5e:00:00:01' } },
        'Interface.MacAddress: "01:00:5e:00:00:01" is not a unicast MAC address',
      ],
      ['a number', { Interface: { Address: 7 } }, 'Interface.Address: Invalid input: expected string, received number'],
    ]);
  });
  describe('an address given', () => {
    each(endpointAnswer({ ...nothing, ipv4: '10.1.0.2/24' }), [
      ['the rest chosen', { Interface: { MacAddress: '02:aa:00:00:00:01' } }, { ...nothing, mac: '02:aa:00:00:00:01' }],
      [
        'another',
        { Interface: { Address: '10.1.0.3/24' } },
        'Interface.Address: driver modified interface Address: it was given 10.1.0.2/24, and says 10.1.0.3/24',
      ],
      [
        'the same',
        { Interface: { Address: '10.1.0.2/24' } },
        'Interface.Address: driver modified interface Address: it was given 10.1.0.2/24, and says 10.1.0.2/24',
      ],
    ]);
  });
});

describe('Join', () => {
  const nothing = { link: null, prefix: 'eth', gateway4: null, gateway6: null, routes: [], outlet: true };
  each(JoinAnswer, [
    ['nothing said', {}, nothing],
    ['no interface', { InterfaceName: null, Gateway: '' }, nothing],
    [
      'all of it; DstName is ignored',
      {
        InterfaceName: { SrcName: 'v0', DstPrefix: 'lan', DstName: 'lan7' },
        Gateway: '10.1.0.1',
        GatewayIPv6: 'fe80::1',
        StaticRoutes: [
          { Destination: '10.9.0.0/16', RouteType: 0, NextHop: '10.1.0.9' },
          { Destination: '10.8.0.0/16', RouteType: 1 },
          { Destination: 'fd00:8::/64', RouteType: 7, NextHop: 'anything' },
        ],
        DisableGatewayService: true,
      },
      {
        link: 'v0',
        prefix: 'lan',
        gateway4: '10.1.0.1',
        gateway6: 'fe80::1',
        routes: [
          { destination: '10.9.0.0/16', gateway: '10.1.0.9' },
          { destination: '10.8.0.0/16', gateway: null },
          { destination: 'fd00:8::/64', gateway: null },
        ],
        outlet: false,
      },
    ],
    ['no prefix', { InterfaceName: { SrcName: 'v0' } }, { ...nothing, link: 'v0' }],
    [
      'names that no link has',
      { InterfaceName: { SrcName: '../eth0', DstPrefix: 'a/b' } },
      'InterfaceName.SrcName: "../eth0" is not the name of a link; InterfaceName.DstPrefix: "a/b" is not the beginning of an interface name',
    ],
    [
      'a name of 16 bytes',
      { InterfaceName: { SrcName: 'ääääääää' } },
      'InterfaceName.SrcName: "ääääääää" is not the name of a link',
    ],
    ['a gateway with prefix length', { Gateway: '10.1.0.1/24' }, 'Gateway: "10.1.0.1/24" is not an IPv4 address'],
    ['a gateway of the other family', { GatewayIPv6: '10.1.0.1' }, 'GatewayIPv6: "10.1.0.1" is not an IPv6 address'],
    [
      'a destination with host bits',
      { StaticRoutes: [{ Destination: '10.9.0.1/16', RouteType: 1 }] },
      'StaticRoutes.0.Destination: "10.9.0.1/16" is not a destination without host bits',
    ],
    [
      'no next hop where one is needed',
      { StaticRoutes: [{ Destination: '10.9.0.0/16' }] },
      'StaticRoutes.0.NextHop: "" is not an address of the family of 10.9.0.0/16, as RouteType 0 needs it',
    ],
    [
      'a next hop of the other family',
      { StaticRoutes: [{ Destination: '10.9.0.0/16', NextHop: 'fd00::1' }] },
      'StaticRoutes.0.NextHop: "fd00::1" is not an address of the family of 10.9.0.0/16, as RouteType 0 needs it',
    ],
  ]);

  it('at most 64 routes', () => {
    const routes = (count: number) => ({
      StaticRoutes: Array.from({ length: count }, (_, index) => ({ Destination: `10.${index}.0.0/16`, RouteType: 1 })),
    });
    assert.ok(JoinAnswer.safeParse(routes(64)).success);
    assert.match(String(read(JoinAnswer, routes(65))), /^StaticRoutes: /);
  });
});

describe('RequestPool', () => {
  const any = { space: 's', pool: null, range: null, options: {}, ipv6: false };
  const given = (id: string, subnet: string, gateway: string | null, data = {}) => ({
    pool: { id, subnet },
    gateway,
    data,
  });
  const key = 'com.docker.network.gateway';
  describe('any', () => {
    each(poolAnswer(any), [
      ['a pool', { PoolID: 'p', Pool: '10.1.0.0/24' }, given('p', '10.1.0.0/24', null)],
      ['a pool without a subnet', { PoolID: 'p', Pool: '0.0.0.0/0' }, given('p', '0.0.0.0/0', null)],
      [
        'a gateway along with it',
        { PoolID: 'p', Pool: '10.1.0.0/24', Data: { [key]: '10.1.0.9/24' } },
        given('p', '10.1.0.0/24', '10.1.0.9/24', { [key]: '10.1.0.9/24' }),
      ],
      ['no id', { Pool: '10.1.0.0/24' }, 'PoolID: empty'],
      ['no pool', { PoolID: 'p' }, 'Pool: "" is not a subnet'],
      ['host bits', { PoolID: 'p', Pool: '10.1.0.1/24' }, 'Pool: "10.1.0.1/24" is not a subnet'],
      ['another family', { PoolID: 'p', Pool: 'fd00::/64' }, 'Pool: fd00::/64 is not of the family that was asked for'],
      [
        'a gateway beyond it',
        { PoolID: 'p', Pool: '10.1.0.0/24', Data: { [key]: '10.2.0.1/24' } },
        `Data: ${key} "10.2.0.1/24" is not an address in 10.1.0.0/24 with its prefix length`,
      ],
    ]);
  });
  describe('a certain one', () => {
    each(poolAnswer({ ...any, pool: '10.1.0.0/24' }), [
      ['that one', { PoolID: 'p', Pool: '10.1.0.0/24' }, given('p', '10.1.0.0/24', null)],
      ['another', { PoolID: 'p', Pool: '10.2.0.0/24' }, 'Pool: 10.1.0.0/24 was asked for, and 10.2.0.0/24 given'],
    ]);
    it('a size alone leaves the choice', () => {
      const answer = read(poolAnswer({ ...any, pool: '0.0.0.0/26' }), { PoolID: 'p', Pool: '10.2.0.0/26' });
      assert.deepEqual(answer, given('p', '10.2.0.0/26', null));
    });
  });
});

describe('RequestAddress', () => {
  const pool = { id: 'p', subnet: '10.1.0.0/24' };
  const any = { pool, address: null, purpose: 'endpoint', mac: null } as const;
  describe('any', () => {
    each(addressAnswer(any), [
      ['one of the pool', { Address: '10.1.0.7/24' }, { address: '10.1.0.7/24', data: {} }],
      ['none', {}, 'Address: "" is not an address with its prefix length'],
      ['no prefix length', { Address: '10.1.0.7' }, 'Address: "10.1.0.7" is not an address with its prefix length'],
      ['one beyond the pool', { Address: '10.2.0.7/24' }, 'Address: 10.2.0.7/24 is not in the pool 10.1.0.0/24'],
      [
        'another prefix length',
        { Address: '10.1.0.7/16' },
        'Address: 10.1.0.7/16 has not the prefix length of the pool 10.1.0.0/24',
      ],
    ]);
    it('a pool without a subnet allows everything', () => {
      const answer = read(addressAnswer({ ...any, pool: { id: 'p', subnet: '0.0.0.0/0' } }), {
        Address: '10.9.0.1/16',
      });
      assert.deepEqual(answer, { address: '10.9.0.1/16', data: {} });
    });
  });
  describe('a certain one', () => {
    each(addressAnswer({ ...any, address: '10.1.0.7' }), [
      ['that one', { Address: '10.1.0.7/24' }, { address: '10.1.0.7/24', data: {} }],
      ['another', { Address: '10.1.0.77/24' }, 'Address: 10.1.0.7 was asked for, and 10.1.0.77/24 given'],
    ]);
  });
});
