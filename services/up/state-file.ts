/** How the command line finds the `cnm up` of this machine: a file in the run directory, valid as long as its process lives. */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Config } from '../lib/config.ts';
import { removeLeftovers } from '../lib/leftovers.ts';
import { startOf } from './process-start.ts';

const State = z.object({
  url: z.string(),
  pid: z.int(),
  /** When the process started, in ticks since boot: a pid alone may have been given to another one since. */
  started: z.string(),
});
export type State = z.infer<typeof State>;

type Place = Pick<Config, 'runDir' | 'realm' | 'host'>;
type Announced = Place & Pick<Config, 'rootless'>;

/** Beside the host's own directory, which a tmpfs covers. */
export const stateFile = ({ runDir, realm, host }: Place): string => join(runDir, `${realm}-${host}.json`);

/** The launcher reads this one to find the namespaces of a rootless `cnm up` (services/cli/cnm). */
export const rootlessFile = (runDir: string): string => join(runDir, 'rootless.pid');

const writeWhole = (path: string, text: string): void => {
  const fresh = `${path}.${process.pid}`;
  removeLeftovers(path);
  // the URL of an external server may hold credentials
  writeFileSync(fresh, text, { mode: text.includes('@') ? 0o600 : 0o644 });
  renameSync(fresh, path);
};

/** Says that this process serves; the answer takes it back. */
export const announce = (place: Announced, url: string): (() => void) => {
  mkdirSync(place.runDir, { recursive: true, mode: 0o755 });
  const state: State = { url, pid: process.pid, started: startOf(process.pid) ?? '' };
  const files = [stateFile(place)];
  writeWhole(stateFile(place), `${JSON.stringify(state)}\n`);
  if (place.rootless) {
    files.push(rootlessFile(place.runDir));
    writeWhole(rootlessFile(place.runDir), `${process.pid}\n`);
  }
  return () => {
    for (const file of files) rmSync(file, { force: true });
  };
};

/** Where `cnm up` serves; null when none runs. Root's counts for everybody who has none of their own. */
export const findState = (place: Place): State | null => {
  for (const runDir of [place.runDir, '/run/cnm']) {
    const state = readState(stateFile({ ...place, runDir }));
    if (state !== null && startOf(state.pid) === state.started) return state;
  }
  return null;
};

const readState = (path: string): State | null => {
  try {
    return State.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return null;
  }
};
