/** Messages over TCP: each with its length before it, 16 bits (RFC 1035 4.2.2). */

export const frame = (message: Buffer): Buffer => {
  const framed = Buffer.allocUnsafe(message.length + 2);
  framed.writeUInt16BE(message.length, 0);
  message.copy(framed, 2);
  return framed;
};

export interface Frames {
  push(chunk: Buffer): void;
  /** The next whole message; undefined while it has not arrived. */
  shift(): Buffer | undefined;
  /** Bytes that have arrived and are not taken. */
  readonly bytes: number;
}

/** Cuts a stream into messages, however it arrives. */
export const createFrames = (): Frames => {
  let chunks: Buffer[] = [];
  let bytes = 0;
  /** All that is there in one piece, once it is needed. */
  const joined = (): Buffer => {
    if (chunks.length !== 1) chunks = [Buffer.concat(chunks)];
    return chunks[0] ?? Buffer.alloc(0);
  };
  return {
    push: (chunk) => {
      chunks.push(chunk);
      bytes += chunk.length;
    },
    shift: () => {
      if (bytes < 2) return undefined;
      // A message that arrives byte by byte is put together at its end: its length is in the first pieces.
      const first = chunks[0] as Buffer;
      const length = (first.length >= 2 ? first : joined()).readUInt16BE(0);
      if (bytes < length + 2) return undefined;
      const all = joined();
      const message = all.subarray(2, length + 2);
      const rest = all.subarray(length + 2);
      chunks = rest.length > 0 ? [rest] : [];
      bytes = rest.length;
      return message;
    },
    get bytes() {
      return bytes;
    },
  };
};
