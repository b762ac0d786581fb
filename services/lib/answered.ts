/** Questions to a server that may be away, or take its time, just then. */
import { type Clock, sleep } from './clock.ts';

const retryMs = 250;

/** Faults of the NATS adapter say whether the same call may succeed later (services/nats/fault.ts). */
const isPassing = (error: unknown): boolean =>
  error instanceof Error && (error as { readonly retry?: unknown }).retry === 'later';

/** Asks until there is an answer. @throws what no asking again mends */
export const answered = async <Answer>(clock: Clock, ask: () => Promise<Answer>): Promise<Answer> => {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!isPassing(error)) throw error;
    }
    await sleep(clock, retryMs);
  }
};
