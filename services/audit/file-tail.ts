/** Appends to a file while what comes next is made. */
import type { FileHandle } from 'node:fs/promises';

/** As much may wait to be written: whoever makes more of it waits as well. */
const WAITING_BYTES = 4 * 1024 * 1024;

/**
 * Two stretches of memory in turns: one is written while the other takes what comes. So all that waits goes in one call, since a busy event
 * loop hears only now and then that something was written; and none is asked for anew, which the kernel would clear page by page.
 * Everything is written in its order: who is killed leaves a beginning of the whole.
 */
export class FileTail {
  readonly #handle: FileHandle;
  /** How far the file is written. */
  end: number;
  #filling: Buffer;
  #other: Buffer;
  /** How much of the one that is being filled waits. */
  #length = 0;
  #writing: Promise<void> | null = null;

  constructor(handle: FileHandle, at: number, waitingBytes: number = WAITING_BYTES) {
    this.#handle = handle;
    this.end = at;
    this.#filling = Buffer.allocUnsafeSlow(waitingBytes);
    this.#other = Buffer.allocUnsafeSlow(waitingBytes);
  }

  /** Copies the piece; resolves when there is room for the next. @throws what the file system says, of this one or one before */
  async append(piece: Uint8Array): Promise<void> {
    if (piece.length === 0) return;
    if (this.#length + piece.length > this.#filling.length) await this.written();
    if (piece.length > this.#filling.length) this.#filling = Buffer.allocUnsafeSlow(2 * piece.length);
    this.#filling.set(piece, this.#length);
    this.#length += piece.length;
    if (this.#writing !== null) return;
    this.#writing = this.#write();
    // What fails is thrown where it is waited for.
    this.#writing.catch(() => {});
  }

  /** Resolves when everything is in the file. @throws what the file system says */
  async written(): Promise<void> {
    await this.#writing;
  }

  async #write(): Promise<void> {
    while (this.#length > 0) {
      const [full, end] = [this.#filling, this.end + this.#length];
      [this.#filling, this.#other] = [this.#other, full];
      const start = this.end;
      this.#length = 0;
      // A disk that is nearly full takes a part, and says why with the next.
      while (this.end < end)
        this.end += (await this.#handle.write(full, this.end - start, end - this.end, this.end)).bytesWritten;
    }
    this.#writing = null;
  }
}
