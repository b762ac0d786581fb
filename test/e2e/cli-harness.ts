/** The command line as a user has it: the launcher, a `cnm up` in temporary folders, calls with their exit codes. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const launcher = join(import.meta.dirname, '../../services/cli/cnm');

export interface Said {
  readonly exit: number;
  readonly out: string;
  readonly err: string;
}

export interface Place {
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  /** A call of the command line. */
  cnm(...words: string[]): Said;
  /** The same with other variables. */
  cnmWith(env: Readonly<Record<string, string>>, ...words: string[]): Said;
  /** The document that a call prints with --json. @throws when it fails */
  // biome-ignore lint/suspicious/noExplicitAny: documents of all kinds, which tests look into
  json(...words: string[]): any;
  /** Starts `cnm up`; resolves when it says that it is up. */
  up(...words: string[]): Promise<Running>;
  remove(): void;
}

export interface Running {
  readonly pid: number;
  readonly url: string;
  readonly startedInMs: number;
  /** Ends it by a signal; the answer is its exit code. */
  end(signal?: NodeJS.Signals): Promise<number | null>;
}

const CALL_MS = 60_000;
const UP_MS = 60_000;

export interface PlaceOptions {
  /** Words in front of the launcher, such as setpriv's. */
  readonly prefix?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Another launcher than the repository's. */
  readonly program?: string;
}

/** A place of its own, so that nothing of the machine is touched. */
export const makePlace = ({ prefix = [], env: more = {}, program = launcher }: PlaceOptions = {}): Place => {
  const folder = mkdtempSync(join(tmpdir(), 'cnm-cli-'));
  const env = {
    PATH: process.env.PATH ?? '',
    HOME: folder,
    CNM_DATA_DIR: join(folder, 'data'),
    CNM_RUN_DIR: join(folder, 'run'),
    CNM_HOST: 'h1',
    CNM_REALM: 'e2e',
    CNM_ACTOR: 'tester',
    ...more,
  };
  const [file = program, ...first] = [...prefix, program];
  const cnmWith = (variables: Readonly<Record<string, string>>, ...words: string[]): Said => {
    const { status, stdout, stderr } = spawnSync(file, [...first, ...words], {
      env: { ...env, ...variables },
      encoding: 'utf8',
      timeout: CALL_MS,
    });
    return { exit: status ?? -1, out: stdout, err: stderr };
  };
  return {
    folder,
    env,
    cnmWith,
    cnm: (...words) => cnmWith({}, ...words),
    json: (...words) => {
      const { exit, out, err } = cnmWith({}, ...words, '--json');
      if (exit !== 0) throw new Error(`cnm ${words.join(' ')}: ${exit}: ${err}`);
      return JSON.parse(out);
    },
    up: async (...words) => {
      const child = spawn(file, [...first, 'up', '--json', ...words], { env, stdio: ['ignore', 'pipe', 'pipe'] });
      return upOf(child, await firstLine(child));
    },
    remove: () => {
      // the worker's tmpfs covers a folder of it
      spawnSync('umount', ['--lazy', join(folder, 'run', 'e2e-h1')]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
};

const firstLine = (child: ChildProcess): Promise<string> =>
  new Promise((resolve, reject) => {
    let [out, err] = ['', ''];
    const fail = (why: string) => reject(new Error(`cnm up ${why}: ${out} ${err}`));
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      fail('says nothing');
    }, UP_MS);
    child.stderr?.setEncoding('utf8').on('data', (text) => {
      err = (err + text).slice(-4_000);
    });
    child.stdout?.setEncoding('utf8').on('data', (text) => {
      out += text;
      if (!out.includes('\n')) return;
      clearTimeout(timer);
      resolve(out);
    });
    child.once('exit', (code) => {
      clearTimeout(timer);
      fail(`ended with ${code}`);
    });
  });

const upOf = (child: ChildProcess, line: string): Running => {
  const { url, pid, startedInMs } = JSON.parse(line);
  const gone = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  return {
    url,
    pid,
    startedInMs,
    end: async (signal = 'SIGTERM') => {
      process.kill(pid, signal);
      return gone;
    },
  };
};
