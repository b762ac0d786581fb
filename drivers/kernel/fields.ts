/** Fields of nftables elements between their text and their bytes: each in registers of its own, padded with zeros to 4 bytes. */
import { isIPv4, isIPv6 } from 'node:net';
import type { ElementField } from '../objects.ts';
import { formatAddress, parseAddress } from './address.ts';
import { KernelFailure } from './failure.ts';

/** Numbers of the transport protocols that ports are published for (IANA, netinet/in.h). */
export const protocols: Readonly<Record<string, number>> = { tcp: 6, udp: 17, sctp: 132 };

const protocolNames = new Map(Object.entries(protocols).map(([name, number]) => [number, name]));

interface FieldType {
  /** Number of the type in nft (datatype.h); for `nft` only, the kernel does not look at it. */
  readonly type: number;
  readonly bytes: number;
  /** Whether this text can be such a field. */
  valid(text: string): boolean;
  encode(text: string): Uint8Array;
  decode(bytes: Uint8Array): string;
}

const decoder = new TextDecoder();

const decodeName = (bytes: Uint8Array): string => {
  const zero = bytes.indexOf(0);
  return decoder.decode(zero < 0 ? bytes : bytes.subarray(0, zero));
};

const encodeName = (text: string): Uint8Array => {
  const bytes = new Uint8Array(16);
  for (let index = 0; index < text.length; index++) bytes[index] = text.charCodeAt(index);
  return bytes;
};

const fieldTypes: Readonly<Record<ElementField, FieldType>> = {
  // IFNAMSIZ; a longer name would run into the next field.
  interface: {
    type: 41,
    bytes: 16,
    valid: (text) => text !== '' && text.length < 16,
    encode: encodeName,
    decode: decodeName,
  },
  protocol: {
    type: 12,
    bytes: 1,
    valid: (text) => Object.hasOwn(protocols, text),
    encode: (text) => Uint8Array.of(protocols[text] ?? 0),
    decode: ([number = 0]) => protocolNames.get(number) ?? String(number),
  },
  port: {
    type: 13,
    bytes: 2,
    valid: (text) => /^[1-9]\d{0,4}$/.test(text) && Number(text) <= 0xffff,
    encode: (text) => Uint8Array.of(Number(text) >> 8, Number(text) & 255),
    decode: ([high = 0, low = 0]) => String((high << 8) | low),
  },
  ipv4: { type: 7, bytes: 4, valid: isIPv4, encode: parseAddress, decode: formatAddress },
  ipv6: { type: 8, bytes: 16, valid: isIPv6, encode: parseAddress, decode: formatAddress },
};

const registers = (field: ElementField): number => (fieldTypes[field].bytes + 3) & ~3;

export const widthOf = (fields: readonly ElementField[]): number =>
  fields.reduce((width, field) => width + registers(field), 0);

/** The type of a concatenation: 6 bits for each of its fields (nftables' datatype.h, TYPE_BITS). */
export const typeOf = (fields: readonly ElementField[]): number =>
  fields.reduce((type, field) => (type << 6) | fieldTypes[field].type, 0);

/** @throws KernelFailure for a text that is no such field */
export const encodeFields = (fields: readonly ElementField[], texts: readonly string[]): Uint8Array => {
  if (texts.length !== fields.length) {
    throw new KernelFailure('KERNEL_ERROR', `${texts.length} fields where there are ${fields.length}`, 'EINVAL');
  }
  const bytes = new Uint8Array(widthOf(fields));
  let at = 0;
  fields.forEach((field, index) => {
    const text = texts[index] ?? '';
    if (!fieldTypes[field].valid(text)) throw new KernelFailure('KERNEL_ERROR', `'${text}' is no ${field}`, 'EINVAL');
    bytes.set(fieldTypes[field].encode(text), at);
    at += registers(field);
  });
  return bytes;
};

/** Null for bytes of another length: an element of a set that another version of us has made. */
export const decodeFields = (fields: readonly ElementField[], bytes: Uint8Array): readonly string[] | null => {
  if (bytes.length !== widthOf(fields)) return null;
  let at = 0;
  return fields.map((field) => {
    const from = at;
    at += registers(field);
    return fieldTypes[field].decode(bytes.subarray(from, from + fieldTypes[field].bytes));
  });
};
