/** One process per place: a lock file that names the process that owns it, and is taken over from a dead one. */
import { linkSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { type Clock, sleep } from './clock.ts';
import { removeLeftovers } from './leftovers.ts';
import { makeFolder } from './make-folder.ts';
import { startOf, worldOfPids } from './process-mark.ts';

/** Two processes may find the same stale lock; the one that wrote last owns it, and this long after nobody else is still writing. */
const SETTLE_MS = 100;

interface Owner {
  readonly pid: number;
  /** When the process started, in clock ticks since boot: a pid alone may have been given to another process since. */
  readonly started: string;
  /** Where a pid means the same process: this boot, and this namespace of pids. */
  readonly world?: string;
  /** Of the lock, not of the process: stays the same while it passes from dead processes to their successors. */
  readonly lock?: string;
}

export interface FileLock {
  /**
   * Whoever held a lock of this id before is dead for sure. A lock that was found with a process of which nothing can be known (of
   * another container, or from before a reboot) gets a new id.
   */
  readonly id: string;
  /** Gives it free; harmless when somebody else has taken it over. */
  release(): void;
}

/** A live process has it. */
export class LockHeld extends Error {
  override readonly name = 'LockHeld';
  /** Null when the file does not say. */
  readonly pid: number | null;

  constructor(path: string, pid: number | null) {
    super(`${path} is held by process ${pid ?? 'unknown'}`);
    this.pid = pid;
  }
}

/** Takes the lock at `path` for this process. A lock left by a dead process is taken over. @throws LockHeld when a live process holds it */
export const lockFile = async (path: string, clock: Clock): Promise<FileLock> => {
  makeFolder(dirname(path));
  const left = readOwner(path);
  const world = worldOfPids();
  const id = left?.world === world && left.lock ? left.lock : clock.randomId();
  const mine = JSON.stringify({
    ...{ pid: process.pid, started: startOf(process.pid) ?? '', world, lock: id },
    nonce: clock.randomId(),
  });
  const fresh = `${path}.${process.pid}`;
  removeLeftovers(path);
  writeFileSync(fresh, mine);
  try {
    // a link appears whole or not at all, and never over another
    linkSync(fresh, path);
    unlinkSync(fresh);
  } catch {
    const owner = readOwner(path);
    if (owner !== null && isAlive(owner)) {
      unlinkSync(fresh);
      throw new LockHeld(path, owner.pid);
    }
    renameSync(fresh, path);
    await sleep(clock, SETTLE_MS);
    if (readText(path) !== mine) throw new LockHeld(path, readOwner(path)?.pid ?? null);
  }
  return {
    id,
    release: () => {
      if (readText(path) === mine) unlinkSync(path);
    },
  };
};

const readText = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
};

const readOwner = (path: string): Owner | null => {
  try {
    const { pid, started, world, lock } = JSON.parse(readText(path));
    return Number.isInteger(pid) && typeof started === 'string' ? { pid, started, world, lock } : null;
  } catch {
    return null;
  }
};

const isAlive = (owner: Owner): boolean => {
  const started = startOf(owner.pid);
  return started !== null && (owner.started === '' || started === owner.started);
};
