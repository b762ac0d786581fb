/** Timers that end together with whoever set them. */
import type { Clock } from './clock.ts';

export class Timers {
  readonly #clock: Clock;
  readonly #running = new Set<() => void>();
  #isClosed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Calls `run` once after `delayMs`; never when they were closed before. */
  after(delayMs: number, run: () => void): void {
    if (this.#isClosed) return;
    const cancel = this.#clock.after(delayMs, () => {
      this.#running.delete(cancel);
      run();
    });
    this.#running.add(cancel);
  }

  close(): void {
    this.#isClosed = true;
    for (const cancel of this.#running) cancel();
    this.#running.clear();
  }
}
