/** A directory for a replay that goes with it, however it ends. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Place {
  readonly directory: string;
  /** Takes it away, with what is mounted there. */
  remove(): Promise<void>;
}

/** It waits until whoever started it is gone, killed or not: then its standard input ends. Namespaces in files below go with the mount. */
const broom = 'read -r _ || true; umount -l "$0" 2>/dev/null; exec rmdir "$0"';

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
    remove: async () => {
      child.ref();
      const gone = once(child, 'exit');
      child.stdin?.end();
      if (child.exitCode === null) await gone;
    },
  };
};
