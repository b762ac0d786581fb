/**
 * Codec of what encrypts packets between hosts (linux/xfrm.h), in the one form that encrypted tunnels use: states of ESP in transport mode
 * between two IPv4 addresses, and policies that want one for every packet to a UDP port.
 */
import { formatAddress } from './address.ts';
import { AF, NL, XFRM } from './constants.ts';
import type { Message, MessageReader } from './reader.ts';
import type { MessageWriter } from './writer.ts';

export interface NewState {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly spi: number;
  /** Links it to the policies that it serves, and says whose it is. */
  readonly reqid: number;
  /** Key of AES and the 4 bytes of salt behind it (RFC 4106): 20 or 36 bytes. */
  readonly key: Uint8Array;
}

/** struct xfrm_usersa_info: selector 56 bytes, id at 56, source at 80, limits at 96, reqid at 208, family at 212, flags at 216. */
const stateAt = {
  destination: 56,
  spi: 72,
  protocol: 76,
  source: 80,
  limits: 96,
  limitsEnd: 128,
  added: 176,
  reqid: 208,
  family: 212,
  mode: 214,
  flags: 216,
} as const;
const stateBytes = 224;

/** struct xfrm_usersa_id: destination, spi at 16, family at 20, protocol at 22. */
const stateIdAt = { destination: 0, spi: 16, family: 20, protocol: 22 } as const;
const stateIdBytes = 24;

/** struct xfrm_selector: port at 32 and its mask, family at 40, protocol at 44. */
const selectorAt = { port: 32, portMask: 34, sourcePortMask: 38, family: 40, lengths: 42, protocol: 44 } as const;
/** struct xfrm_userpolicy_info: selector, limits at 56, direction at 160, action at 161. */
const policyAt = { limits: 56, limitsEnd: 88, direction: 160, action: 161 } as const;
const policyBytes = 168;
/** struct xfrm_userpolicy_id: selector, index at 56, direction at 60. */
const policyIdAt = { direction: 60 } as const;
const policyIdBytes = 64;
/** struct xfrm_user_tmpl: id, family at 24, source at 28, reqid at 44, mode at 48, algorithms that will do from 52 on. */
const templateAt = { protocol: 20, family: 24, reqid: 44, mode: 48, optional: 50, algorithms: 52 } as const;
const templateBytes = 64;

/**
 * How far behind the newest a packet may come, packets. Counters have 64 bits (RFC 4303, 2.2.1): those of 32 are used up within the hour
 * on a fast link, and then nothing is sent any more.
 */
const replayWindow = 1024;

const aead = (key: Uint8Array): Uint8Array => {
  // struct xfrm_algo_aead: name in 64 bytes, lengths of key and check value in bits, key.
  const bytes = new Uint8Array(72 + key.length);
  bytes.set(new TextEncoder().encode('rfc4106(gcm(aes))'));
  const view = new DataView(bytes.buffer);
  view.setUint32(64, key.length * 8, true);
  view.setUint32(68, 128, true);
  bytes.set(key, 72);
  return bytes;
};

/** struct xfrm_replay_state_esn: words in the bitmap, four counters, size of the window. The kernel adds the bitmap. */
const replayState = (): Uint8Array =>
  new Uint8Array(Uint32Array.of(replayWindow / 32, 0, 0, 0, 0, replayWindow).buffer);

const pokeSpi = (w: MessageWriter, at: number, spi: number): void =>
  w.bytes.set([spi >>> 24, (spi >>> 16) & 255, (spi >>> 8) & 255, spi & 255], at);

/** A state without limits of its life. */
export const newState = (w: MessageWriter, { source, destination, spi, reqid, key }: NewState): void => {
  const start = w.begin(XFRM.NEWSA, 0, stateBytes);
  w.bytes.set(destination, start + stateAt.destination);
  pokeSpi(w, start + stateAt.spi, spi);
  w.poke8(start + stateAt.protocol, XFRM.ESP);
  w.bytes.set(source, start + stateAt.source);
  w.bytes.fill(255, start + stateAt.limits, start + stateAt.limitsEnd);
  w.poke32(start + stateAt.reqid, reqid);
  w.poke8(start + stateAt.family, AF.INET);
  w.poke8(start + stateAt.mode, XFRM.MODE_TRANSPORT);
  w.poke8(start + stateAt.flags, XFRM.STATE_ESN);
  w.data(XFRM.ALG_AEAD, aead(key));
  w.data(XFRM.REPLAY_ESN_VAL, replayState());
  w.end();
};

/** What is enough for a kernel to find a state, and the source, which `ip` names too. */
type StateId = Pick<NewState, 'source' | 'destination' | 'spi'>;

export const deleteState = (w: MessageWriter, { source, destination, spi }: StateId): void => {
  const start = w.begin(XFRM.DELSA, 0, stateIdBytes);
  w.bytes.set(destination, start + stateIdAt.destination);
  pokeSpi(w, start + stateIdAt.spi, spi);
  w.poke8(start + stateIdAt.family, AF.INET);
  w.poke8(start + stateIdAt.protocol, XFRM.ESP);
  const address = new Uint8Array(16);
  address.set(source);
  w.data(XFRM.SRCADDR, address);
  w.end();
};

