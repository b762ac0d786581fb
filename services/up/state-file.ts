/** How the command line finds the `cnm up` of this machine: a file in the run directory, valid as long as its process lives. */
import { chmodSync, chownSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Config } from '../lib/config.ts';
import { removeLeftovers } from '../lib/leftovers.ts';
import { makeFolder } from '../lib/make-folder.ts';
import { startOf } from '../lib/process-mark.ts';

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

/** Whoever of the machine is in it may command root's `cnm up`, where it exists. */
const GROUP = 'cnm';

/** Its number; null where there is none. */
const groupId = (name: string): number | null => {
  try {
    const line = readFileSync('/etc/group', 'utf8')
      .split('\n')
      .find((one) => one.startsWith(`${name}:`));
    const id = Number(line?.split(':')[2]);
    return Number.isInteger(id) ? id : null;
  } catch {
    return null;
  }
};

/** Under its name only when it is whole. A URL with credentials is for its owner, and root's for the group. */
const writeWhole = (path: string, text: string): void => {
  const fresh = `${path}.${process.pid}`;
  removeLeftovers(path);
  rmSync(fresh, { force: true });
  const secret = text.includes('@');
  writeFileSync(fresh, text, { mode: secret ? 0o600 : 0o644, flag: 'wx' });
  const group = secret && process.getuid?.() === 0 ? groupId(GROUP) : null;
  if (group !== null) {
    chownSync(fresh, 0, group);
    chmodSync(fresh, 0o640);
  }
  renameSync(fresh, path);
};

/** Says that this process serves; the answer takes it back. */
export const announce = (place: Announced, url: string): (() => void) => {
  makeFolder(place.runDir, 0o755);
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

/** What else runs here with the same run directory: `REALM-HOST` of each. */
export const otherStates = ({ runDir }: Pick<Place, 'runDir'>): readonly string[] => {
  try {
    return readdirSync(runDir).flatMap((name) => {
      const state = name.endsWith('.json') ? readState(join(runDir, name)) : null;
      return state !== null && startOf(state.pid) === state.started ? [name.slice(0, -'.json'.length)] : [];
    });
  } catch {
    return [];
  }
};

/** Whether somebody's `cnm up` runs here whose server this user may not command. */
export const isStateHidden = (place: Place): boolean =>
  [place.runDir, '/run/cnm'].some((runDir) => {
    try {
      readFileSync(stateFile({ ...place, runDir }));
      return false;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'EACCES';
    }
  });

const readState = (path: string): State | null => {
  try {
    return State.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    return null;
  }
};
