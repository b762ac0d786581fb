/**
 * Writes netlink messages one after the other into one buffer. Everything in netlink is aligned to 4 bytes, so three views of
 * one ArrayBuffer do (native byte order; linux/netlink.h).
 */
import { NL } from './constants.ts';

const align = (bytes: number): number => (bytes + 3) & ~3;
const headerBytes = 16;

/** One counter for all writers: an answer's sequence number then never fits another batch by accident. */
let sequence = 1;

const encoder = new TextEncoder();

export class MessageWriter {
  readonly bytes: Uint8Array;
  readonly capacity: number;
  /** Bytes written. */
  length = 0;
  /** Messages written. */
  count = 0;
  readonly #u16: Uint16Array;
  readonly #u32: Uint32Array;
  readonly #nests: number[] = [];
  #start = 0;

  constructor(capacity: number) {
    const buffer = new ArrayBuffer(align(capacity));
    this.capacity = buffer.byteLength;
    this.bytes = new Uint8Array(buffer);
    this.#u16 = new Uint16Array(buffer);
    this.#u32 = new Uint32Array(buffer);
  }

  reset(): this {
    this.length = 0;
    this.count = 0;
    this.#nests.length = 0;
    return this;
  }

  /** Sequence number of the last message. */
  get sequence(): number {
    return this.#u32[(this.#start >> 2) + 2] ?? 0;
  }

  /** Starts a message with a zeroed family header of `bytes`, and answers where that header starts. */
  begin(type: number, flags: number, bytes: number): number {
    this.#start = this.length;
    this.#room(headerBytes + align(bytes));
    const word = this.#start >> 2;
    this.#u16[(this.#start >> 1) + 2] = type;
    this.#u16[(this.#start >> 1) + 3] = flags | NL.F_REQUEST;
    this.#u32[word + 2] = sequence;
    sequence = (sequence + 1) >>> 0 || 1;
    this.#u32[word + 3] = 0;
    this.length = this.#start + headerBytes + align(bytes);
    this.#u32.fill(0, word + 4, this.length >> 2);
    this.count++;
    return this.#start + headerBytes;
  }

  end(): void {
    this.#u32[this.#start >> 2] = this.length - this.#start;
  }

  /** Adds flags to the last message. */
  flag(flags: number): void {
    const at = (this.#start >> 1) + 3;
    this.#u16[at] = (this.#u16[at] ?? 0) | flags;
  }

  /** Fields of a family header, by absolute offset. */
  poke8(offset: number, value: number): void {
    this.bytes[offset] = value;
  }

  poke32(offset: number, value: number): void {
    this.#u32[offset >> 2] = value;
  }

  /** Zeroed bytes inside a nest that hold a struct instead of attributes. */
  gap(bytes: number): number {
    const at = this.length;
    this.#room(align(bytes));
    this.length += align(bytes);
    this.#u32.fill(0, at >> 2, this.length >> 2);
    return at;
  }

  u8(type: number, value: number): void {
    this.#small(type, 5, value & 0xff);
  }

  u16(type: number, value: number): void {
    this.#small(type, 6, value & 0xffff);
  }

  u32(type: number, value: number): void {
    this.#small(type, 8, value);
  }

  /** Big-endian, as all numbers of netfilter are. */
  be32(type: number, value: number): void {
    this.#small(type, 8, ((value & 255) << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24));
  }

  data(type: number, data: Uint8Array): void {
    const at = this.#attribute(type, data.length);
    this.bytes.set(data, at);
  }

  /** Text and its zero byte: nearly always ASCII. */
  text(type: number, text: string): void {
    for (let index = 0; index < text.length; index++) {
      // one character is not one byte: cut to a byte it would be another name
      if (text.charCodeAt(index) > 0x7f) {
        this.data(type, encoder.encode(`${text}\0`));
        return;
      }
    }
    const at = this.#attribute(type, text.length + 1);
    for (let index = 0; index < text.length; index++) this.bytes[at + index] = text.charCodeAt(index);
  }

  openNest(type: number): void {
    const at = this.length;
    this.#room(4);
    this.#u16[(at >> 1) + 1] = type | NL.NESTED;
    this.length = at + 4;
    this.#nests.push(at);
  }

  closeNest(): void {
    const at = this.#nests.pop();
    if (at === undefined) throw new RangeError('closeNest without openNest');
    // struct nlattr holds its length in 16 bits.
    if (this.length - at > 0xffff) throw new RangeError('netlink nest over 65535 bytes');
    this.#u16[at >> 1] = this.length - at;
  }

  #small(type: number, length: number, value: number): void {
    const at = this.length;
    this.#room(8);
    this.#u16[at >> 1] = length;
    this.#u16[(at >> 1) + 1] = type;
    this.#u32[(at >> 2) + 1] = value;
    this.length = at + 8;
  }

  /** Head and zeroed padding of an attribute; answers where its data goes. */
  #attribute(type: number, bytes: number): number {
    const at = this.length;
    const total = 4 + align(bytes);
    this.#room(total);
    this.length = at + total;
    this.#u32[(this.length >> 2) - 1] = 0;
    this.#u16[at >> 1] = bytes + 4;
    this.#u16[(at >> 1) + 1] = type;
    return at + 4;
  }

  #room(bytes: number): void {
    if (this.length + bytes > this.capacity) throw new RangeError('netlink batch over its buffer');
  }
}
