/** Addresses between their canonical text and their bytes. */

/** Every byte as two digits: tables of ten thousands of addresses are read and written. */
const hex = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** Value of a hexadecimal digit by its character code, of either case. */
const digit = (code: number): number => (code < 58 ? code - 48 : (code | 32) - 87);

/** The 6 bytes of a hardware address that is already known to be valid: two digits each. */
export const parseMac = (text: string): Uint8Array => {
  const bytes = new Uint8Array(6);
  for (let at = 0; at < 6; at++) {
    bytes[at] = (digit(text.charCodeAt(3 * at)) << 4) | digit(text.charCodeAt(3 * at + 1));
  }
  return bytes;
};

export const formatMac = (bytes: Uint8Array): string => {
  let text = '';
  for (let at = 0; at < bytes.length; at++) text += at === 0 ? hex[bytes[at] ?? 0] : `:${hex[bytes[at] ?? 0]}`;
  return text;
};

const groups = (text: string): number[] =>
  text === '' ? [] : text.split(':').map((part) => Number.parseInt(part, 16));

const parseDotted = (text: string): Uint8Array => {
  const bytes = new Uint8Array(4);
  for (let at = 0, byte = 0; at < text.length; at++) {
    const digit = text.charCodeAt(at) - 48;
    if (digit < 0) byte++;
    else bytes[byte] = (bytes[byte] ?? 0) * 10 + digit;
  }
  return bytes;
};

/** The 4 or 16 bytes of an address that is already known to be valid. */
export const parseAddress = (text: string): Uint8Array => {
  if (!text.includes(':')) return parseDotted(text);
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  const plain = dotted
    ? `${dotted[1]}${((Number(dotted[2]) << 8) | Number(dotted[3])).toString(16)}:${((Number(dotted[4]) << 8) | Number(dotted[5])).toString(16)}`
    : text;
  const [head = '', tail] = plain.split('::');
  const [left, right] = [groups(head), groups(tail ?? '')];
  const words = [...left, ...new Array<number>(Math.max(0, 8 - left.length - right.length)).fill(0), ...right];
  return Uint8Array.from(words.flatMap((word) => [word >> 8, word & 255]));
};

/** Start and length of the longest run of zero words, the leftmost of equals (RFC 5952, 4.2). */
const longestZeros = (words: readonly number[]): readonly [number, number] => {
  let best: readonly [number, number] = [0, 0];
  for (let start = 0; start < words.length; start++) {
    let end = start;
    while (words[end] === 0) end++;
    if (end - start > best[1]) best = [start, end - start];
    start = Math.max(start, end - 1);
  }
  return best;
};

/** Canonical text: dotted, or RFC 5952. */
export const formatAddress = (bytes: Uint8Array): string => {
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`;
  const words = Array.from({ length: 8 }, (_, index) => ((bytes[2 * index] ?? 0) << 8) | (bytes[2 * index + 1] ?? 0));
  const text = (part: readonly number[]): string => part.map((word) => word.toString(16)).join(':');
  const [start, length] = longestZeros(words);
  return length < 2 ? text(words) : `${text(words.slice(0, start))}::${text(words.slice(start + length))}`;
};

export interface Prefix {
  readonly address: Uint8Array;
  readonly length: number;
}

export const parseCidr = (text: string): Prefix => {
  const slash = text.indexOf('/');
  return { address: parseAddress(text.slice(0, slash)), length: Number(text.slice(slash + 1)) };
};

export const formatCidr = (prefix: Prefix): string => `${formatAddress(prefix.address)}/${prefix.length}`;

/** The last address of an IPv4 prefix. */
export const broadcastOf = ({ address, length }: Prefix): Uint8Array =>
  address.map((byte, index) => byte | (0xff >> Math.min(8, Math.max(0, length - 8 * index))));
