/** Messages about what encrypts packets, against what `ip xfrm` of iproute2 6.1 has sent, and what is made of a kernel's. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parseAddress } from '../../drivers/kernel/address.ts';
import { NL } from '../../drivers/kernel/constants.ts';
import { MessageReader } from '../../drivers/kernel/reader.ts';
import { MessageWriter } from '../../drivers/kernel/writer.ts';
import * as xfrm from '../../drivers/kernel/xfrm.ts';

/** By test/golden/netlink/record.ts. */
const recorded = JSON.parse(
  readFileSync(join(import.meta.dirname, '../golden/netlink/messages.json'), 'utf8'),
) as Readonly<Record<string, { readonly bytes: string }>>;

const written = (encode: (w: MessageWriter) => void): Buffer => {
  const writer = new MessageWriter(4096);
  encode(writer);
  return Buffer.from(writer.bytes.slice(0, writer.length));
};

const recordedBytes = (name: string): Buffer => {
  const bytes = Buffer.from(recorded[name]?.bytes ?? '', 'hex');
  assert.ok(bytes.length >= 16, name);
  return bytes;
};

/** All bytes but the sequence number and the flag that asks for an acknowledgement, which a batch asks for once. */
const plain = (message: Buffer): string => {
  const bytes = Buffer.from(message);
  bytes.writeUInt32LE(0, 8);
  bytes.writeUInt16LE(bytes.readUInt16LE(6) & ~NL.F_ACK, 6);
  return bytes.toString('hex');
};

const same = (name: string, encode: (w: MessageWriter) => void): void =>
  assert.equal(plain(written(encode)), plain(recordedBytes(name)));

const key = Uint8Array.from({ length: 36 }, (_, at) => at);
const [source, destination] = [parseAddress('192.0.2.1'), parseAddress('192.0.2.2')];
const [reqid, spi, port] = [201326593, 0x80000100, 4790];

const decoded = <T>(bytes: Uint8Array, decode: (...message: Parameters<typeof xfrm.decodeState>) => T): T => {
  const reader = new MessageReader(bytes);
  const [message] = [...reader.messages(bytes.length)];
  assert.ok(message);
  return decode(reader, message);
};

describe('what encrypts packets, byte for byte', () => {
  it('makes and deletes a state', () => {
    same('add state', (w) => xfrm.newState(w, { source, destination, spi, reqid, key }));
    same('delete state', (w) => xfrm.deleteState(w, { source, destination, spi }));
  });

  it('makes and deletes a policy', () => {
    same('add policy in', (w) => xfrm.newPolicy(w, 'in', port, reqid));
    same('add policy out', (w) => xfrm.newPolicy(w, 'out', port, reqid));
    same('delete policy', (w) => xfrm.deletePolicy(w, 'out', port));
  });

  it('asks for all policies, and for all states without a filter', () => {
    same('list policies', xfrm.dumpPolicies);
    // `ip` adds a filter that lets everything through.
    const [ours, theirs] = [written(xfrm.dumpStates), recordedBytes('list states').subarray(0, 16)];
    assert.equal(plain(ours).slice(8), plain(theirs).slice(8));
  });

  it('reads a state as it was sent, without its key', () => {
    const found = decoded(recordedBytes('add state'), xfrm.decodeState);
    assert.deepEqual(found, { source: '192.0.2.1', destination: '192.0.2.2', spi, reqid, addedAt: 0 });
  });

  it('reads a policy as it was sent, and sees what is no guard', () => {
    const decode = (bytes: Uint8Array) => decoded(bytes, xfrm.decodePolicy);
    assert.deepEqual(decode(recordedBytes('add policy in')), { direction: 'in', port, reqid });
    assert.deepEqual(decode(recordedBytes('add policy out')), { direction: 'out', port, reqid });
    const guard = 16;
    const changed = (at: number, value: number): Buffer => {
      const bytes = recordedBytes('add policy in');
      bytes[guard + at] = value;
      return bytes;
    };
    // Of one host only, of TCP, forwarded: not about all packets to the port.
    for (const bytes of [changed(42, 32), changed(44, 6), changed(160, 2)]) assert.equal(decode(bytes), null);
    // Blocking, or content with plain packets (template behind the 168 bytes and the head of its attribute): it does not want what ours wants.
    for (const bytes of [changed(161, 1), changed(168 + 4 + 50, 1), changed(168 + 4 + 48, 1)])
      assert.deepEqual(decode(bytes), { direction: 'in', port, reqid: 0 });
  });

  it('passes over what a kernel has besides', () => {
    const other = recordedBytes('add state');
    other[16 + 76] = 51; // AH
    assert.equal(decoded(other, xfrm.decodeState), null);
    const asking = recordedBytes('add state');
    asking.fill(0, 16 + 72, 16 + 76);
    assert.equal(decoded(asking, xfrm.decodeState), null);
    assert.equal(decoded(recordedBytes('add policy in'), xfrm.decodeState), null);
  });
});
