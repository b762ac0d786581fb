/** Files that a process writes beside the one that they then become, `PATH.PID`: those of processes that ended in between. */
import { readdirSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { startOf } from './process-mark.ts';

const namesIn = (directory: string): readonly string[] => {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
};

/** Of processes of other namespaces of pids nothing is known: where one of their numbers lives here, its file stays until it does not. */
export const removeLeftovers = (path: string): void => {
  const [directory, prefix] = [dirname(path), `${basename(path)}.`];
  for (const name of namesIn(directory)) {
    const pid = name.startsWith(prefix) ? name.slice(prefix.length) : '';
    if (/^[1-9]\d{0,9}$/.test(pid) && startOf(Number(pid)) === null) rmSync(join(directory, name), { force: true });
  }
};
