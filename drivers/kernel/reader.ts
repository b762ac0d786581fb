/** Reads netlink messages. Lengths are the sender's claim: nothing is read past the bytes that were received. */
import { NL } from './constants.ts';

const align = (bytes: number): number => (bytes + 3) & ~3;
const decoder = new TextDecoder();

/** A window on one message (or on one nest of it): its attributes lie between `start` and `end`. */
export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** Where the payload starts: the family header, then attributes. */
  readonly start: number;
  readonly end: number;
}

export class MessageReader {
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u8(offset: number): number {
    return this.#view.getUint8(offset);
  }

  u16(offset: number): number {
    return this.#view.getUint16(offset, true);
  }

  u32(offset: number): number {
    return this.#view.getUint32(offset, true);
  }

  i32(offset: number): number {
    return this.#view.getInt32(offset, true);
  }

  be16(offset: number): number {
    return this.#view.getUint16(offset, false);
  }

  be32(offset: number): number {
    return this.#view.getUint32(offset, false);
  }

  /** A copy: the buffer is used again by the next receive. */
  slice(start: number, end: number): Uint8Array {
    return this.bytes.slice(start, end);
  }

  /** Text up to its zero byte, or to `end` when there is none. */
  text(start: number, end: number): string {
    const zero = this.bytes.indexOf(0, start);
    return decoder.decode(this.bytes.subarray(start, zero < 0 || zero > end ? end : zero));
  }

  /** The messages in the first `length` bytes; stops at the first that does not fit. */
  *messages(length: number): Generator<Message> {
    const limit = Math.min(length, this.bytes.length);
    for (let at = 0; at + 16 <= limit; ) {
      const size = this.u32(at);
      if (size < 16 || at + size > limit) return;
      yield {
        type: this.u16(at + 4),
        flags: this.u16(at + 6),
        sequence: this.u32(at + 8),
        start: at + 16,
        end: at + size,
      };
      at += align(size);
    }
  }

  /** Calls back with each attribute between two offsets: its type without flags, and where its data starts and ends. */
  attributes(start: number, end: number, visit: (type: number, start: number, end: number) => void): void {
    const limit = Math.min(end, this.bytes.length);
    for (let at = start; at + 4 <= limit; ) {
      const size = this.u16(at);
      if (size < 4 || at + size > limit) return;
      visit(this.u16(at + 2) & NL.TYPE_MASK, at + 4, at + size);
      at += align(size);
    }
  }
}

/** What a kernel says about one message of a batch. */
export interface NetlinkError {
  /** Positive; 0 is an acknowledgement. */
  readonly errno: number;
  readonly sequence: number;
  /** The extended-ack text, or empty. */
  readonly text: string;
}

/** Reads an NLMSG_ERROR: errno, the header of the refused message (all of it unless capped), extended-ack attributes. */
export const readError = (reader: MessageReader, message: Message): NetlinkError => {
  const { start, end, flags } = message;
  if (start + 20 > end) return { errno: 71, sequence: message.sequence, text: 'truncated acknowledgement' }; // EPROTO
  let text = '';
  if (flags & NL.F_ACK_TLVS) {
    const quoted = flags & NL.F_CAPPED ? 16 : reader.u32(start + 4);
    // more than there is: no attributes then
    reader.attributes(start + 4 + (quoted > end - start ? end : align(quoted)), end, (type, from, to) => {
      if (type === NL.ERRATTR_MSG) text = reader.text(from, to) + text;
      else if (type === NL.ERRATTR_OFFS && to - from === 4) text += ` @offset ${reader.u32(from)}`;
    });
  }
  return { errno: -reader.i32(start), sequence: reader.u32(start + 12), text: text.trim() };
};
