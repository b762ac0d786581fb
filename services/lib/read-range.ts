/** A stretch of a stream, read at the caller's pace. */
import type { Message, Reader, Stream } from './stream.ts';

/** As much is read ahead of the caller, in bytes. */
const AHEAD_BYTES_MAX = 8 * 1024 * 1024;
/** Beside its body a message keeps its headers and itself. */
const MESSAGE_BYTES = 512;

class Ahead {
  readonly #stream: Stream;
  readonly #until: number;
  #waiting: Message[] = [];
  #bytes = 0;
  /** The first position that is not read yet. */
  #next: number;
  /** Null while enough is read ahead, and once everything is read. */
  #reader: Reader | null = null;
  #failure: { readonly reason: unknown } | null = null;
  #wake: () => void = () => {};

  constructor(stream: Stream, from: number, until: number) {
    this.#stream = stream;
    this.#next = from;
    this.#until = until;
  }

  /** What has come; empty once everything is taken. @throws what ended the read */
  async take(): Promise<readonly Message[]> {
    while (this.#waiting.length === 0 && this.#next <= this.#until) {
      if (this.#failure) throw this.#failure.reason;
      this.#reader ??= this.#read();
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
    const taken = this.#waiting;
    this.#waiting = [];
    this.#bytes = 0;
    return taken;
  }

  async stop(): Promise<void> {
    const reader = this.#reader;
    this.#reader = null;
    await reader?.stop();
  }

  #read(): Reader {
    const reader = this.#stream.read({ from: this.#next, until: this.#until }, (message) => {
      if (this.#reader === reader) this.#receive(message);
    });
    reader.closed.catch((reason: unknown) => {
      if (this.#reader !== reader) return;
      this.#failure = { reason };
      this.#wake();
    });
    return reader;
  }

  #receive(message: Message): void {
    if (message.position <= this.#until) {
      this.#waiting.push(message);
      this.#bytes += message.body.length + MESSAGE_BYTES;
    }
    this.#next = message.position + 1;
    // Let go of the reader, and read on from here once the caller has taken what there is.
    if (this.#next > this.#until || this.#bytes >= AHEAD_BYTES_MAX) void this.stop();
    this.#wake();
  }
}

/**
 * The messages from `from` to `until`, both included, in order, in batches as they come; what the stream does not hold yet is waited for.
 * What is read ahead of the caller does not grow without bound.
 */
export const readRange = async function* (
  stream: Stream,
  from: number,
  until: number,
): AsyncGenerator<readonly Message[], void, void> {
  const ahead = new Ahead(stream, from, until);
  try {
    for (let batch = await ahead.take(); batch.length > 0; batch = await ahead.take()) yield batch;
  } finally {
    await ahead.stop();
  }
};
