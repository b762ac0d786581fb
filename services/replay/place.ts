/** A directory for a replay that goes with it, however it ends, and takes along what was started in it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Place {
  readonly directory: string;
  /** A process that must not outlive us; null: there is none any more. */
  watch(pid: number | null): void;
  /** Takes it away, with what is mounted there. */
  remove(): Promise<void>;
}

/**
 * It waits until whoever started it is gone, killed or not: then its standard input ends. What was being watched is told as when a terminal
 * goes, and a second later ended. Namespaces in files below go with the mount.
 */
const broom = `
watched=
while read -r line; do watched=$line; done
if [ -n "$watched" ] && kill -HUP "$watched" 2>/dev/null; then sleep 1; kill -KILL "$watched" 2>/dev/null; fi
umount -l "$0" 2>/dev/null
exec rmdir "$0"`;

export const makePlace = (): Place => {
  const directory = mkdtempSync(join(tmpdir(), 'cnm-replay-'));
  // In a session of its own: a Ctrl-C at the terminal is not for it.
  const child = spawn('sh', ['-c', broom, directory], {
    detached: true,
    cwd: '/',
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  child.unref();
  return {
    directory,
    watch: (pid) => void child.stdin.write(`${pid ?? ''}\n`),
    remove: async () => {
      child.ref();
      const gone = once(child, 'exit');
      child.stdin.end();
      if (child.exitCode === null) await gone;
    },
  };
};
