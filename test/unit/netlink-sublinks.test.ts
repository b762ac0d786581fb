/**
 * Messages of links that stand on another one: the exact bytes, and attribute by attribute what `ip` sends (iproute2 6.1, recorded with
 * strace). Not every kernel takes them, which this does not need.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseMac } from '../../drivers/kernel/address.ts';
import { IFLA } from '../../drivers/kernel/constants.ts';
import { MessageReader } from '../../drivers/kernel/reader.ts';
import { decodeLink } from '../../drivers/kernel/records.ts';
import { deleteLink } from '../../drivers/kernel/rtnetlink.ts';
import { kindOf, moveLink, newSublink, type SublinkKind, sourceOf } from '../../drivers/kernel/sublink.ts';
import type { DeviceSource } from '../../drivers/objects.ts';
import { encoded, words, written } from '../support/words.ts';

const only = (bytes: Buffer) => {
  const reader = new MessageReader(bytes);
  const [message] = [...reader.messages(bytes.length)];
  assert.ok(message);
  return { reader, message };
};

/** The attributes of a message, LINKINFO's data among them, as text or hexadecimal. */
const attributesOf = (bytes: Buffer): object => {
  const { reader, message } = only(bytes);
  const found: { name?: string; kind?: string; data?: string; [type: number]: string } = {};
  const hex = (from: number, to: number): string => Buffer.from(reader.slice(from, to)).toString('hex');
  reader.attributes(message.start + 16, message.end, (type, from, to) => {
    if (type === IFLA.IFNAME) found.name = reader.text(from, to);
    else if (type !== IFLA.LINKINFO) found[type] = hex(from, to);
    else {
      reader.attributes(from, to, (inner, at, until) => {
        if (inner === IFLA.INFO_KIND) found.kind = reader.text(at, until);
        else found.data = hex(at, until);
      });
    }
  });
  return found;
};

/** What `ip link add link par0 ...` sends, par0 being index 3: the data of its kind. */
const devices: readonly { readonly command: string; readonly source: DeviceSource; readonly data: string }[] = [
  ...(
    [
      ['private', '01'],
      ['vepa', '02'],
      ['bridge', '04'],
      ['passthru', '08'],
    ] as const
  ).map(([mode, byte]) => ({
    command: `type macvlan mode ${mode}`,
    source: { type: 'macvlan', parent: 'par0', mode } as const,
    data: `08000100${byte}000000`,
  })),
  {
    command: 'type ipvlan mode l2 bridge',
    source: { type: 'ipvlan', parent: 'par0', mode: 'l2', flag: 'bridge' },
    data: '06000100000000000600020000000000',
  },
  {
    command: 'type ipvlan mode l3 private',
    source: { type: 'ipvlan', parent: 'par0', mode: 'l3', flag: 'private' },
    data: '06000100010000000600020001000000',
  },
  {
    command: 'type ipvlan mode l3s vepa',
    source: { type: 'ipvlan', parent: 'par0', mode: 'l3s', flag: 'vepa' },
    data: '06000100020000000600020002000000',
  },
];

const par0 = { index: 7, name: 'l0', parent: 3 } as const;

