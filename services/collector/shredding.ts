/**
 * Erases the keys of subjects that are shredded, as the log says. Doing it again changes nothing, so all are looked at anew at each start, and
 * once more a while after: somebody who was sealing when it was decided may have made a key.
 */
import type { Logger } from 'pino';
import type { Clock } from '../lib/clock.ts';
import type { SealKeys } from '../lib/seal-keys.ts';

/** Longer than anybody takes from asking whether a subject is shredded to making its key. */
const AGAIN_MS = 60_000;
const RETRY_FIRST_MS = 1_000;
const RETRY_MOST_MS = 60_000;

export interface ShreddingDeps {
  readonly keys: SealKeys;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class Shredding {
  readonly #deps: ShreddingDeps;
  /** To be erased now; true: for the second time. */
  readonly #due = new Map<string, boolean>();
  /** Erased once, and when to look again, milliseconds since 1970; the earliest first. */
  readonly #later = new Map<string, number>();
  #isRunning = false;
  #working: Promise<void> | null = null;
  #failures = 0;
  #cancelAgain: (() => void) | null = null;
  #cancelRetry: () => void = () => undefined;

  constructor(deps: ShreddingDeps) {
    this.#deps = deps;
  }

  /** The log says so; nothing is done before `start`, since until then more may follow. */
  decided(subject: string): void {
    this.#due.set(subject, false);
    this.#work();
  }

  start(): void {
    this.#isRunning = true;
    this.#work();
  }

  async stop(): Promise<void> {
    this.#isRunning = false;
    this.#cancelAgain?.();
    this.#cancelRetry();
    await this.#working;
  }

  #work(): void {
    if (!this.#isRunning || this.#working !== null || this.#due.size === 0) return;
    this.#cancelRetry();
    this.#working = this.#eraseAll().finally(() => {
      this.#working = null;
      if (this.#failures === 0) this.#work();
    });
  }

  async #eraseAll(): Promise<void> {
    const { keys, clock, logger } = this.#deps;
    for (const [subject, isAgain] of this.#due) {
      if (!this.#isRunning) return;
      try {
        const erased = await keys.erase(subject);
        this.#failures = 0;
        if (erased) logger.info({ subject }, 'erased the key of a shredded subject');
      } catch (error) {
        // Whatever it is: what was decided has to be done once it can be.
        logger.warn({ subject, err: error }, 'the key of a shredded subject is still there');
        const delayMs = Math.min(RETRY_FIRST_MS * 2 ** this.#failures, RETRY_MOST_MS);
        this.#failures += 1;
        this.#cancelRetry = clock.after(delayMs, () => this.#work());
        return;
      }
      this.#due.delete(subject);
      if (!isAgain) this.#lookAgain(subject);
    }
  }

  #lookAgain(subject: string): void {
    this.#later.set(subject, this.#deps.clock.nowMs() + AGAIN_MS);
    this.#cancelAgain ??= this.#deps.clock.after(AGAIN_MS, () => this.#takeLater());
  }

  #takeLater(): void {
    const { clock } = this.#deps;
    this.#cancelAgain = null;
    for (const [subject, atMs] of this.#later) {
      if (atMs > clock.nowMs()) {
        this.#cancelAgain = clock.after(atMs - clock.nowMs(), () => this.#takeLater());
        break;
      }
      this.#later.delete(subject);
      this.#due.set(subject, true);
    }
    this.#work();
  }
}
