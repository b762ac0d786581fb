/** At most so many pieces of work at once, and at most so many that wait. */
import { QueryFault } from './query-fault.ts';

export type Gate = <Result>(work: () => Promise<Result>) => Promise<Result>;

/** @param atOnceMax how many run, @param waitingMax how many may wait; one more is refused with QUERY_BUSY */
export const createGate = (atOnceMax: number, waitingMax: number): Gate => {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async (work) => {
    if (running >= atOnceMax) {
      if (waiting.length >= waitingMax) {
        throw new QueryFault('QUERY_BUSY', `${running} queries read the log and ${waiting.length} wait for it already`);
      }
      // Whoever ends hands its place over, so nobody slips in between.
      await new Promise<void>((resolve) => waiting.push(resolve));
    } else running += 1;
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else running -= 1;
    }
  };
};
