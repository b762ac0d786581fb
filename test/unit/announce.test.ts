/** What is announced to neighbours, and to whom it could matter. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatAddress, parseAddress, parseMac } from '../../drivers/kernel/address.ts';
import { Announcer, frameOf } from '../../drivers/kernel/announce.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

const announcement = (mac: string, ...addresses: string[]) => ({
  bridge: 'cb1',
  mac: parseMac(mac),
  addresses: addresses.map(parseAddress),
});

const [mac, other] = ['02:42:0a:01:00:02', '02:42:0a:01:00:99'];

describe('announcing', () => {
  it('asks for its own address, in IPv4', () => {
    assert.equal(
      hex(frameOf(parseMac(mac), parseAddress('10.1.0.2'))),
      [
        'ffffffffffff 02420a010002 0806', // to all
        '0001 0800 06 04 0001', // Ethernet, IPv4, request
        '02420a010002 0a010002 000000000000 0a010002', // sender and target are the same
      ]
        .join('')
        .replaceAll(' ', ''),
    );
  });

  it('advertises itself, in IPv6, under a correct checksum', () => {
    const frame = frameOf(parseMac(mac), parseAddress('fd00:1::2'));
    assert.equal(
      hex(frame),
      [
        '333300000001 02420a010002 86dd', // to all nodes
        '60000000 0020 3a ff', // 32 bytes of ICMPv6, hop limit 255
        'fd000001000000000000000000000002 ff020000000000000000000000000001',
        `8800 ${hex(frame.subarray(56, 58))} 20000000`, // neighbour advertisement that overrides
        'fd000001000000000000000000000002 0201 02420a010002', // target and its hardware address
      ]
        .join('')
        .replaceAll(' ', ''),
    );
    // RFC 1071: with its checksum in place, all of it adds up to ones.
    const pseudo = Uint8Array.of(...frame.subarray(22, 54), 0, 0, 0, 32, 0, 0, 0, 58, ...frame.subarray(54));
    let sum = 0;
    for (let at = 0; at < pseudo.length; at += 2) sum += ((pseudo[at] ?? 0) << 8) | (pseudo[at + 1] ?? 0);
    assert.equal((sum & 0xffff) + (sum >> 16), 0xffff);
  });

  const told = (announcer: Announcer, from: string, ...addresses: string[]): readonly string[] =>
    announcer.stale(announcement(from, ...addresses)).map(formatAddress);

  it("passes over addresses that were nobody else's", () => {
    const announcer = new Announcer();
    announcer.begin('cb1');
    assert.deepEqual(told(announcer, mac, '10.1.0.2', 'fd00:1::2'), []);
    assert.deepEqual(told(announcer, mac, '10.1.0.2', 'fd00:1::2'), []);
    assert.deepEqual(told(announcer, other, '10.1.0.2', '10.1.0.3'), ['10.1.0.2']);
    assert.deepEqual(told(announcer, other, '10.1.0.2', '10.1.0.3'), []);
  });

  it('takes every address for used on a bridge whose past it does not know', () => {
    const announcer = new Announcer();
    assert.deepEqual(told(announcer, mac, '10.1.0.2'), ['10.1.0.2']);
    assert.deepEqual(told(announcer, mac, '10.1.0.2'), []);
    announcer.begin('cb1');
    assert.deepEqual(told(announcer, other, '10.1.0.2'), []);
    announcer.forget('cb1');
    assert.deepEqual(told(announcer, other, '10.1.0.2'), ['10.1.0.2']);
  });
});
