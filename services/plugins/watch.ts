/** Tells when directories change: at once where the kernel says so, else at the next look. */
import { type FSWatcher, watch } from 'node:fs';
import type { Clock } from '../lib/clock.ts';

/** Directories that are not there yet, and subdirectories, are seen only by looking. */
const LOOK_MS = 2_000;

export interface Watching {
  close(): void;
}

/** Runs `look` now and then, and soon after a change; it has to find out itself whether anything is new to it. */
export const watchDirectories = (directories: readonly string[], clock: Clock, look: () => void): Watching => {
  const watchers = new Map<string, FSWatcher>();
  let isClosed = false;
  let cancel = (): void => {};

  const begin = (directory: string): void => {
    if (watchers.has(directory)) return;
    try {
      const watcher = watch(directory, { persistent: false }, () => look());
      const end = (): void => {
        watcher.close();
        if (watchers.get(directory) === watcher) watchers.delete(directory);
      };
      watcher.on('error', end);
      watcher.on('close', end);
      watchers.set(directory, watcher);
    } catch {
      // not there yet, or no watches left: the next look sees it
    }
  };
  const again = (): void => {
    if (isClosed) return;
    for (const directory of directories) begin(directory);
    look();
    cancel = clock.after(LOOK_MS, again);
  };

  again();
  return {
    close: () => {
      isClosed = true;
      cancel();
      for (const watcher of watchers.values()) watcher.close();
      watchers.clear();
    },
  };
};
