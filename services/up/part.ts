/** What runs: services with a life each, started in order and stopped in the reverse one. */
import type { Logger } from '../lib/logger.ts';

export interface Part {
  readonly name: string;
  /** Rejects when it cannot go on; never resolves. */
  readonly failed: Promise<never>;
  /** Finishes what is under way. */
  stop(): Promise<void>;
}

/** Parts that run, the last one started first. */
export class Running {
  readonly #parts: Part[] = [];
  readonly #logger: Logger;
  readonly failed: Promise<never>;
  #fail: (error: unknown) => void = () => undefined;

  constructor(logger: Logger) {
    this.#logger = logger;
    this.failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.failed.catch(() => undefined);
  }

  add(part: Part): void {
    this.#parts.unshift(part);
    part.failed.catch((error) => this.#fail(error));
  }

  /** Stops all of them. One that cannot be stopped does not keep the others from it. */
  async stop(): Promise<void> {
    for (const part of this.#parts.splice(0)) {
      try {
        await part.stop();
        this.#logger.debug({ part: part.name }, 'stopped');
      } catch (error) {
        this.#logger.warn({ err: error, part: part.name }, 'could not be stopped in order');
      }
    }
  }
}

/** For parts that fail in ways of their own, or not at all. */
export const neverFails: Promise<never> = new Promise(() => undefined);
