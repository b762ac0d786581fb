/** Appends to a file while what comes next is made. */
import type { FileHandle } from 'node:fs/promises';

/** Of what waits to be written: whoever makes more of it waits as well. */
const WAITING_BYTES_MAX = 16 * 1024 * 1024;

/**
 * Pieces are written in their order, and all that wait at once in one call: a busy event loop hears only now and then that something was
 * written. Who is killed leaves a beginning of the whole.
 */
export class FileTail {
  readonly #handle: FileHandle;
  /** Where the next piece goes. */
  end: number;
  #waiting: Uint8Array[] = [];
  #bytes = 0;
  #writing: Promise<void> | null = null;

  constructor(handle: FileHandle, at: number) {
    this.#handle = handle;
    this.end = at;
  }

  /** Takes the piece; resolves when there is room for the next. @throws what the file system says, of this one or one before */
  async append(piece: Uint8Array): Promise<void> {
    this.#waiting.push(piece);
    this.#bytes += piece.length;
    if (this.#writing === null) {
      this.#writing = this.#write();
      // What fails is thrown where it is waited for.
      this.#writing.catch(() => {});
    }
    if (this.#bytes > WAITING_BYTES_MAX) await this.#writing;
  }

  /** Resolves when everything is in the file. @throws what the file system says */
  async written(): Promise<void> {
    await this.#writing;
  }

  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      const pieces = this.#waiting;
      const end = this.end + this.#bytes;
      this.#waiting = [];
      this.#bytes = 0;
      this.end += (await this.#handle.writev(pieces, this.end)).bytesWritten;
      // A disk that is nearly full takes a part, and says why with the next.
      if (this.end < end) await this.#writeLast(Buffer.concat(pieces), end);
    }
    this.#writing = null;
  }

  async #writeLast(bytes: Uint8Array, end: number): Promise<void> {
    while (this.end < end) {
      const left = end - this.end;
      this.end += (await this.#handle.write(bytes, bytes.length - left, left, this.end)).bytesWritten;
    }
  }
}
