/** Messages about tunnels, links that stand on others, and neighbours, against what `ip` and `bridge` of iproute2 6.1 have sent. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parseAddress, parseMac } from '../../drivers/kernel/address.ts';
import { AF, IFLA, IPVLAN, IPVLAN_FLAG, MACVLAN, ND, NL, RTM } from '../../drivers/kernel/constants.ts';
import * as neighbours from '../../drivers/kernel/neighbours.ts';
import { type Message, MessageReader } from '../../drivers/kernel/reader.ts';
import { decodeLink } from '../../drivers/kernel/records.ts';
import { newSublink } from '../../drivers/kernel/sublink.ts';
import { newVxlan } from '../../drivers/kernel/vxlan-link.ts';
import { MessageWriter } from '../../drivers/kernel/writer.ts';

/** By test/golden/netlink/record.ts. */
const recorded = JSON.parse(
  readFileSync(join(import.meta.dirname, '../golden/netlink/messages.json'), 'utf8'),
) as Readonly<Record<string, { readonly bytes: string }>>;

type Attribute = readonly [type: number, value: string | readonly Attribute[]];

const headerBytes: Readonly<Record<number, number>> = {
  [RTM.NEWLINK]: 16,
  [RTM.NEWNEIGH]: 12,
  [RTM.DELNEIGH]: 12,
  [RTM.GETNEIGH]: 12,
};

/** Attributes in the order of their types: a kernel reads them in any. Texts are with and without their zero byte. */
const attributesOf = (reader: MessageReader, start: number, end: number, nests: readonly number[]): Attribute[] => {
  const found: Attribute[] = [];
  const [nest, ...inner] = nests;
  reader.attributes(start, end, (type, from, to) => {
    if (type === nest) found.push([type, attributesOf(reader, from, to, inner)]);
    else if (type === IFLA.INFO_KIND && nest === IFLA.INFO_DATA) found.push([type, reader.text(from, to)]);
    else found.push([type, Buffer.from(reader.slice(from, to)).toString('hex')]);
  });
  return found.sort(([a], [b]) => a - b);
};

interface Parsed {
  readonly type: number;
  readonly flags: number;
  readonly header: string;
  readonly attributes: readonly Attribute[];
}

const parse = (bytes: Uint8Array): Parsed => {
  const reader = new MessageReader(bytes);
  const [message, ...more] = [...reader.messages(bytes.length)];
  assert.ok(message && more.length === 0);
  assert.equal(message.end, bytes.length);
  const { type, flags, start, end }: Message = message;
  const attributesAt = start + (headerBytes[type] ?? 0);
  return {
    type,
    // An acknowledgement is asked for once, for the last of a batch.
    flags: flags & ~NL.F_ACK,
    header: Buffer.from(reader.slice(start, attributesAt)).toString('hex'),
    attributes: attributesOf(reader, attributesAt, end, type === RTM.NEWLINK ? [IFLA.LINKINFO, IFLA.INFO_DATA] : []),
  };
};

const written = (encode: (w: MessageWriter) => void): Uint8Array => {
  const writer = new MessageWriter(4096);
  encode(writer);
  return writer.bytes.slice(0, writer.length);
};

const recordedBytes = (name: string): Uint8Array => Uint8Array.from(Buffer.from(recorded[name]?.bytes ?? '', 'hex'));

const same = (name: string, encode: (w: MessageWriter) => void): void => {
  assert.deepEqual(parse(written(encode)), parse(recordedBytes(name)));
};

const mac = parseMac('02:42:0a:01:00:02');
const [parent, tunnel] = [10, 30];

