/** Who goes first when processors are short: the loop that answers, before bulk work of the kernel threads and everybody else. */
import { setPriority } from 'node:os';
import type { Logger } from '../lib/logger.ts';

/** Nice values (sched(7)): on Linux they are a thread's own, so this is the main thread's; processes started later inherit it. */
const answeringNice = -10;

/** Without the privilege it stays as it is, which costs only latency under load. */
export const answerFirst = (logger: Logger): void => {
  try {
    setPriority(answeringNice);
  } catch (error) {
    logger.debug({ err: error }, 'priority stays as it is');
  }
};
