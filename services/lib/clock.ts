/** The one place for wall clock, monotonic clock, timers and randomness; everything else is handed a `Clock`. */
import { performance } from 'node:perf_hooks';
import { customAlphabet } from 'nanoid';

export interface Clock {
  /** Wall clock, milliseconds since 1970, whole. It may jump; never measure a duration with it. */
  nowMs(): number;
  /** Milliseconds since some moment of this process, fractions included; never goes back. */
  monotonicMs(): number;
  /**
   * Calls `run` once after `delayMs`; the answer cancels it and may be called at any time, any number of times. After a time in which the
   * process stood still it comes behind what had arrived meanwhile, so that no answer that is there is taken for missing.
   */
  after(delayMs: number, run: () => void): () => void;
  /** Random text of `length` characters 0-9a-z: safe as subject token, consumer name and file name. */
  randomId(length?: number): string;
}

/** 16 characters of 36 are 82 bits: a clash within a log of 10^9 ids has a chance below 10^-6. */
const ID_LENGTH = 16;
const newId = customAlphabet('0123456789abcdefghijklmnopqrstuvwxyz', ID_LENGTH);

/** A timer this late says that the process stood still: it was stopped, its machine was, or something held the loop. */
const STOOD_STILL_MS = 10;

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after: (delayMs, run) => {
    const dueMs = performance.now() + delayMs;
    let behind: NodeJS.Immediate | undefined;
    const timer = setTimeout(() => {
      // node looks at timers before it reads sockets, and at immediates behind them
      if (performance.now() - dueMs < STOOD_STILL_MS) run();
      else behind = setImmediate(run);
    }, delayMs);
    return () => {
      clearTimeout(timer);
      clearImmediate(behind);
    };
  },
  randomId: (length = ID_LENGTH) => newId(length),
};

/** Resolves after `delayMs` of this clock. */
export const sleep = (clock: Clock, delayMs: number): Promise<void> =>
  new Promise((resolve) => {
    clock.after(delayMs, resolve);
  });
