/** Who goes first when processors are short. Nice values (sched(7)) are a thread's own on Linux, and what it starts inherits them. */
import { setPriority } from 'node:os';
import type { Logger } from '../lib/logger.ts';

/**
 * Everything goes through nats-server, in little steps, and somebody waits for each query; the kernel's changes come next (-15,
 * drivers/kernel/setup-thread.ts); then the loop that decides; everybody else; what is torn down comes last.
 */
const nice = { server: -18, queries: -18, loop: -10 } as const;

/** For the calling thread. Without the privilege it stays as it is, which costs only latency under load. */
export const putFirst = (who: keyof typeof nice, logger: Logger): void => {
  try {
    setPriority(nice[who]);
  } catch (error) {
    logger.debug({ err: error }, 'priority stays as it is');
  }
};