describe('messages of links that stand on another one', () => {
  it('make a macvlan on a parent in another namespace', () => {
    const sublink = {
      index: 0x10000000,
      name: 'eth0',
      parent: 3,
      parentNamespace: 7,
      mac: parseMac('02:42:0a:07:00:02'),
      mtu: 1400,
    } as const;
    const expected = words(`
      6c000000 10000106 00000000 00000000 // 108 bytes, RTM_NEWLINK, REQUEST EXCL CREATE
      00000000 00000010 00000000 00000000 // index 0x10000000
      09000300 65746830 00000000          // IFLA_IFNAME eth0
      08000500 03000000                   // IFLA_LINK 3
      08002500 07000000                   // IFLA_LINK_NETNSID 7
      0a000100 02420a07 00020000          // IFLA_ADDRESS
      08000400 78050000                   // IFLA_MTU 1400
      1c001280                            // IFLA_LINKINFO, nested
      0c000100 6d616376 6c616e00          // INFO_KIND macvlan
      0c000280                            // INFO_DATA, nested
      08000100 01000000                   // IFLA_MACVLAN_MODE MACVLAN_MODE_PRIVATE
    `);
    assert.equal(
      encoded((w) => newSublink(w, sublink, { kind: 'macvlan', mode: 1 })),
      expected,
    );
  });

  it('make an ipvlan and a vlan', () => {
    const base = { index: 0x10000001, name: 'e', parent: 3 };
    assert.equal(
      encoded((w) => newSublink(w, base, { kind: 'ipvlan', mode: 2, flags: 2 })),
      words(`
        54000000 10000106 00000000 00000000
        00000000 01000010 00000000 00000000
        06000300 65000000                   // IFLA_IFNAME e
        08000500 03000000                   // IFLA_LINK 3
        24001280
        0b000100 6970766c 616e0000          // INFO_KIND ipvlan
        14000280
        06000100 02000000                   // IFLA_IPVLAN_MODE IPVLAN_MODE_L3S
        06000200 02000000                   // IFLA_IPVLAN_FLAGS IPVLAN_F_VEPA
      `),
    );
    assert.equal(
      encoded((w) => newSublink(w, base, { kind: 'vlan', id: 50 })),
      words(`
        4c000000 10000106 00000000 00000000
        00000000 01000010 00000000 00000000
        06000300 65000000
        08000500 03000000
        1c001280
        09000100 766c616e 00000000          // INFO_KIND vlan
        0c000280
        06000100 32000000                   // IFLA_VLAN_ID 50
      `),
    );
  });

  for (const { command, source, data } of devices) {
    it(`say what \`ip\` says, and are read so: ${command}`, () => {
      assert.ok(source.type !== 'moved');
      const what = kindOf(source);
      const bytes = written((w) => newSublink(w, par0, what));
      assert.deepEqual(attributesOf(bytes), { name: 'l0', [IFLA.LINK]: '03000000', kind: what.kind, data });
      const { reader, message } = only(bytes);
      const link = decodeLink(reader, message);
      assert.ok(link);
      assert.deepEqual([link.index, link.peer, sourceOf(link, 'par0')], [7, 3, source]);
    });
  }

  for (const [id, data] of [
    [50, '0600010032000000'],
    [4094, '06000100fe0f0000'],
  ] as const) {
    it(`say what \`ip\` says, and are read so: type vlan id ${id}`, () => {
      const bytes = written((w) => newSublink(w, par0, { kind: 'vlan', id }));
      assert.deepEqual(attributesOf(bytes), { name: 'l0', [IFLA.LINK]: '03000000', kind: 'vlan', data });
      const { reader, message } = only(bytes);
      const link = decodeLink(reader, message);
      assert.deepEqual([link?.kind, link?.sublink.vlan], ['vlan', id]);
    });
  }

  it('are somebody else’s where the mode or the flag is none of ours', () => {
    for (const what of [
      // MACVLAN_MODE_SOURCE, and what may come.
      { kind: 'macvlan', mode: 16 },
      { kind: 'ipvlan', mode: 3, flags: 0 },
      { kind: 'ipvlan', mode: 0, flags: 3 },
    ] satisfies SublinkKind[]) {
      const { reader, message } = only(written((w) => newSublink(w, par0, what)));
      const link = decodeLink(reader, message);
      assert.ok(link);
      assert.deepEqual(sourceOf(link, 'par0'), { type: 'moved' });
    }
  });

  it('move a link, named and tagged as it is there', () => {
    assert.equal(
      encoded((w) => moveLink(w, 9, { namespace: 5, name: 'eth1', alias: 'cnm:a' })),
      words(`
        40000000 10000100 00000000 00000000 // RTM_NEWLINK, REQUEST
        00000000 09000000 00000000 01000000 // index 9, flags 0, change IFF_UP
        08001c00 05000000                   // IFLA_NET_NS_FD 5
        09000300 65746831 00000000          // IFLA_IFNAME eth1
        0a001400 636e6d3a 61000000          // IFLA_IFALIAS
      `),
    );
    assert.equal(
      encoded((w) => moveLink(w, 9, { namespace: 5, name: 'up0', alias: '' })),
      words(`
        34000000 10000100 00000000 00000000
        00000000 09000000 00000000 01000000
        08001c00 05000000
        08000300 75703000
        04001400                            // as \`ip link set up0 alias ''\`
      `),
    );
  });

  it('delete one link', () => {
    assert.equal(
      encoded((w) => deleteLink(w, 9)),
      words('20000000 11000100 00000000 00000000 00000000 09000000 00000000 00000000'),
    );
  });
});
