/** When a process started, so that a pid can be told from the same number given to another process later. */
import { readFileSync } from 'node:fs';

/** Field 22 of /proc/<pid>/stat (proc_pid_stat(5)), counted behind the name, which may hold blanks; null: no such process. */
export const startOf = (pid: number): string | null => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
};
