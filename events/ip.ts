/**
 * IPv4 and IPv6 addresses and subnets as numbers, and back to the one text each of them has.
 *
 * Facts carry canonical text only (dotted decimal, RFC 5952), so equal addresses are equal strings; arithmetic is done on bigint
 * for both families, which keeps one code path. Node's `net` would do a part of this, but events/ imports nothing.
 */

export type Family = 4 | 6;

export interface Ip {
  readonly family: Family;
  readonly value: bigint;
}

/** A subnet: `base` has no bits set behind `prefix`. */
export interface Cidr {
  readonly family: Family;
  readonly base: bigint;
  readonly prefix: number;
}

export interface ParsedCidr {
  readonly cidr: Cidr;
  /** The address as it was written: `10.1.2.3` in `10.1.2.3/24`. */
  readonly address: Ip;
  /** The text names an address inside the subnet and not the subnet itself. */
  readonly hasHostBits: boolean;
  /** The text is the one canonical spelling of `cidr`. */
  readonly isCanonical: boolean;
}

export interface AddressRange {
  readonly first: bigint;
  readonly last: bigint;
}

export const FAMILY_BITS = { 4: 32, 6: 128 } as const;

/** The address behind a text, or null. Zone suffixes (`%eth0`), leading zeros and short forms (`10.1`) are not addresses here. */
export function parseIp(text: string): Ip | null {
  if (text.includes(':')) {
    const value = parseIpv6(text);
    return value === null ? null : { family: 6, value };
  }
  const number = ipv4ToNumber(text);
  return number < 0 ? null : { family: 4, value: BigInt(number) };
}

/** The canonical text of an address. */
export function formatIp(family: Family, value: bigint): string {
  return family === 4 ? numberToIpv4(Number(value)) : formatIpv6(value);
}

/** Dotted decimal to an unsigned 32-bit number, -1 when it is none. Without bigint, since folds parse one for every endpoint. */
export function ipv4ToNumber(text: string): number {
  const length = text.length;
  if (length < 7 || length > 15) return -1;
  let value = 0;
  let octet = 0;
  let digits = 0;
  let dots = 0;
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code === 46) {
      if (digits === 0 || ++dots > 3) return -1;
      value = value * 256 + octet;
      octet = 0;
      digits = 0;
      continue;
    }
    // A leading zero means octal to some parsers and decimal to others, so it is refused rather than guessed.
    if (code < 48 || code > 57 || (digits > 0 && octet === 0)) return -1;
    octet = octet * 10 + code - 48;
    digits += 1;
    if (octet > 255) return -1;
  }
  return dots === 3 && digits > 0 ? value * 256 + octet : -1;
}

/** The reverse of `ipv4ToNumber`. */
export function numberToIpv4(value: number): string {
  return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
}

function parseIpv6(text: string): bigint | null {
  if (text.length < 2 || text.length > 45) return null;
  const gap = text.indexOf('::');
  const head = groupsOf(gap < 0 ? text : text.slice(0, gap), gap < 0);
  const tail = gap < 0 ? [] : groupsOf(text.slice(gap + 2), true);
  if (head === null || tail === null) return null;
  const missing = 8 - head.length - tail.length;
  // `::` stands for one group at least, as in inet_pton.
  if (gap < 0 ? missing !== 0 : missing < 1) return null;
  let value = 0n;
  for (const group of [...head, ...new Array<number>(missing).fill(0), ...tail]) value = (value << 16n) | BigInt(group);
  return value;
}

/** The 16-bit groups of one side of `::`; only the end of an address may be written as IPv4. */
function groupsOf(text: string, atEnd: boolean): number[] | null {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    if (atEnd && index === parts.length - 1 && part.includes('.')) {
      const number = ipv4ToNumber(part);
      if (number < 0) return null;
      groups.push(number >>> 16, number & 0xffff);
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      groups.push(Number.parseInt(part, 16));
    } else {
      return null;
    }
  }
  return groups;
}

function formatIpv6(value: bigint): string {
  if (value >> 32n === 0xffffn) return `::ffff:${numberToIpv4(Number(value & 0xffffffffn))}`;
  const groups: number[] = [];
  for (let shift = 96n; shift >= 0n; shift -= 32n) {
    const word = Number(BigInt.asUintN(32, value >> shift));
    groups.push(word >>> 16, word & 0xffff);
  }
  const gap = longestZeroRun(groups);
  const text = (part: readonly number[]) => part.map((group) => group.toString(16)).join(':');
  if (gap.length < 2) return text(groups);
  return `${text(groups.slice(0, gap.start))}::${text(groups.slice(gap.start + gap.length))}`;
}

