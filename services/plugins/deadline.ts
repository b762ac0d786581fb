/** The time that a call has: its own, what its command has left, or until the caller gives it up. */
import type { Clock } from '../lib/clock.ts';

export interface CallOptions {
  /** Given up when it is aborted. */
  readonly signal?: AbortSignal;
  /** When the time of the command ends: wall clock, milliseconds since 1970. Left out: it has all the time that a call has. */
  readonly byMs?: number;
}

/** A plugin that had less than this is not to blame for not answering. */
const FAIR_MS = 1_000;

export type Ending =
  /** `isFair`: the plugin had time enough. */
  { readonly kind: 'late'; readonly afterMs: number; readonly isFair: boolean } | { readonly kind: 'given up' };

export class Deadline {
  readonly #controller = new AbortController();
  readonly #cancel: () => void;
  readonly #release: () => void;
  #ending: Ending | null = null;

  /** `timeoutMs` infinite: only the caller's own time counts. */
  constructor(clock: Clock, timeoutMs: number, { signal, byMs }: CallOptions) {
    const leftMs = byMs === undefined ? timeoutMs : Math.min(timeoutMs, byMs - clock.nowMs());
    const late: Ending = { kind: 'late', afterMs: Math.max(0, leftMs), isFair: leftMs >= Math.min(FAIR_MS, timeoutMs) };
    const giveUp = (): void => this.giveUp();
    signal?.addEventListener('abort', giveUp, { once: true });
    this.#release = () => signal?.removeEventListener('abort', giveUp);
    this.#cancel = leftMs > 0 && leftMs < Infinity ? clock.after(leftMs, () => this.#end(late)) : () => {};
    if (signal?.aborted) giveUp();
    else if (leftMs <= 0) this.#end(late);
  }

  #end(ending: Ending): void {
    this.#ending ??= ending;
    this.#controller.abort();
  }

  giveUp(): void {
    this.#end({ kind: 'given up' });
  }

  /** Why the time is over; null: it is not. */
  get ending(): Ending | null {
    return this.#ending;
  }
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** What the promise answers, or null when the time is over first. It must not reject. */
  race<T>(promise: Promise<T>): Promise<T | null> {
    const { signal } = this.#controller;
    return new Promise((resolve) => {
      const over = (): void => resolve(null);
      if (signal.aborted) return over();
      signal.addEventListener('abort', over, { once: true });
      promise.then((value) => {
        signal.removeEventListener('abort', over);
        resolve(value);
      });
    });
  }

  /** To be called when the call is over. */
  close(): void {
    this.#cancel();
    this.#release();
  }
}
