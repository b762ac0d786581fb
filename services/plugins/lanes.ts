/** Calls of one lane run one behind the other, in the order in which they were asked for; lanes do not wait for each other. */
import type { Deadline } from './deadline.ts';

export class Lanes {
  readonly #ends = new Map<string, Promise<void>>();

  /** Runs behind what is in the lane already; null when its time is over before its turn. `run` must not reject. */
  async run<T>(lane: string, deadline: Deadline, run: () => Promise<T>): Promise<T | null> {
    const before = this.#ends.get(lane);
    const { promise: end, resolve: leave } = Promise.withResolvers<void>();
    // Who gives up in the queue still stands for those in front of it.
    const lasts = before === undefined ? end : Promise.all([before, end]).then(() => {});
    this.#ends.set(lane, lasts);
    try {
      if (before !== undefined && (await deadline.race(before.then(() => true))) === null) return null;
      return await run();
    } finally {
      leave();
      if (this.#ends.get(lane) === lasts) void lasts.then(() => this.#forget(lane, lasts));
    }
  }

  #forget(lane: string, lasts: Promise<void>): void {
    if (this.#ends.get(lane) === lasts) this.#ends.delete(lane);
  }

  get size(): number {
    return this.#ends.size;
  }
}
