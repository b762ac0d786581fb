/** Which address other hosts reach a machine by. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseAddress } from '../../drivers/kernel/address.ts';
import type { AddressRecord, LinkRecord, RouteRecord } from '../../drivers/kernel/records.ts';
import { underlayOf } from '../../drivers/kernel/underlay.ts';

const link = (index: number, name: string, mtu = 1500) => ({ index, name, mtu }) as LinkRecord;
const address = (index: number, text: string, length = 24): AddressRecord => ({
  ...{ index, address: parseAddress(text), length, given: false },
});
const route = (index: number, gateway: string, destination = '0.0.0.0', length = 0) =>
  ({
    index,
    gateway: gateway === '' ? new Uint8Array() : parseAddress(gateway),
    destination: parseAddress(destination),
    length,
  }) as RouteRecord;

const links = [link(2, 'eth0'), link(3, 'uplink0', 9000)];
const addresses = [
  address(1, '127.0.0.1', 8),
  address(2, '169.254.7.7', 16),
  address(2, '192.0.2.5'),
  address(2, '198.51.100.5'),
  address(3, '10.99.0.1'),
  address(3, '2001:db8::1', 64),
];
const of = (wanted: string | null, routes: readonly RouteRecord[] = []) => underlayOf(wanted, links, addresses, routes);

describe('underlay', () => {
  it('is what the default route says: the first one, and the address in its gateway’s subnet', () => {
    const routes = [route(3, '', '10.0.0.0', 8), route(2, '198.51.100.1'), route(3, '10.99.0.254')];
    assert.deepEqual(of(null, routes), { address: '198.51.100.5', device: 'eth0', mtu: 1500 });
    assert.deepEqual(of(null, [route(3, '10.99.0.254')]), { address: '10.99.0.1', device: 'uplink0', mtu: 9000 });
    assert.deepEqual(of(null, [route(2, '')])?.address, '192.0.2.5');
  });

  it('passes over default routes of IPv6, of several paths, and of links that do not count', () => {
    const routes = [route(3, '2001:db8::2', '::'), route(0, ''), route(9, '10.99.0.254'), route(2, '192.0.2.1')];
    assert.deepEqual(of(null, routes), { address: '192.0.2.5', device: 'eth0', mtu: 1500 });
  });

  it('is the first global address without a default route, and nothing without one', () => {
    assert.equal(of(null)?.address, '192.0.2.5');
    assert.equal(underlayOf(null, links, addresses.slice(0, 2), []), null);
    assert.equal(underlayOf(null, [], addresses, []), null);
  });

  it('is what was asked for, by address or by interface, or nothing', () => {
    assert.deepEqual(of('uplink0'), { address: '10.99.0.1', device: 'uplink0', mtu: 9000 });
    assert.deepEqual(of('198.51.100.5'), { address: '198.51.100.5', device: 'eth0', mtu: 1500 });
    assert.equal(of('203.0.113.1', [route(2, '192.0.2.1')]), null);
    assert.equal(of('eth9', [route(2, '192.0.2.1')]), null);
    assert.equal(of('127.0.0.1'), null);
  });
});
