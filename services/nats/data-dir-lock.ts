/** One server per data directory: a lock file naming the process that owns it. */
import { linkSync, mkdirSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Clock, sleep } from '../lib/clock.ts';
import { NatsFault } from './fault.ts';

const FILE = 'cnm.lock';
/** Two processes may find the same stale lock; the one that wrote last owns it, and this long after nobody else is still writing. */
const SETTLE_MS = 100;

interface Owner {
  readonly pid: number;
  /** When the process started, in clock ticks since boot: a pid alone may have been given to another process since. */
  readonly started: string;
}

export interface DataDirLock {
  /** Gives the directory free; harmless when somebody else has taken it over. */
  release(): void;
}

/**
 * Takes the data directory for this process. A lock left by a dead process is taken over.
 *
 * @throws NatsFault DATA_DIR_IN_USE, naming the pid, when a live process holds it.
 */
export const lockDataDir = async (dataDir: string, clock: Clock): Promise<DataDirLock> => {
  mkdirSync(dataDir, { recursive: true });
  const path = join(dataDir, FILE);
  const mine = JSON.stringify({ pid: process.pid, started: startOf(process.pid) ?? '', id: clock.randomId() });
  const fresh = `${path}.${process.pid}`;
  writeFileSync(fresh, mine);
  try {
    // a link appears whole or not at all, and never over another
    linkSync(fresh, path);
    unlinkSync(fresh);
  } catch {
    const owner = readOwner(path);
    if (owner !== null && isAlive(owner)) {
      unlinkSync(fresh);
      throw inUse(dataDir, owner);
    }
    renameSync(fresh, path);
    await sleep(clock, SETTLE_MS);
    if (readText(path) !== mine) throw inUse(dataDir, readOwner(path));
  }
  return {
    release: () => {
      if (readText(path) === mine) unlinkSync(path);
    },
  };
};

const inUse = (dataDir: string, owner: Owner | null): NatsFault =>
  new NatsFault(
    'DATA_DIR_IN_USE',
    `${dataDir} is in use by process ${owner?.pid ?? 'unknown'}: cnm up runs there already`,
  );

const readText = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
};

const readOwner = (path: string): Owner | null => {
  try {
    const { pid, started } = JSON.parse(readText(path));
    return Number.isInteger(pid) && typeof started === 'string' ? { pid, started } : null;
  } catch {
    return null;
  }
};

const isAlive = (owner: Owner): boolean => {
  const started = startOf(owner.pid);
  return started !== null && (owner.started === '' || started === owner.started);
};

/**
 * When a process started, in clock ticks since boot: field 22 of /proc/<pid>/stat (proc_pid_stat(5)). Counted behind the name, which may
 * hold blanks. Null when there is no such process, or only the remains of one that nobody has waited for.
 */
const startOf = (pid: number): string | null => {
  const stat = readText(`/proc/${pid}/stat`);
  const [state, ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return state === '' || state === 'Z' || state === 'X' ? null : (rest[18] ?? null);
};
