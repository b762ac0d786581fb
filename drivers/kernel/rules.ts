/** Words for rules: what `nft` calls them, as expressions. Numbers: linux/netfilter/nf_tables.h, nf_conntrack_common.h, linux/in.h. */
import type { ElementSet } from '../objects.ts';
import { elementSets } from '../objects.ts';
import { type Expression, wordBytes } from './expressions.ts';

type Steps = readonly Expression[];

const meta = (key: number, to = 0): Expression => ({ name: 'meta', key, to });
const [MARK, IIFNAME, OIFNAME, NFPROTO, L4PROTO] = [3, 6, 7, 15, 16];

export const iif = meta(IIFNAME);
export const oif = meta(OIFNAME);
/** Both names, one after the other. */
export const iifOif: Steps = [iif, meta(OIFNAME, 4)];

const [NETWORK, TRANSPORT] = [1, 2] as const;
const payload = (base: 1 | 2, offset: number, bytes: number, to: number): Expression => ({
  name: 'payload',
  base,
  offset,
  bytes,
  to,
});

const compare = (value: Iterable<number>, equal = true): Expression => ({ name: 'compare', equal, value: [...value] });
const [zero, loopbackNet] = [wordBytes(0), [127]];

export type FamilyName = 4 | 6;
/** NFPROTO_IPV4, NFPROTO_IPV6; bytes of an address, and where it stands in the header. */
const families = {
  4: { number: 2, bytes: 4, source: 12, destination: 16 },
  6: { number: 10, bytes: 16, source: 8, destination: 24 },
} as const;

export const ofFamily = (family: FamilyName): Steps => [meta(NFPROTO), compare([families[family].number])];

/** An address of 127.0.0.0/8. */
export const fromLoopback: Steps = [...ofFamily(4), payload(NETWORK, families[4].source, 1, 0), compare(loopbackNet)];
export const toLoopback: Steps = [
  ...ofFamily(4),
  payload(NETWORK, families[4].destination, 1, 0),
  compare(loopbackNet),
];

/** ::1, from where and to where the kernel leads nothing on: IPv6 has no route_localnet. */
export const toLoopback6: Steps = [
  ...ofFamily(6),
  payload(NETWORK, families[6].destination, families[6].bytes, 0),
  compare([...new Array<number>(15).fill(0), 1]),
];

/** Protocol and destination port, from word `to` on. Ports stand at the same place in the headers of tcp, udp and sctp. */
const service = (to: number): Steps => [meta(L4PROTO, to), payload(TRANSPORT, 2, 2, to + 1)];

export const protocolPort = (family: FamilyName): Steps => [...ofFamily(family), ...service(0)];

export const addressProtocolPort = (family: FamilyName): Steps => {
  const { destination, bytes } = families[family];
  return [...ofFamily(family), payload(NETWORK, destination, bytes, 0), ...service(bytes / 4)];
};

/** Whether the words from 0 on are in a set, or what they lead to in a map. */
export const inSet = (set: ElementSet): Expression => ({
  name: 'lookup',
  set,
  map: elementSets[set].data.length > 0,
});

/** One of these bits of word 0 is set. */
const any = (bits: number): Steps => [{ name: 'mask', and: bits, xor: 0 }, compare(zero, false)];

const CT = { STATE: 0, STATUS: 2, INVALID: 1, ESTABLISHED: 2, RELATED: 4, DST_NAT: 32 } as const;
const ct = (key: number): Expression => ({ name: 'ct', key, to: 0 });
export const isKnown: Steps = [ct(CT.STATE), ...any(CT.ESTABLISHED | CT.RELATED)];
export const isInvalid: Steps = [ct(CT.STATE), ...any(CT.INVALID)];
/** Its destination was translated when the flow began. */
export const isPublished: Steps = [ct(CT.STATUS), ...any(CT.DST_NAT)];

export const hasMark = (bit: number): Steps => [meta(MARK), ...any(bit)];
export const setMark = (bit: number): Steps => [
  meta(MARK),
  { name: 'mask', and: ~bit >>> 0, xor: bit },
  { name: 'mark' },
];

const RTN_LOCAL = 2;
/** To an address of this host. */
export const toHost: Steps = [{ name: 'fib' }, compare(wordBytes(RTN_LOCAL))];

/** To the address and port that a map has led to. */
export const translate = (family: FamilyName): Expression => ({
  name: 'nat',
  change: 'destination',
  family: families[family].number,
  port: families[family].bytes / 4,
});

/** From the address that a map has led to. */
export const leaveAs = (family: FamilyName): Expression => ({
  name: 'nat',
  change: 'source',
  family: families[family].number,
  port: null,
});

export const masquerade: Expression = { name: 'masquerade' };

const verdict = (code: number, chain?: string): Expression =>
  chain === undefined ? { name: 'verdict', code } : { name: 'verdict', code, chain };
export const drop = verdict(0);
export const accept = verdict(1);
export const jump = (chain: string): Expression => verdict(-3, chain);
export const goTo = (chain: string): Expression => verdict(-4, chain);
export const back = verdict(-5);
