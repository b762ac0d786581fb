/**
 * Whether calls of a plugin are worth the wait: after three in a row that nobody answered they fail at once, until somebody answers a
 * trial. Trials go out 1 s after the first failure, then after 2, 4, … 30 s. A state and pure functions of it; the caller has the timer.
 */
export interface Breaker {
  /** Unanswered calls since the last answer. */
  readonly failures: number;
  /** How long to wait for the next trial. */
  readonly pauseMs: number;
}

const FAILURES_MAX = 3;
const PAUSE_MIN_MS = 1_000;
const PAUSE_MAX_MS = 30_000;

export const closedBreaker: Breaker = { failures: 0, pauseMs: PAUSE_MIN_MS };

/** Whether calls fail at once. */
export const isOpen = ({ failures }: Breaker): boolean => failures >= FAILURES_MAX;

/** A call was not answered. Calls that were under way when it opened do not lengthen the pause. */
export const afterFailure = ({ failures, pauseMs }: Breaker): Breaker => ({ failures: failures + 1, pauseMs });

/** A trial was not answered: it counts as a call too, and the next one takes longer to come. */
export const afterTrial = ({ failures, pauseMs }: Breaker): Breaker => ({
  failures,
  pauseMs: Math.min(2 * pauseMs, PAUSE_MAX_MS),
});
