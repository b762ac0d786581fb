/** Text that is being written, as bytes: whole lines, handed on when there are enough of them. */

/** Of one UTF-16 code unit in UTF-8. */
const UTF8_BYTES_MAX = 3;
const FIRST_BYTES = 320 * 1024;

export class Piece {
  length = 0;
  #bytes = Buffer.allocUnsafe(FIRST_BYTES);

  text(text: string): void {
    this.#reserve(text.length * UTF8_BYTES_MAX);
    this.length += this.#bytes.write(text, this.length);
  }

  /** A text of nothing but ASCII, which is copied as it is. */
  ascii(text: string): void {
    this.#reserve(text.length);
    this.length += this.#bytes.write(text, this.length, 'latin1');
  }

  /** What was written, good until something is written again; the next one begins empty. */
  take(): Uint8Array {
    const taken = this.#bytes.subarray(0, this.length);
    this.length = 0;
    return taken;
  }

  #reserve(more: number): void {
    if (this.length + more <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(2 * (this.length + more));
    this.#bytes.copy(larger, 0, 0, this.length);
    this.#bytes = larger;
  }
}
