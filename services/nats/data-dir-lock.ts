/** One server per data directory. */
import { join } from 'node:path';
import type { Clock } from '../lib/clock.ts';
import { type FileLock, LockHeld, lockFile } from '../lib/lock-file.ts';
import { NatsFault } from './fault.ts';

/**
 * Takes the data directory for this process. A lock left by a dead process is taken over.
 *
 * @throws NatsFault DATA_DIR_IN_USE, naming the pid, when a live process holds it.
 */
export const lockDataDir = async (dataDir: string, clock: Clock): Promise<FileLock> => {
  try {
    return await lockFile(join(dataDir, 'cnm.lock'), clock);
  } catch (error) {
    if (!(error instanceof LockHeld)) throw error;
    const owner = error.pid ?? 'unknown';
    throw new NatsFault('DATA_DIR_IN_USE', `${dataDir} is in use by process ${owner}: cnm up runs there already`);
  }
};
