/** What runs: services with a life each, started in order and stopped in the reverse one. */
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import type { Inspection } from './observed.ts';

export interface Part {
  readonly name: string;
  /** Rejects when it cannot go on; never resolves. */
  readonly failed: Promise<never>;
  /** How it is; left out for what is no service. */
  readonly inspect?: () => Promise<Inspection>;
  /** From now on it is not ready, and is going to be stopped. */
  readonly stopping?: () => void;
  /** Finishes what is under way. */
  stop(): Promise<void>;
}

/** Parts that run, the last one started first. */
export class Running {
  readonly #parts: Part[] = [];
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly failed: Promise<never>;
  #isStopping = false;
  #fail: (error: unknown) => void = () => undefined;

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#clock = clock;
    this.failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.failed.catch(() => undefined);
  }

  add(part: Part): void {
    this.#parts.unshift(part);
    part.failed.catch((error) => this.#fail(error));
  }

  get isStopping(): boolean {
    return this.#isStopping;
  }

  get parts(): readonly Part[] {
    return this.#parts;
  }

  /** Stops all of them. One that cannot be stopped, or takes too long, does not keep the others from it. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const part of this.#parts) part.stopping?.();
    const untilMs = this.#clock.monotonicMs() + STOP_ALL_MS;
    for (let part = this.#parts.shift(); part; part = this.#parts.shift()) {
      const leftMs = Math.max(STOP_LEAST_MS, untilMs - this.#clock.monotonicMs());
      try {
        await this.#inTime(part, Math.min(STOP_MS, leftMs));
        this.#logger.debug({ part: part.name }, 'stopped');
      } catch (error) {
        this.#logger.warn({ err: error, part: part.name }, 'could not be stopped in order');
      }
    }
  }

  async #inTime(part: Part, limitMs: number): Promise<void> {
    let cancel = (): void => {};
    const late = new Promise<never>((_, reject) => {
      cancel = this.#clock.after(limitMs, () => reject(new Error(`${part.name} does not stop within ${limitMs} ms`)));
    });
    try {
      await Promise.race([part.stop(), late]);
    } finally {
      cancel();
    }
  }
}

/** A server flushes for up to ten seconds (services/nats/server.ts); the others are quicker. */
const STOP_MS = 12_000;
/** All of them together, so that who sends a signal knows how long to wait; below the 30 s that Kubernetes gives, and systemd's 90. */
const STOP_ALL_MS = 25_000;
/** What is left for the last of them all the same: a lease that is given free is worth a round trip. */
const STOP_LEAST_MS = 500;

/** For parts that fail in ways of their own, or not at all. */
export const neverFails: Promise<never> = new Promise(() => undefined);