/** RFC 5952 4.2: the longest run of zero groups, the first of equal ones. */
function longestZeroRun(groups: readonly number[]): { readonly start: number; readonly length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  for (const [index, group] of groups.entries()) {
    if (group !== 0) start = index + 1;
    else if (index + 1 - start > best.length) best = { start, length: index + 1 - start };
  }
  return best;
}

/** The subnet behind `address/prefix`, or null; host bits are reported, not refused: an interface address has them. */
export function parseCidr(text: string): ParsedCidr | null {
  const slash = text.indexOf('/');
  const address = slash < 0 ? null : parseIp(text.slice(0, slash));
  const digits = text.slice(slash + 1);
  if (address === null || !/^(0|[1-9][0-9]{0,2})$/.test(digits)) return null;
  const prefix = Number(digits);
  if (prefix > FAMILY_BITS[address.family]) return null;
  const cidr = cidrOf(address, prefix);
  return { cidr, address, hasHostBits: cidr.base !== address.value, isCanonical: formatCidr(cidr) === text };
}

/** The subnet that a text names exactly, or null. */
export function parseSubnet(text: string): Cidr | null {
  const parsed = parseCidr(text);
  return parsed === null || parsed.hasHostBits ? null : parsed.cidr;
}

export function formatCidr(cidr: Cidr): string {
  return `${formatIp(cidr.family, cidr.base)}/${cidr.prefix}`;
}

/** The subnet of this prefix length that holds the address. */
export function cidrOf(address: Ip, prefix: number): Cidr {
  const hostBits = BigInt(FAMILY_BITS[address.family] - prefix);
  return { family: address.family, base: (address.value >> hostBits) << hostBits, prefix };
}

/** How many addresses the subnet has, reserved ones included. */
function addressCount(cidr: Cidr): bigint {
  return 1n << BigInt(FAMILY_BITS[cidr.family] - cidr.prefix);
}

export function lastAddress(cidr: Cidr): bigint {
  return cidr.base + addressCount(cidr) - 1n;
}

export function contains(cidr: Cidr, address: Ip): boolean {
  const hostBits = BigInt(FAMILY_BITS[cidr.family] - cidr.prefix);
  return cidr.family === address.family && address.value >> hostBits === cidr.base >> hostBits;
}

export function containsCidr(outer: Cidr, inner: Cidr): boolean {
  return inner.prefix >= outer.prefix && contains(outer, { family: inner.family, value: inner.base });
}

export function overlaps(a: Cidr, b: Cidr): boolean {
  return containsCidr(a, b) || containsCidr(b, a);
}

/** The network address of a subnet (IPv6: its router anycast address, RFC 4291 2.6.1), or null where none is set apart. */
export function networkAddress(cidr: Cidr): bigint | null {
  // Two addresses or one are a point-to-point link: all usable (RFC 3021, RFC 6164).
  return FAMILY_BITS[cidr.family] - cidr.prefix < 2 ? null : cidr.base;
}

/** The directed broadcast address, or null: IPv6 has none. */
export function broadcastAddress(cidr: Cidr): bigint | null {
  return cidr.family === 6 || networkAddress(cidr) === null ? null : lastAddress(cidr);
}

/** The addresses that hosts may have. */
export function hostRange(cidr: Cidr): AddressRange {
  const first = networkAddress(cidr) === null ? cidr.base : cidr.base + 1n;
  const last = broadcastAddress(cidr) === null ? lastAddress(cidr) : lastAddress(cidr) - 1n;
  return { first, last };
}

export function hostCount(cidr: Cidr): bigint {
  const { first, last } = hostRange(cidr);
  return last - first + 1n;
}

/** Addresses with a meaning of their own; null is an ordinary unicast address. */
export type IpClass = 'unspecified' | 'loopback' | 'link-local' | 'multicast' | 'broadcast' | 'v4-mapped';

const specialBlocks: readonly (readonly [IpClass, string])[] = [
  ['unspecified', '0.0.0.0/8'],
  ['loopback', '127.0.0.0/8'],
  ['link-local', '169.254.0.0/16'],
  ['multicast', '224.0.0.0/4'],
  ['broadcast', '255.255.255.255/32'],
  ['unspecified', '::/128'],
  ['loopback', '::1/128'],
  ['v4-mapped', '::ffff:0.0.0.0/96'],
  ['link-local', 'fe80::/10'],
  ['multicast', 'ff00::/8'],
];

const special = specialBlocks.flatMap(([name, text]) => {
  const cidr = parseSubnet(text);
  return cidr === null ? [] : [{ name, cidr }];
});

export function classOf(address: Ip): IpClass | null {
  return special.find(({ cidr }) => contains(cidr, address))?.name ?? null;
}

/** The classes that a subnet lies in or reaches into. */
export function classesOf(subnet: Cidr): readonly IpClass[] {
  return special.filter(({ cidr }) => overlaps(cidr, subnet)).map(({ name }) => name);
}
