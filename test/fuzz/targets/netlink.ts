/** What the kernel says: netlink messages of every family that is read, dumps of nf_tables among them. */
import assert from 'node:assert/strict';
import { decodeFlow } from '../../../drivers/kernel/conntrack.ts';
import { decodeNeighbour } from '../../../drivers/kernel/neighbours.ts';
import * as nft from '../../../drivers/kernel/nftables.ts';
import { type Message, MessageReader, readError } from '../../../drivers/kernel/reader.ts';
import { decodeAddress, decodeLink, decodeRoute } from '../../../drivers/kernel/records.ts';
import * as rt from '../../../drivers/kernel/rtnetlink.ts';
import { encodeRuleset } from '../../../drivers/kernel/ruleset.ts';
import { decodeSocket } from '../../../drivers/kernel/sockdiag.ts';
import { MessageWriter } from '../../../drivers/kernel/writer.ts';
import { decodePolicy, decodeState } from '../../../drivers/kernel/xfrm.ts';
import { parseTag } from '../../../drivers/objects.ts';
import { goldenNetlink } from '../golden.ts';
import { mutatedBytes, type Random } from '../random.ts';
import type { Target } from '../target.ts';

/** Messages that we write ourselves: those of the kernel have the same shapes. */
const written = (): readonly Uint8Array[] => {
  const writer = new MessageWriter(1 << 18);
  const of = (write: (w: MessageWriter) => void): Uint8Array => {
    writer.reset();
    write(writer);
    return Uint8Array.from(writer.bytes.subarray(0, writer.length));
  };
  const mac = Uint8Array.of(2, 0x42, 10, 0, 0, 2);
  const address = { index: 3, address: Uint8Array.of(10, 0, 0, 1), length: 24 };
  const elements = Array.from({ length: 5 }, (_, n) => ({
    key: Uint8Array.of(n, 0, 0, 1),
    data: Uint8Array.of(10, 0, 0, n),
    comment: `cnm:test:h1:port:${n}`,
  }));
  return [
    of((w) => rt.setLink(w, 7, { up: true, master: 3, alias: 'cnm:test:h1:network:abc' })),
    of((w) => rt.newBridge(w, { index: 5, name: 'cb5', mac, mtu: 1500 } as never)),
    of((w) => rt.newAddress(w, address as never)),
    of((w) => nft.newTable(w, 'cnm_test_h1', 0, 'a comment')),
    of((w) => nft.newElements(w, 'cnm_test_h1', 'ports', elements)),
    of((w) => encodeRuleset(w, 'cnm_test_h1')),
    Uint8Array.from({ length: 120 }, (_, n) => (n === 0 ? 120 : n % 7)),
  ];
};

const ports: ReadonlySet<number> = new Set([53, 80, 8080]);

const decoders: readonly ((reader: MessageReader, message: Message) => unknown)[] = [
  decodeLink,
  decodeAddress,
  decodeRoute,
  decodeNeighbour,
  decodeSocket,
  decodeState,
  decodePolicy,
  readError,
  nft.decodeTable,
  nft.decodeRule,
  nft.decodeElements,
  (reader, message) => decodeFlow(reader, message, ports),
];

/** Nothing that was not received is read: every byte array and text is no longer than all that came. */
const assertWithin = (value: unknown, most: number): void => {
  if (value instanceof Uint8Array || typeof value === 'string')
    assert.ok(value.length <= Math.max(most, 64), 'longer than what was received');
  else if (Array.isArray(value)) for (const one of value) assertWithin(one, most);
  else if (typeof value === 'object' && value !== null) for (const one of Object.values(value)) assertWithin(one, most);
};

export const netlink: Target = {
  name: 'netlink',
  share: 20,
  start: () => {
    const good = [...goldenNetlink(), ...written()];
    return (random: Random) => {
      const bytes = mutatedBytes(random, random.pick(good));
      const reader = new MessageReader(bytes);
      let count = 0;
      for (const message of reader.messages(bytes.length)) {
        assert.ok(message.end <= bytes.length && ++count <= bytes.length / 16 + 1);
        for (const decode of decoders) assertWithin(decode(reader, message), bytes.length);
        const link = decodeLink(reader, message);
        if (link) parseTag(link.alias);
      }
    };
  },
};
