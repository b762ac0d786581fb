/** Calls of a kernel's set-up thread that a test lets fail (drivers/kernel/failpoint.ts). */

export class Fuse {
  /** For the options of the kernel. */
  readonly shared = new SharedArrayBuffer(12);
  readonly #numbers = new Int32Array(this.shared);

  /** Counted from 1 from now on, the calls from this one to that one fail. */
  set(from: number, through = from): void {
    Atomics.store(this.#numbers, 1, from);
    Atomics.store(this.#numbers, 2, through);
    Atomics.store(this.#numbers, 0, 0);
  }

  /** Nothing fails any more. */
  clear(): void {
    this.set(0);
  }

  /** Calls since it was set. */
  get calls(): number {
    return Atomics.load(this.#numbers, 0);
  }
}