export const dumpStates = (w: MessageWriter): void => {
  w.begin(XFRM.GETSA, NL.F_DUMP, 0);
  w.end();
};

export interface StateRecord {
  readonly source: string;
  readonly destination: string;
  readonly spi: number;
  readonly reqid: number;
  /** Seconds since 1970. */
  readonly addedAt: number;
}

/** Null for what is no state of ESP between IPv4 addresses, or has no number yet. */
export const decodeState = (reader: MessageReader, { type, start, end }: Message): StateRecord | null => {
  if (type !== XFRM.NEWSA || end - start < stateBytes) return null;
  if (reader.u16(start + stateAt.family) !== AF.INET || reader.u8(start + stateAt.protocol) !== XFRM.ESP) return null;
  const spi = reader.be32(start + stateAt.spi);
  if (spi === 0) return null;
  const addressAt = (at: number): string => formatAddress(reader.slice(start + at, start + at + 4));
  return {
    source: addressAt(stateAt.source),
    destination: addressAt(stateAt.destination),
    spi,
    reqid: reader.u32(start + stateAt.reqid),
    addedAt: reader.u32(start + stateAt.added),
  };
};

export type Direction = 'in' | 'out';
const directions: Readonly<Record<Direction, number>> = { in: XFRM.IN, out: XFRM.OUT };

const pokeSelector = (w: MessageWriter, start: number, port: number): void => {
  w.bytes.set([port >>> 8, port & 255], start + selectorAt.port);
  w.bytes.set([255, 255], start + selectorAt.portMask);
  w.poke8(start + selectorAt.family, AF.INET);
  w.poke8(start + selectorAt.protocol, XFRM.UDP);
};

/** Packets from anywhere to anywhere at this UDP port are to have been encrypted (in), or are to be (out), by a state with this reqid. */
export const newPolicy = (w: MessageWriter, direction: Direction, port: number, reqid: number): void => {
  const start = w.begin(XFRM.NEWPOLICY, 0, policyBytes);
  pokeSelector(w, start, port);
  w.bytes.fill(255, start + policyAt.limits, start + policyAt.limitsEnd);
  w.poke8(start + policyAt.direction, directions[direction]);
  const template = new Uint8Array(templateBytes);
  const view = new DataView(template.buffer);
  template[templateAt.protocol] = XFRM.ESP;
  view.setUint16(templateAt.family, AF.INET, true);
  view.setUint32(templateAt.reqid, reqid, true);
  template[templateAt.mode] = XFRM.MODE_TRANSPORT;
  template.fill(255, templateAt.algorithms);
  w.data(XFRM.TMPL, template);
  w.end();
};

export const deletePolicy = (w: MessageWriter, direction: Direction, port: number): void => {
  const start = w.begin(XFRM.DELPOLICY, 0, policyIdBytes);
  pokeSelector(w, start, port);
  w.poke8(start + policyIdAt.direction, directions[direction]);
  w.end();
};

export const dumpPolicies = (w: MessageWriter): void => {
  w.begin(XFRM.GETPOLICY, NL.F_DUMP, 0);
  w.end();
};

export interface PolicyRecord {
  readonly direction: Direction;
  readonly port: number;
  /** 0 for one that does not want exactly what `newPolicy` wants. */
  readonly reqid: number;
}

/** Null for a policy that is not for all packets to a UDP port. */
export const decodePolicy = (reader: MessageReader, { type, start, end }: Message): PolicyRecord | null => {
  if (type !== XFRM.NEWPOLICY || end - start < policyBytes) return null;
  const isForAll =
    reader.u16(start + selectorAt.family) === AF.INET &&
    reader.u16(start + selectorAt.lengths) === 0 &&
    reader.u8(start + selectorAt.protocol) === XFRM.UDP &&
    reader.be16(start + selectorAt.portMask) === 0xffff &&
    reader.be16(start + selectorAt.sourcePortMask) === 0;
  const code = reader.u8(start + policyAt.direction);
  if (!isForAll || (code !== XFRM.IN && code !== XFRM.OUT)) return null;
  let reqid = 0;
  reader.attributes(start + policyBytes, end, (attribute, from, to) => {
    const isOne = attribute === XFRM.TMPL && to - from === templateBytes;
    if (!isOne || reader.u8(start + policyAt.action) !== 0) return;
    const strict =
      reader.u8(from + templateAt.protocol) === XFRM.ESP &&
      reader.u8(from + templateAt.mode) === XFRM.MODE_TRANSPORT &&
      reader.u8(from + templateAt.optional) === 0;
    if (strict) reqid = reader.u32(from + templateAt.reqid);
  });
  return { direction: code === XFRM.IN ? 'in' : 'out', port: reader.be16(start + selectorAt.port), reqid };
};