describe('messages as iproute2 sends them', () => {
  it('makes a tunnel', () => {
    const link = { index: 40, name: 'cx1', mtu: 1450, vni: 4097, local: parseAddress('10.99.0.1'), port: 4789 };
    same('vxlan', (w) => newVxlan(w, link));
  });

  it('makes macvlans in each of their modes', () => {
    const [name, kind] = ['cm1', 'macvlan'] as const;
    same('macvlan', (w) => newSublink(w, { index: 41, name, parent, mac, mtu: 1400 }, { kind, mode: MACVLAN.bridge }));
    same('macvlan private', (w) => newSublink(w, { index: 42, name, parent }, { kind, mode: MACVLAN.private }));
    same('macvlan vepa', (w) => newSublink(w, { index: 43, name, parent }, { kind, mode: MACVLAN.vepa }));
    same('macvlan passthru', (w) => newSublink(w, { index: 44, name, parent }, { kind, mode: MACVLAN.passthru }));
  });

  it('makes ipvlans in each of their modes, with each of their flags', () => {
    const [name, kind] = ['ci1', 'ipvlan'] as const;
    const { bridge, vepa } = IPVLAN_FLAG;
    same('ipvlan', (w) =>
      newSublink(w, { index: 45, name, parent, mtu: 1400 }, { kind, mode: IPVLAN.l2, flags: bridge }),
    );
    same('ipvlan l3 private', (w) =>
      newSublink(w, { index: 46, name, parent }, { kind, mode: IPVLAN.l3, flags: IPVLAN_FLAG.private }),
    );
    same('ipvlan l3s vepa', (w) => newSublink(w, { index: 47, name, parent }, { kind, mode: IPVLAN.l3s, flags: vepa }));
  });

  it('makes a vlan', () => {
    same('vlan', (w) => newSublink(w, { index: 48, name: 'up0.50', parent }, { kind: 'vlan', id: 50 }));
  });

  it('puts what tunnels and bridges know, and neighbours', () => {
    same('put way', (w) => neighbours.putWay(w, tunnel, mac, parseAddress('10.99.0.2')));
    same('put neighbour', (w) => neighbours.putNeighbour(w, tunnel, parseAddress('10.1.0.2'), mac));
    same('put neighbour 6', (w) => neighbours.putNeighbour(w, tunnel, parseAddress('fd00:1::2'), mac));
  });

  it('differs in states that the kernel does not look at', () => {
    const withState = (encode: (w: MessageWriter) => void, state: number): Parsed => {
      const bytes = written(encode);
      bytes[16 + 8] = state;
      return parse(bytes);
    };
    // `bridge` adds REACHABLE to a static entry; it deletes with the state that they would have put.
    const put = withState((w) => neighbours.putStation(w, tunnel, mac), ND.NUD_NOARP | ND.NUD_REACHABLE);
    assert.deepEqual(put, parse(recordedBytes('put station')));
    const way = withState((w) => neighbours.dropWay(w, tunnel, mac), ND.NUD_NOARP | ND.NUD_PERMANENT);
    assert.deepEqual(way, parse(recordedBytes('drop way')));
    const drop = withState((w) => neighbours.dropStation(w, tunnel, mac), ND.NUD_NOARP | ND.NUD_PERMANENT);
    assert.deepEqual(drop, parse(recordedBytes('drop station')));
    const gone = withState((w) => neighbours.dropNeighbour(w, tunnel, parseAddress('10.1.0.2')), ND.NUD_PERMANENT);
    assert.deepEqual(gone, parse(recordedBytes('drop neighbour')));
  });

  it('asks for the neighbours on one device', () => {
    const ours = parse(written((w) => neighbours.dumpNeighbours(w, AF.UNSPEC, tunnel)));
    assert.deepEqual(ours, parse(recordedBytes('dump neighbours')));
  });
});

describe('what a kernel answers about such links', () => {
  const decoded = (encode: (w: MessageWriter) => void) => {
    const bytes = written(encode);
    const reader = new MessageReader(bytes);
    const [message] = [...reader.messages(bytes.length)];
    assert.ok(message);
    const record = decodeLink(reader, message);
    assert.ok(record);
    return record;
  };

  it('reads a tunnel', () => {
    const local = parseAddress('10.99.0.1');
    const {
      kind,
      tunnel: found,
      port,
    } = decoded((w) => newVxlan(w, { index: 40, name: 'cx1', mtu: 1450, vni: 0xffffff, local, port: 4790 }));
    assert.deepEqual([kind, found], ['vxlan', { vni: 0xffffff, local, port: 4790, learning: false, proxy: true }]);
    assert.equal(port.learning, true);
  });

  it('reads what a link stands on, and how', () => {
    const link = { index: 45, name: 'x', parent };
    const cases = [
      [
        { kind: 'macvlan', mode: MACVLAN.vepa },
        { mode: 2, flags: 0, vlan: 0 },
      ],
      [
        { kind: 'ipvlan', mode: IPVLAN.l3s, flags: IPVLAN_FLAG.private },
        { mode: 2, flags: 1, vlan: 0 },
      ],
      [
        { kind: 'vlan', id: 4094 },
        { mode: 0, flags: 0, vlan: 4094 },
      ],
    ] as const;
    for (const [what, sublink] of cases) {
      const record = decoded((w) => newSublink(w, link, what));
      assert.deepEqual([record.kind, record.peer, record.sublink, record.tunnel], [what.kind, parent, sublink, null]);
    }
  });
});
