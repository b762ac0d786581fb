/**
 * The steps of nf_tables rules (linux/netfilter/nf_tables.h). Registers are counted in words of 4 bytes, 0 to 15; a value longer
 * than that lies in as many words as it needs.
 */
import type { MessageWriter } from './writer.ts';

export type Expression =
  /** Something about the packet or its flow, into words from `to` on. */
  | { readonly name: 'meta' | 'ct'; readonly key: number; readonly to: number }
  /** Bytes of a header: base 1 is the network's, 2 the transport's. */
  | {
      readonly name: 'payload';
      readonly base: 1 | 2;
      readonly offset: number;
      readonly bytes: number;
      readonly to: number;
    }
  /** What the destination address is to this host (RTN_*), into word 0. */
  | { readonly name: 'fib' }
  /** Word 0, and then exclusive-or'ed. */
  | { readonly name: 'mask'; readonly and: number; readonly xor: number }
  /** Goes on when the first bytes of word 0 are these, or when they are not. */
  | { readonly name: 'compare'; readonly equal: boolean; readonly value: readonly number[] }
  /** Goes on when the set has the words from 0 on; with a map, what they lead to is in them afterwards. */
  | { readonly name: 'lookup'; readonly set: string; readonly map: boolean }
  /** These bytes, into words from `to` on. */
  | { readonly name: 'value'; readonly value: readonly number[]; readonly to: number }
  /** Word 0 becomes the mark of the packet. */
  | { readonly name: 'mark' }
  /** Source or destination become the address in word 0, and the port in word `port` unless that is null. */
  | {
      readonly name: 'nat';
      readonly change: 'source' | 'destination';
      readonly family: number;
      readonly port: number | null;
    }
  | { readonly name: 'masquerade' }
  | { readonly name: 'verdict'; readonly code: number; readonly chain?: string };

/** NFT_REG32_00 */
const register = (word: number): number => 8 + word;

const META_MARK = 3;
const FIB = { ADDRTYPE: 3, DADDR: 2 } as const;

/** A nest that holds one value: NFTA_DATA_VALUE. */
export const putValue = (w: MessageWriter, type: number, data: Uint8Array): void => {
  w.openNest(type);
  w.data(1, data);
  w.closeNest();
};

/** In the byte order of the machine, as marks and bits of conntrack are. */
export const wordBytes = (value: number): Uint8Array => new Uint8Array(new Uint32Array([value]).buffer);

const expression = (w: MessageWriter, name: string, body: () => void): void => {
  w.openNest(1);
  w.text(1, name);
  w.openNest(2);
  body();
  w.closeNest();
  w.closeNest();
};

/** Attributes that are numbers, by their types. */
const numbers = (w: MessageWriter, attributes: Readonly<Record<number, number>>): void => {
  for (const [type, value] of Object.entries(attributes)) w.be32(Number(type), value);
};

const putVerdict = (w: MessageWriter, code: number, chain: string | undefined): void => {
  w.be32(1, 0);
  w.openNest(2);
  w.openNest(2);
  w.be32(1, code);
  if (chain !== undefined) w.text(2, chain);
  w.closeNest();
  w.closeNest();
};

type Of<N extends Expression['name']> = Extract<Expression, { readonly name: N }>;

const putLookup = (w: MessageWriter, step: Of<'lookup'>): void => {
  w.text(1, step.set);
  w.be32(2, register(0));
  if (step.map) w.be32(3, register(0));
};

const putMask = (w: MessageWriter, step: Of<'mask'>): void => {
  numbers(w, { 1: register(0), 2: register(0), 3: 4 });
  putValue(w, 4, wordBytes(step.and));
  putValue(w, 5, wordBytes(step.xor));
};

const putNat = (w: MessageWriter, step: Of<'nat'>): void => {
  numbers(w, { 1: step.change === 'source' ? 0 : 1, 2: step.family, 3: register(0) });
  if (step.port !== null) w.be32(5, register(step.port));
};

const putCompare = (w: MessageWriter, step: Of<'compare'>): void => {
  numbers(w, { 1: register(0), 2: step.equal ? 0 : 1 });
  putValue(w, 3, Uint8Array.from(step.value));
};

export const putExpression = (w: MessageWriter, step: Expression): void => {
  switch (step.name) {
    case 'meta':
    case 'ct':
      expression(w, step.name, () => numbers(w, { 1: register(step.to), 2: step.key }));
      return;
    case 'payload':
      expression(w, 'payload', () => numbers(w, { 1: register(step.to), 2: step.base, 3: step.offset, 4: step.bytes }));
      return;
    case 'fib':
      expression(w, 'fib', () => numbers(w, { 1: register(0), 2: FIB.ADDRTYPE, 3: FIB.DADDR }));
      return;
    case 'mask':
      expression(w, 'bitwise', () => putMask(w, step));
      return;
    case 'compare':
      expression(w, 'cmp', () => putCompare(w, step));
      return;
    case 'lookup':
      expression(w, 'lookup', () => putLookup(w, step));
      return;
    case 'value':
      expression(w, 'immediate', () => {
        w.be32(1, register(step.to));
        putValue(w, 2, Uint8Array.from(step.value));
      });
      return;
    case 'mark':
      expression(w, 'meta', () => numbers(w, { 2: META_MARK, 3: register(0) }));
      return;
    case 'nat':
      expression(w, 'nat', () => putNat(w, step));
      return;
    case 'masquerade':
      expression(w, 'masq', () => undefined);
      return;
    case 'verdict':
      expression(w, 'immediate', () => putVerdict(w, step.code, step.chain));
      return;
    default:
      step satisfies never;
  }
};
