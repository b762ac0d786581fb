/** SIGTERM and SIGINT as one AbortSignal. */
import type { Clock } from '../lib/clock.ts';

/** 128 and the number of SIGINT: how a shell names a process that was interrupted. */
const INTERRUPTED = 130;
/** Ctrl-C reaches npm and us, and npm passes its own on: the second within this time is the same one. */
const ECHO_MS = 300;

/** Aborts at the first signal; a second one ends the process at once. */
export const untilSignal = (clock: Clock, told: (name: string) => void): AbortSignal => {
  const controller = new AbortController();
  let firstMs = 0;
  const onSignal = (name: string): void => {
    if (controller.signal.aborted) {
      if (clock.monotonicMs() - firstMs > ECHO_MS) process.exit(INTERRUPTED);
      return;
    }
    firstMs = clock.monotonicMs();
    told(name);
    controller.abort(new Error(`stopped by ${name}`));
  };
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, onSignal);
  return controller.signal;
};
