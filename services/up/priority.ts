/** Who goes first when processors are short. Both values are a thread's own on Linux, and what it starts inherits them. */
import { readdirSync, readFileSync } from 'node:fs';
import { lateness, type Scheduling, schedule } from '../../drivers/kernel/scheduling.ts';
import type { Logger } from '../lib/logger.ts';

/**
 * Everything goes through nats-server, in little steps, and somebody waits for each query; the kernel's changes come next (-15,
 * drivers/kernel/setup-thread.ts); then the loop that decides; everybody else; what is torn down comes last. All of them work for less than
 * a millisecond at a time and then wait for another: nobody is to wait for a whole slice of somebody who has time.
 */
const scheduling = {
  server: { nice: -18, sliceMs: 0.1 },
  queries: { nice: -18, sliceMs: 0.1 },
  loop: { nice: -10, sliceMs: 0.1 },
  collectors: { nice: -18, sliceMs: 0.1 },
} as const satisfies Record<string, Scheduling>;

/** How Node names V8's threads. */
const collectorName = 'V8Worker';

/**
 * The threads that collect garbage and compile for all loops of this process. A loop that collects waits for them, and they must not wait behind
 * everybody else: queries stood still for tens of milliseconds on busy machines.
 */
export const putCollectorsFirst = (logger: Logger): void => {
  for (const thread of readdirSync('/proc/self/task')) {
    const name = readFileSync(`/proc/self/task/${thread}/comm`, 'utf8').trim();
    if (name === collectorName && !schedule(scheduling.collectors, Number(thread)))
      logger.debug({ who: name }, 'priority stays as it is');
  }
};

/** For the calling thread. Without the privilege it stays as it is, which costs only latency under load. */
export const putFirst = (who: keyof typeof scheduling, logger: Logger): void => {
  if (!schedule(scheduling[who])) logger.debug({ who }, 'priority stays as it is');
};

/**
 * Go looks each 20 us whether something holds up its other threads, as long as they have work: on a processor of ours that is one wake-up in
 * 80 us, and a fifth of what the server takes. Within a millisecond is early enough: what holds them up is the disk, for less than that.
 */
const serverLatenessMs = 1;

/** Starts nats-server, which inherits both: the first one, and each that follows one that died. */
export const startingServer = <T>(start: () => T, logger: Logger): T => {
  putFirst('server', logger);
  lateness(serverLatenessMs);
  try {
    return start();
  } finally {
    lateness(null);
    putFirst('loop', logger);
  }
};
