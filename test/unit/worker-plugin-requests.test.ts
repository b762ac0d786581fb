/** What plugins are asked: ports, addresses and made-up MACs in Docker's forms. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { NetworkFacts } from '../../events/events.ts';
import { isUnicastMac, parseMac } from '../../events/ipam-mac.ts';
import { createNetworkOf, macOfId, portsOf } from '../../services/worker/consulting-requests.ts';
import { isForeign, poolPartings } from '../../services/worker/gone.ts';
import { port as lease } from '../support/driver-facts.ts';

const subnet = {
  family: 4,
  subnet: '10.1.0.0/24',
  range: null,
  gateway: '10.1.0.1',
  aux: { rtr: '10.1.0.5' },
} as const;
const network = (driver: string, pool: string | null): NetworkFacts =>
  ({
    id: 'n1',
    driver: 'weave',
    ipv4: true,
    ipv6: true,
    internal: false,
    options: {},
    ipam: { driver, options: {}, overlap: false },
    subnets: driver === 'null' ? [] : [{ ...subnet, vni: null, pool }],
  }) as never;

describe('requests to plugins', () => {
  it('name ports one by one, exposed once, with an empty address for all', () => {
    assert.deepEqual(portsOf([lease({ count: 2 }), lease({ hostAddresses: ['127.0.0.1', '::1'], hostPort: 90 })]), {
      exposed: [
        { protocol: 'tcp', port: 80 },
        { protocol: 'tcp', port: 81 },
      ],
      published: [
        { protocol: 'tcp', port: 80, hostIp: '', hostPort: 8080, hostPortEnd: 8080 },
        { protocol: 'tcp', port: 81, hostIp: '', hostPort: 8081, hostPortEnd: 8081 },
        { protocol: 'tcp', port: 80, hostIp: '127.0.0.1', hostPort: 90, hostPortEnd: 90 },
        { protocol: 'tcp', port: 80, hostIp: '::1', hostPort: 90, hostPortEnd: 90 },
      ],
    });
    assert.deepEqual(portsOf([]), { exposed: [], published: [] });
  });

  it('give addresses of a network their prefix length, and none of one that nobody manages', () => {
    const { ipv4, ipv6 } = createNetworkOf('test', network('default', null), 'LocalDefault');
    const data = { space: 'LocalDefault', pool: '10.1.0.0/24', gateway: '10.1.0.1/24', aux: { rtr: '10.1.0.5/24' } };
    assert.deepEqual([ipv4, ipv6], [[data], []]);
    const bare = createNetworkOf('test', network('null', null), 'LocalDefault');
    const none = { space: 'null', gateway: null, aux: {} };
    assert.deepEqual([bare.ipv4, bare.ipv6], [[{ ...none, pool: '0.0.0.0/0' }], [{ ...none, pool: '::/0' }]]);
  });

  it('make a MAC of an id: the same each time, another for another, of one station and of nobody’s making', () => {
    const macs = Array.from({ length: 500 }, (_, at) => macOfId(`id${at}`));
    assert.equal(new Set(macs).size, 500);
    for (const mac of macs) {
      assert.equal(parseMac(mac), mac);
      assert.ok(isUnicastMac(mac));
      assert.equal(Number.parseInt(mac.slice(0, 2), 16) & 2, 2);
    }
    assert.equal(macOfId('id7'), macs[7]);
  });

  it('release what a network had from a plugin, the pool last, and nothing of our own', () => {
    assert.deepEqual([isForeign(network('phone', 'p')), isForeign(network('null', null))], [true, false]);
    const kinds = (facts: NetworkFacts) =>
      poolPartings(facts).map((parting) => (parting.kind === 'address' ? parting.address : parting.kind));
    assert.deepEqual(kinds(network('phone', 'p')), ['10.1.0.1', '10.1.0.5', 'pool']);
    assert.deepEqual(kinds(network('default', null)), []);
  });
});
