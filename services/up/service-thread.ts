/** What runs on the thread that thread.ts starts: one service, until it is told to stop. */
import { parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '../lib/clock.ts';
import { createLogger, type Logger } from '../lib/logger.ts';
import { isRegressed } from '../nats/fault.ts';
import { putFirst } from './priority.ts';
import { startService } from './services.ts';
import type { ThreadData, ThreadMessage, ThreadOrder } from './thread.ts';

const { name, config, url, logLevel } = workerData as ThreadData;
const logger: Logger = createLogger('silent');
logger.level = logLevel;

const tell = (message: ThreadMessage): void => parentPort?.postMessage(message);
const tellFailure = (error: unknown): void =>
  tell({
    failed: error instanceof Error ? (error.stack ?? error.message) : String(error),
    isRegressed: isRegressed(error),
  });

// Only the projector has a thread of its own.
putFirst('queries', logger);

try {
  const part = await startService(name, { config, url, logger, clock: systemClock });
  part.failed.catch(tellFailure);
  const inspect = async (): Promise<void> => tell({ inspection: await (part.inspect?.() ?? null) });
  parentPort?.on('message', (order: ThreadOrder) => {
    if (order === 'inspect') {
      inspect().catch(() => tell({ inspection: null }));
      return;
    }
    part.stopping?.();
    if (order === 'stopping') return;
    part.stop().then(
      () => process.exit(0),
      (error) => {
        logger.warn({ err: error }, 'could not be stopped in order');
        process.exit(0);
      },
    );
  });
  tell({ serving: true });
} catch (error) {
  tellFailure(error);
  parentPort?.close();
}
