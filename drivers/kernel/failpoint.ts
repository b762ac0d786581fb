/**
 * Failpoints: named places before and after each call that changes something outside of the process, where a test has the whole process end
 * (`kill:NAME@N`: at the N-th time, as `kill -9` does), is told which places there are (`record:FILE`: one name a line), or does something of its own meanwhile
 * (`run:FILE`: a program that is given the name). Off, which is the rule, whoever has such a place calls the bare function: that is chosen once, when a module is loaded or an adapter is made.
 *
 * Names are `WHO.CALL:before` and `WHO.CALL:after`. What only reads has none, nor has what ends with the process, such as a socket or a
 * stay in another namespace: to end there is to end behind the last call that has one.
 */
import { spawnSync } from 'node:child_process';
import { openSync, writeSync } from 'node:fs';
import { kill, pid } from 'node:process';
import { workerData } from 'node:worker_threads';

/** To be called where the process may end, with the name of the place. */
export type Reach = (name: string) => void;

const settings = /^(?:record:(?<file>\/.+)|run:(?<program>\/.+)|kill:(?<name>[^\s@]+)@(?<time>[1-9]\d{0,8}))$/;

/** Whether a text is `record:FILE`, `run:FILE` or `kill:NAME@N`. */
export const isFailpoint = (text: string): boolean => settings.test(text);

/** By setting: whoever passes a place of one name in a thread counts with the others. */
const opened = new Map<string, Reach>();

/** @throws Error for a text that is no such setting */
export const failpoint = (setting: string): Reach => {
  const reach = opened.get(setting) ?? open(setting);
  opened.set(setting, reach);
  return reach;
};

const open = (setting: string): Reach => {
  const { file, program, name: place, time } = settings.exec(setting)?.groups ?? {};
  if (file !== undefined) {
    // Of all threads and processes: each line is one write to the end.
    const descriptor = openSync(file, 'a');
    return (name) => {
      writeSync(descriptor, `${name}\n`);
    };
  }
  if (program !== undefined)
    return (name) => {
      spawnSync(program, [name], { stdio: 'inherit' });
    };
  if (place === undefined) throw new Error(`no failpoint: ${setting}`);
  let left = Number(time);
  return (name) => {
    if (name !== place || --left > 0) return;
    kill(pid, 'SIGKILL');
    // Whoever is killed by itself does not come back from that.
    for (;;);
  };
};

/** What a thread with failpoints is started with, under `failpoint` of its data. */
export interface ThreadFailpoint {
  readonly setting: string | null;
  /** Who the thread is, in front of the names of its places: `kernel.setup`. */
  readonly who: string;
  readonly fuse: SharedArrayBuffer | null;
}

const given = (workerData as { readonly failpoint?: ThreadFailpoint } | null)?.failpoint;

const named = ({ setting, who }: ThreadFailpoint): Reach | null => {
  if (setting === null) return null;
  const reach = failpoint(setting);
  return (name) => reach(`${who}.${name}`);
};

/** That of this thread; null, which is the rule, where it was started with none. */
export const reach: Reach | null = given ? named(given) : null;

/**
 * Calls that fail instead of being made, as a test wants it: three 32-bit numbers that it shares with the thread. How many calls there
 * were since it set this to 0; and from which on, counted from 1, to which they fail. None where the last one is 0.
 */
const fuseOf = (shared: SharedArrayBuffer): (() => boolean) => {
  const numbers = new Int32Array(shared);
  return () => {
    const call = Atomics.add(numbers, 0, 1) + 1;
    return call >= Atomics.load(numbers, 1) && call <= Atomics.load(numbers, 2);
  };
};

/** Whether what comes now is to fail; null, which is the rule, where nothing ever is. */
export const blows: (() => boolean) | null = given?.fuse ? fuseOf(given.fuse) : null;

/** Whether calls of this thread have places at all. */
export const isWatched = reach !== null || blows !== null;

/**
 * The call with a place before and one after it. One that throws has not been made.
 * @param instead how it fails where it is told to; left out, it never is
 */
export const around = <F extends (...args: never[]) => unknown>(name: string, call: F, instead?: () => unknown): F => {
  if (!isWatched) return call;
  const guarded = (...args: never[]): unknown => {
    if (instead && blows?.()) return instead();
    reach?.(`${name}:before`);
    const result = call(...args);
    reach?.(`${name}:after`);
    return result;
  };
  return guarded as F;
};
