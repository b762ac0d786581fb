/** The codec of our table, of flows and of sockets: exact bytes out, whatever comes in, and what elements hold. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { formatAddress } from '../../drivers/kernel/address.ts';
import { decodeFlow } from '../../drivers/kernel/conntrack.ts';
import { KernelFailure } from '../../drivers/kernel/failure.ts';
import { decodeFields, encodeFields, typeOf, widthOf } from '../../drivers/kernel/fields.ts';
import * as nft from '../../drivers/kernel/nftables.ts';
import { type Message, MessageReader } from '../../drivers/kernel/reader.ts';
import { encodeRuleset, rules, setNames, tableName, version, versionOf } from '../../drivers/kernel/ruleset.ts';
import { type BoundSocket, decodeSocket, overlaps, receives } from '../../drivers/kernel/sockdiag.ts';
import { MessageWriter } from '../../drivers/kernel/writer.ts';
import { type ElementField, elementSets } from '../../drivers/objects.ts';
import { encoded, words } from '../support/words.ts';

const bufferBytes = 1 << 20;

const dnat4 = elementSets.dnat4;
const none = new Uint8Array(0);

describe('messages of nf_tables', () => {
  it('put an element with its comment into one transaction', () => {
    const key = encodeFields(['interface', 'interface'], ['cb1', 'cb2']);
    assert.equal(
      encoded((w) => {
        nft.beginBatch(w);
        nft.newElements(w, 't', 'own', [{ key, data: none, comment: 'x' }]);
        nft.endBatch(w);
      }),
      words(`
        14000000 10000100 00000000 00000000 0000000a // NFNL_MSG_BATCH_BEGIN, nf_tables
        5c000000 0c0a0506 00000000 00000000 01000000 // NEWSETELEM, inet, acknowledged
        06000100 74000000                            // table t
        08000200 6f776e00                            // set own
        38000380 34000180                            // ELEMENTS, LIST_ELEM
        28000180 24000100                            // KEY, VALUE
        63623100 00000000 00000000 00000000
        63623200 00000000 00000000 00000000
        08000600 00027800                            // USERDATA: comment x
        14000000 11000100 00000000 00000000 0000000a // NFNL_MSG_BATCH_END
      `),
    );
  });

  it('put elements of a map into one message, and take them out by their keys', () => {
    const records = ['8080', '8081'].map((port) => ({
      key: encodeFields(dnat4.key, ['tcp', port]),
      data: encodeFields(dnat4.data, ['10.1.0.2', '80']),
      comment: '',
    }));
    assert.equal(
      encoded((w) => {
        nft.newElements(w, 't', 'm', records);
        nft.delElements(
          w,
          't',
          'm',
          records.map(({ key }) => key),
        );
      }),
      words(`
        70000000 0c0a0106 00000000 00000000 01000000 // NEWSETELEM, REQUEST EXCL CREATE
        06000100 74000000 06000200 6d000000
        4c000380
        24000180                                     // LIST_ELEM
        10000180 0c000100 06000000 1f900000          // KEY tcp . 8080
        10000280 0c000100 0a010002 00500000 // DATA 10.1.0.2 . 80
        24000180
        10000180 0c000100 06000000 1f910000
        10000280 0c000100 0a010002 00500000
        50000000 0e0a0100 00000000 00000000 01000000 // DELSETELEM
        06000100 74000000 06000200 6d000000
        2c000380
        14000180 10000180 0c000100 06000000 1f900000
        14000180 10000180 0c000100 06000000 1f910000
      `),
    );
  });

  it('divide many elements among messages whose nests are within their limit', () => {
    const records = Array.from({ length: 5000 }, (_, at) => ({
      key: encodeFields(dnat4.key, ['udp', String(at + 1)]),
      data: encodeFields(dnat4.data, ['10.1.0.2', '80']),
      comment: 'c'.repeat(100),
    }));
    const writer = new MessageWriter(bufferBytes);
    nft.newElements(writer, 't', 'm', records);
    const reader = new MessageReader(writer.bytes);
    const messages = [...reader.messages(writer.length)];
    assert.ok(messages.length > 10 && messages.every(({ start, end }) => end - start < 0xffff));
    assert.deepEqual(
      messages.flatMap((message) => nft.decodeElements(reader, message)),
      records,
    );
  });

  it('make a map of two families of fields', () => {
    assert.equal(
      encoded((w) => nft.newSet(w, 't', 'm', elementSets.dnat6, 9)),
      words(`
        54000000 090a0106 00000000 00000000 01000000 // NEWSET
        06000100 74000000 06000200 6d000000
        08000300 00000008                            // NFT_SET_MAP
        08000400 0000030d 08000500 00000008          // inet_proto . inet_service
        08000600 0000020d 08000700 00000014          // ipv6_addr . inet_service
        08000a00 00000009
      `),
    );
  });

  it('make rules that do not change unnoticed: a changed version replaces the table on every host', () => {
    assert.equal(version, '09afc746f394c9b5');
    assert.notEqual(versionOf(rules.slice(1)), version);
    assert.match(
      encoded((w) => encodeRuleset(w, 't')),
      /^[0-9a-f ]+$/,
    );
    assert.equal(new Set(rules.map(({ name }) => name)).size, rules.length);
  });

  it('go to a table that is named after realm and host', () => {
    assert.equal(tableName('prod', 'host-1.example'), 'cnm_prod_host_2d1_2eexample');
  });
});

describe('fields of elements', () => {
  const texts: Readonly<Record<ElementField, fc.Arbitrary<string>>> = {
    interface: fc.stringMatching(/^[!-~]{1,15}$/),
    protocol: fc.constantFrom('tcp', 'udp', 'sctp'),
    port: fc.integer({ min: 1, max: 65535 }).map(String),
    ipv4: fc.uint8Array({ minLength: 4, maxLength: 4 }).map(formatAddress),
    ipv6: fc.uint8Array({ minLength: 16, maxLength: 16 }).map(formatAddress),
  };
  const keys = fc.constantFrom(...setNames).chain((set) =>
    fc.record({
      fields: fc.constant(elementSets[set].key),
      key: fc.tuple(...elementSets[set].key.map((f) => texts[f])),
    }),
  );

  it('are the same after encoding and decoding', () => {
    fc.assert(
      fc.property(keys, ({ fields, key }) => assert.deepEqual(decodeFields(fields, encodeFields(fields, key)), key)),
    );
  });

  it('differ in their bytes when they differ', () => {
    const bytes = ({ fields, key }: { fields: readonly ElementField[]; key: readonly string[] }): string =>
      `${typeOf(fields)} ${Buffer.from(encodeFields(fields, key)).toString('hex')}`;
    fc.assert(
      fc.property(keys, keys, (a, b) =>
        assert.equal(bytes(a) === bytes(b), JSON.stringify([a.fields, a.key]) === JSON.stringify([b.fields, b.key])),
      ),
    );
  });

  it('are refused when they are none', () => {
    const bad: readonly (readonly [ElementField, readonly string[]])[] = [
      ['interface', ['', 'sixteen-letters-']],
      ['protocol', ['icmp', 'TCP', '', 'toString']],
      ['port', ['0', '65536', '-1', '80x', '', '1e3', ' 80']],
      ['ipv4', ['10.0.0', '10.0.0.256', 'fd00::1', '']],
      ['ipv6', ['10.0.0.1', 'fd00::g', 'fd00:::1', '']],
    ];
    for (const [field, texts] of bad) {
      for (const text of texts) assert.throws(() => encodeFields([field], [text]), KernelFailure, `${field} '${text}'`);
    }
    assert.throws(() => encodeFields(['port', 'port'], ['1']), KernelFailure);
    assert.equal(decodeFields(['port'], new Uint8Array(3)), null);
    assert.equal(widthOf(['interface', 'ipv4', 'protocol', 'port', 'ipv6']), 16 + 4 + 4 + 4 + 16);
  });
});

describe('sockets of the host', () => {
  const socket = (address: string, more: Partial<BoundSocket> = {}): BoundSocket => ({
    address,
    port: 80,
    dual: false,
    connected: false,
    inode: 1,
    ...more,
  });

  it('get what is sent to an address that they have', () => {
    assert.ok(receives(socket('0.0.0.0'), '192.0.2.1') && receives(socket('192.0.2.1'), '0.0.0.0'));
    assert.ok(receives(socket('192.0.2.1'), '192.0.2.1') && !receives(socket('192.0.2.1'), '192.0.2.2'));
    assert.ok(receives(socket('::', { dual: true }), '192.0.2.1') && !receives(socket('::'), '192.0.2.1'));
    assert.ok(receives(socket('::'), 'fd00::1') && receives(socket('fd00::1'), '::'));
    assert.ok(!receives(socket('fd00::1', { dual: true }), '0.0.0.0') && !receives(socket('0.0.0.0'), '::'));
    assert.ok(overlaps('::', '::') && !overlaps('0.0.0.0', '::'));
  });

  it('are read from their answers: addresses of IPv4 that are written as IPv6 too', () => {
    const bytes = Buffer.alloc(80);
    bytes[0] = 10;
    bytes.writeUInt16BE(8080, 4);
    bytes.set([...new Array(10).fill(0), 255, 255, 127, 0, 0, 1], 8);
    bytes.writeUInt32LE(4711, 68);
    bytes.set([5, 0, 11, 0, 1, 0, 0, 0], 72);
    const message: Message = { type: 20, flags: 0, sequence: 0, start: 0, end: 80 };
    assert.deepEqual(decodeSocket(new MessageReader(bytes), message), {
      address: '127.0.0.1',
      port: 8080,
      dual: false,
      connected: false,
      inode: 4711,
    });
    bytes[76] = 0;
    assert.equal(decodeSocket(new MessageReader(bytes), message)?.dual, true);
    assert.equal(decodeSocket(new MessageReader(bytes), { ...message, end: 71 }), null);
  });
});

describe('answers', () => {
  it('are never read outside of what was received, whatever that is', () => {
    const ports = new Set([0, 80]);
    const attribute = fc
      .tuple(fc.integer({ min: 0, max: 30 }), fc.uint8Array({ maxLength: 60 }))
      .map(([type, data]) => {
        const bytes = Buffer.alloc((4 + data.length + 3) & ~3);
        bytes.writeUInt16LE(4 + data.length);
        bytes.writeUInt16LE(type, 2);
        bytes.set(data, 4);
        return bytes;
      });
    const body = fc.oneof(
      fc.uint8Array({ maxLength: 400 }),
      fc
        .tuple(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.array(attribute, { maxLength: 12 }))
        .map(([head, attributes]) => new Uint8Array(Buffer.concat([head, ...attributes]))),
    );
    fc.assert(
      fc.property(body, (bytes) => {
        const message: Message = { type: 0, flags: 0, sequence: 0, start: 0, end: bytes.length };
        const reader = new MessageReader(bytes);
        decodeFlow(reader, message, ports);
        decodeSocket(reader, message);
        nft.decodeElements(reader, message);
      }),
      { numRuns: 5000 },
    );
  });
});
