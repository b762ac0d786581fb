/** Queries that wait for the views to reach a position. */
import type { Clock } from '../lib/clock.ts';
import { QueryFault } from './query-fault.ts';

interface Waiter {
  readonly position: number;
  readonly resolve: () => void;
  readonly reject: (reason: QueryFault) => void;
}

const WAITERS_MAX = 10_000;

export class Waiters {
  readonly #clock: Clock;
  readonly #waiting = new Set<Waiter>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Lets those go on who wait for this position or one before it. */
  release(position: number): void {
    for (const waiter of this.#waiting) if (waiter.position <= position) waiter.resolve();
  }

  refuse(reason: QueryFault): void {
    for (const waiter of this.#waiting) waiter.reject(reason);
  }

  /** @param state where the views are when it takes too long. @throws QueryFault */
  async wait(position: number, timeoutMs: number, state: () => string): Promise<void> {
    if (this.#waiting.size >= WAITERS_MAX)
      throw new QueryFault('QUERY_BUSY', `${this.#waiting.size} queries wait already`);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter: Waiter = { position, resolve, reject };
    this.#waiting.add(waiter);
    const late = (): void =>
      reject(new QueryFault('QUERY_NOT_YET', `the views are at position ${state()}, not yet at ${position}`));
    const cancel = this.#clock.after(timeoutMs, late);
    try {
      await promise;
    } finally {
      cancel();
      this.#waiting.delete(waiter);
    }
  }
}
