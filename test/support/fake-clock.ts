/** Time for tests. */
import type { Clock } from '../../services/lib/clock.ts';

export const startMs = Date.UTC(2026, 0, 5, 12);

/** A clock that stands still until it is moved; timers run as it passes them, in order. */
export class FakeClock implements Clock {
  #nowMs = startMs;
  #serial = 0;
  #timers: { readonly atMs: number; readonly run: () => void }[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs - startMs;
  }

  after(delayMs: number, run: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, run };
    this.started += 1;
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  randomId(length = 16): string {
    this.#serial += 1;
    return this.#serial.toString(36).padStart(length, '0');
  }

  /** How many timers were ever set. */
  started = 0;

  /** Moves on, timer by timer; `turn` lets what they started go on before the next. */
  async advance(ms: number, turn: () => Promise<void> = async () => undefined): Promise<void> {
    const endMs = this.#nowMs + ms;
    for (;;) {
      const next = this.#timers.filter(({ atMs }) => atMs <= endMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (!next) break;
      this.#timers = this.#timers.filter((other) => other !== next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.run();
      await turn();
    }
    this.#nowMs = endMs;
    await turn();
  }
}
