/** `cnm up` and `cnm serve X` as processes: started, watched, ended by any signal. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';

const launcher = join(import.meta.dirname, '../../services/cli/cnm');

/** What the process says of itself in one line of JSON once it serves. */
export interface Said {
  readonly url: string;
  readonly pid: number;
  readonly startedInMs: number;
  readonly httpUrl?: string;
}

export interface ServiceProcess extends Said {
  /** Its exit code; null when a signal ended it. */
  readonly gone: Promise<number | null>;
  /** What it has logged, the last of it. */
  log(): string;
  signal(signal: NodeJS.Signals): void;
  /** Sends a signal and waits for the end. */
  end(signal?: NodeJS.Signals): Promise<number | null>;
}

const READY_MS = 60_000;
const LOG_CHARS = 200_000;

/** Starts `cnm WORDS --json`; resolves when it serves. @throws with its log when it does not */
export const startProcess = async (
  words: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<ServiceProcess> => {
  const child = spawn(launcher, [...words, '--json'], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let [out, log] = ['', ''];
  child.stderr.setEncoding('utf8').on('data', (text) => {
    log = (log + text).slice(-LOG_CHARS);
  });
  const gone = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
  const kill = (): boolean => child.kill('SIGKILL');
  process.once('exit', kill);
  void gone.then(() => process.removeListener('exit', kill));
  const line = await new Promise<string>((resolve, reject) => {
    const fail = (why: string) => reject(new Error(`cnm ${words.join(' ')} ${why}: ${out} ${log.slice(-4_000)}`));
    const timer = setTimeout(() => {
      kill();
      fail('says nothing');
    }, READY_MS);
    void gone.then((code) => {
      clearTimeout(timer);
      fail(`ended with ${code}`);
    });
    child.stdout.setEncoding('utf8').on('data', (text) => {
      out += text;
      if (!out.includes('\n')) return;
      clearTimeout(timer);
      resolve(out);
    });
  });
  return {
    ...(JSON.parse(line) as Said),
    gone,
    log: () => log,
    signal: (signal) => child.kill(signal),
    end: (signal = 'SIGTERM') => {
      child.kill(signal);
      return gone;
    },
  };
};
