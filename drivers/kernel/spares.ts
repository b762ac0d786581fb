/**
 * Namespaces that one thread makes and another takes, by their descriptors, which all threads of a process share: a ring in memory that
 * both see, with one writer and one reader, so that neither waits for the other.
 */

/** A namespace with loopback up, by its descriptor; one socket of rtnetlink that speaks to it; those of the resolver that it has, -1 for none. */
export interface Spare {
  readonly descriptor: number;
  readonly route: number;
  readonly udp: number;
  readonly tcp: number;
}

/** Enough for what a scheduler places at once on one host; each takes some 200 KB of the kernel's memory. */
const sparesMax = 8;
/** Fewer than that: they are asked for faster than one at a time. */
const sparesFew = 4;

/** Words of 32 bits: how many were made and taken so far, how often somebody called for more, whether it is over; then four a place. */
const [MADE, TAKEN, CALLS, OVER, FIRST] = [0, 1, 2, 3, 4];
const fields = 4;

export const sparesBytes = 4 * (FIRST + fields * sparesMax);

export class Spares {
  readonly #words: Int32Array;

  constructor(shared: SharedArrayBuffer) {
    this.#words = new Int32Array(shared);
  }

  get count(): number {
    return (Atomics.load(this.#words, MADE) - Atomics.load(this.#words, TAKEN)) | 0;
  }

  get areFew(): boolean {
    return this.count < sparesFew;
  }

  get isFull(): boolean {
    return this.count >= sparesMax;
  }

  #place(number: number): number {
    return FIRST + fields * ((number >>> 0) % sparesMax);
  }

  /** By the one who makes; there is room. */
  put({ descriptor, route, udp, tcp }: Spare): void {
    const made = Atomics.load(this.#words, MADE);
    this.#words.set([descriptor, route, udp, tcp], this.#place(made));
    Atomics.store(this.#words, MADE, made + 1);
  }

  /** By the one who takes; null when there is none. */
  take(): Spare | null {
    if (this.count === 0) return null;
    const taken = Atomics.load(this.#words, TAKEN);
    const place = this.#place(taken);
    const [descriptor = -1, route = -1, udp = -1, tcp = -1] = this.#words.subarray(place, place + fields);
    Atomics.store(this.#words, TAKEN, taken + 1);
    return { descriptor, route, udp, tcp };
  }

  /** More are to be made. */
  call(): void {
    Atomics.add(this.#words, CALLS, 1);
    Atomics.notify(this.#words, CALLS);
  }

  /** No more are to be made. */
  end(): void {
    Atomics.store(this.#words, OVER, 1);
    this.call();
  }

  get isOver(): boolean {
    return Atomics.load(this.#words, OVER) === 1;
  }

  /** Makes as many as there is room for whenever somebody calls, until it is over. @param make answers null for one that cannot be made now */
  serve(make: () => Spare | null): void {
    for (;;) {
      // Before anything is looked at: whoever calls later wakes it, and whoever ends it calls then.
      const calls = Atomics.load(this.#words, CALLS);
      if (this.isOver) return;
      while (!this.isFull && !this.isOver) {
        const spare = make();
        if (spare === null) break;
        this.put(spare);
      }
      Atomics.wait(this.#words, CALLS, calls);
    }
  }
}
