/** The netlink codec: exact bytes out, and whatever comes in. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  broadcastOf,
  formatAddress,
  formatCidr,
  formatMac,
  parseAddress,
  parseCidr,
  parseMac,
} from '../../drivers/kernel/address.ts';
import { decodeElements, decodeTable } from '../../drivers/kernel/nftables.ts';
import { MessageReader, readError } from '../../drivers/kernel/reader.ts';
import { decodeAddress, decodeLink, decodeRoute } from '../../drivers/kernel/records.ts';
import * as rt from '../../drivers/kernel/rtnetlink.ts';
import { MessageWriter } from '../../drivers/kernel/writer.ts';
import { encoded, words } from '../support/words.ts';

describe('netlink messages', () => {
  it('asks for a link by its name as it is written, whatever it is made of', () => {
    // cut to a byte each, these four are eth0
    for (const name of ['\u0165\u0174\u0168\u0130', 'ä', '漢', 'eth0']) {
      const bytes = Buffer.from(encoded((w) => rt.getLinkByName(w, name)).replaceAll(' ', ''), 'hex');
      assert.ok(bytes.includes(Buffer.from(`${name}\0`)), name);
      assert.equal(bytes.includes('eth0'), name === 'eth0');
    }
  });

  it('sets a link up with master and alias', () => {
    const expected = words(`
      38000000 10000100 00000000 00000000 // 56 bytes, RTM_NEWLINK, NLM_F_REQUEST
      00000000 40420f00 01000000 01000000 // AF_UNSPEC, index 1000000, flags IFF_UP, change IFF_UP
      08000a00 07000000                   // IFLA_MASTER 7
      10001400 636e6d3a 613a623a 653a6300 // IFLA_IFALIAS "cnm:a:b:e:c"
    `);
    assert.equal(
      encoded((w) => rt.setLink(w, 1000000, { up: true, master: 7, alias: 'cnm:a:b:e:c' })),
      expected,
    );
  });

  it('makes a veth pair with the peer in another namespace', () => {
    const peer = { index: 2, name: 'eth0', mac: parseMac('02:42:0a:01:00:02') };
    const pair = { index: 0x10000000, name: 'cv1', mtu: 1450, peer, namespace: 4711 };
    const expected = words(`
      a0000000 10000106 00000000 00000000 // RTM_NEWLINK, REQUEST EXCL CREATE
      00000000 00000010 00000000 00000000 // index 0x10000000
      08000300 63763100                   // IFLA_IFNAME cv1
      08000400 aa050000                   // IFLA_MTU 1450
      08001f00 01000000                   // IFLA_NUM_TX_QUEUES 1
      08002000 01000000                   // IFLA_NUM_RX_QUEUES 1
      60001280                            // IFLA_LINKINFO, nested
      09000100 76657468 00000000          // INFO_KIND veth
      50000280                            // INFO_DATA, nested
      4c000180                            // VETH_INFO_PEER, nested
      00000000 02000000 00000000 00000000 // ifinfomsg of the peer: index 2
      09000300 65746830 00000000          // IFLA_IFNAME eth0
      08000400 aa050000
      08001f00 01000000
      08002000 01000000
      0a000100 02420a01 00020000          // IFLA_ADDRESS
      08001c00 67120000                   // IFLA_NET_NS_FD 4711
    `);
    const actual = encoded((w) => rt.newVeth(w, pair));
    assert.equal(actual, expected);
  });

  it('gives an address with its broadcast, and an IPv6 address without duplicate detection', () => {
    const v4 = parseCidr('10.1.0.2/16');
    assert.equal(
      encoded((w) => rt.newAddress(w, { index: 2, ...v4, broadcast: broadcastOf(v4) })),
      words(`
        30000000 14000106 00000000 00000000 // RTM_NEWADDR
        02100000 02000000                   // AF_INET, /16, index 2
        08000200 0a010002                   // IFA_LOCAL
        08000100 0a010002                   // IFA_ADDRESS
        08000400 0a01ffff                   // IFA_BROADCAST
      `),
    );
    assert.equal(
      encoded((w) => rt.newAddress(w, { index: 2, ...parseCidr('fd00::2/64') })),
      words(`
        34000000 14000106 00000000 00000000
        0a400000 02000000
        14000200 fd000000 00000000 00000000 00000002
        08000800 02000000                   // IFA_FLAGS IFA_F_NODAD
      `),
    );
  });

  it('makes a default route', () => {
    const entry = {
      destination: parseAddress('0.0.0.0'),
      length: 0,
      gateway: parseAddress('10.1.0.1'),
      index: 2,
      protocol: 212,
    };
    assert.equal(
      encoded((w) => rt.newRoute(w, entry)),
      words(`
        2c000000 18000106 00000000 00000000 // RTM_NEWROUTE
        02000000 fed40001 00000000          // AF_INET, /0, main table, protocol 212, universe, unicast
        08000500 0a010001                   // RTA_GATEWAY
        08000400 02000000                   // RTA_OIF
      `),
    );
  });

  it('keeps its messages and nests within bounds', () => {
    const writer = new MessageWriter(64);
    assert.throws(() => rt.setLink(writer, 1, { alias: 'x'.repeat(100) }), RangeError);
    const large = new MessageWriter(1 << 20);
    large.begin(16, 0, 16);
    large.openNest(1);
    for (let at = 0; at < 10; at++) large.data(2, new Uint8Array(10000));
    assert.throws(() => large.closeNest(), RangeError);
    assert.throws(() => new MessageWriter(64).closeNest(), RangeError);
  });
});

describe('netlink answers', () => {
  const reader = (hex: string): MessageReader => new MessageReader(Buffer.from(hex.replaceAll(/\s/g, ''), 'hex'));

  it('tells errno and the text of an extended acknowledgement', () => {
    // NLMSG_ERROR with NLM_F_CAPPED | NLM_F_ACK_TLVS: -EINVAL, header of message 9, text, offset 32.
    const answer = reader(
      `
      40000000 02000003 09000000 00000000 eaffffff
      20000000 14000506 09000000 00000000
      0c000100 62616420 70726500 08000200 20000000`.replace('6261642070726500 00', '62616420707265 00'),
    );
    const [message] = [...answer.messages(answer.bytes.length + 100)];
    assert.equal(message, undefined, 'a message that claims more than was received is not read');
    answer.bytes[0] = answer.bytes.length;
    const [whole] = [...answer.messages(answer.bytes.length)];
    assert.ok(whole);
    assert.deepEqual(readError(answer, whole), { errno: 22, sequence: 9, text: 'bad pre @offset 32' });
  });

  it('never reads outside of what was received, whatever that is', () => {
    const decoders = [decodeLink, decodeAddress, decodeRoute, decodeTable, decodeElements, readError];
    const check = (bytes: Uint8Array): void => {
      const fuzzed = new MessageReader(bytes);
      for (const decode of decoders)
        decode(fuzzed, { type: 0, flags: 0x300, sequence: 0, start: 0, end: bytes.length });
      for (const message of fuzzed.messages(bytes.length)) for (const decode of decoders) decode(fuzzed, message);
    };
    fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), check), { numRuns: 5000 });
    // Valid lengths and random contents go deeper.
    const attribute = fc
      .tuple(fc.integer({ min: 0, max: 60 }), fc.uint8Array({ maxLength: 40 }))
      .map(([type, data]) => {
        const bytes = new Uint8Array((4 + data.length + 3) & ~3);
        new DataView(bytes.buffer).setUint16(0, 4 + data.length, true);
        new DataView(bytes.buffer).setUint16(2, type, true);
        bytes.set(data, 4);
        return bytes;
      });
    const message = fc
      .tuple(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.array(attribute, { maxLength: 12 }))
      .map(([header, attributes]) => {
        const body = Buffer.concat([header, ...attributes]);
        const head = Buffer.alloc(16);
        head.writeUInt32LE(16 + body.length);
        return new Uint8Array(Buffer.concat([head, body]));
      });
    fc.assert(fc.property(message, check), { numRuns: 5000 });
  });

  it('reads back what the writer wrote', () => {
    const name = fc.stringMatching(/^[a-z][a-z0-9]{0,14}$/);
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 2 ** 31 - 1 }),
        name,
        name,
        fc.integer({ min: 68, max: 65535 }),
        (index, first, alias, mtu) => {
          const writer = new MessageWriter(4096);
          rt.setLink(writer, index, { up: true, name: first, alias, mtu, master: 5 });
          const back = new MessageReader(writer.bytes);
          const [found] = [...back.messages(writer.length)].map((message) => decodeLink(back, message));
          assert.ok(found);
          assert.deepEqual(
            [found.index, found.up, found.name, found.alias, found.mtu, found.master],
            [index, true, first, alias, mtu, 5],
          );
        },
      ),
    );
  });
});

describe('addresses', () => {
  it('have one canonical text', () => {
    const pairs = [
      ['0:0:0:0:0:0:0:0', '::'],
      ['::1', '::1'],
      ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
      ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
      ['fe80::', 'fe80::'],
      ['::ffff:10.0.0.1', '::ffff:a00:1'],
      ['10.0.0.1', '10.0.0.1'],
    ];
    for (const [text = '', canonical] of pairs) assert.equal(formatAddress(parseAddress(text)), canonical);
  });

  it('keep their bytes through their text', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ minLength: 4, maxLength: 4 }),
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
    );
    fc.assert(fc.property(bytes, (address) => assert.deepEqual(parseAddress(formatAddress(address)), address)));
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), (mac) =>
        assert.deepEqual(parseMac(formatMac(mac)), mac),
      ),
    );
    assert.equal(formatCidr(parseCidr('fd00:0:0::2/64')), 'fd00::2/64');
  });

  it('have a broadcast address', () => {
    const broadcast = (cidr: string): string => formatAddress(broadcastOf(parseCidr(cidr)));
    assert.deepEqual(['10.1.2.3/16', '10.1.2.3/24', '10.1.2.3/30', '10.1.2.3/0', '10.1.130.3/17'].map(broadcast), [
      '10.1.255.255',
      '10.1.2.255',
      '10.1.2.3',
      '255.255.255.255',
      '10.1.255.255',
    ]);
  });
});
