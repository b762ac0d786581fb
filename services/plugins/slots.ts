/** Calls under way at once are bounded; the others wait for a slot in the order in which they came. */
import type { Deadline } from './deadline.ts';

export class Slots {
  #free: number;
  readonly #queue: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** Runs as soon as a slot is free; null when the time is over before that, and then it never runs. `run` must not reject. */
  async run<T>(waiting: Deadline, run: () => Promise<T>): Promise<T | null> {
    if (waiting.ending !== null) return null;
    if (this.#free > 0) this.#free -= 1;
    else {
      const { promise: turn, resolve } = Promise.withResolvers<void>();
      this.#queue.push(resolve);
      if ((await waiting.race(turn.then(() => true))) === null) {
        const at = this.#queue.indexOf(resolve);
        if (at >= 0) this.#queue.splice(at, 1);
        else this.#leave(); // given just now
        return null;
      }
    }
    try {
      return await run();
    } finally {
      this.#leave();
    }
  }

  #leave(): void {
    const next = this.#queue.shift();
    if (next === undefined) this.#free += 1;
    else next();
  }
}
