/** Which process wrote something down, so that another one of the same machine can tell later whether that one is dead for sure. */
import { hash } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';

const readText = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
};

/** Where a pid means the same process: this boot, and this namespace of pids. Empty where that cannot be known. */
export const worldOfPids = (): string => {
  try {
    return `${readText('/proc/sys/kernel/random/boot_id').trim()} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return '';
  }
};

/**
 * When a process started, in clock ticks since boot: field 22 of /proc/<pid>/stat (proc_pid_stat(5)). Counted behind the name, which may
 * hold blanks. Null when there is no such process, or only the remains of one that nobody has waited for.
 */
export const startOf = (pid: number): string | null => {
  const stat = readText(`/proc/${pid}/stat`);
  const [state, ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return state === '' || state === 'Z' || state === 'X' ? null : (rest[18] ?? null);
};

const worldMark = (): string => {
  const world = worldOfPids();
  return world === '' ? '' : hash('sha256', world, 'hex').slice(0, 12);
};

/** `WORLD.PID.STARTED` of this process. */
export const processMark = (): string => `${worldMark()}.${process.pid}.${startOf(process.pid) ?? ''}`;

/** Whether the process of a mark is dead for sure: of another machine, or before the last boot, nothing is known. */
export const isDeadProcess = (mark: string): boolean => {
  const match = /^([0-9a-f]{12})\.(\d{1,10})\.(\d+)$/.exec(mark);
  return match !== null && match[1] === worldMark() && startOf(Number(match[2])) !== match[3];
};
