/** What benches share: statistics, the machine they ran on, programs of their own. */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cpus, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { promisify } from 'node:util';

/** The value below which a share of the samples lies, 0 to 1; samples in any order. */
export const percentile = (samples: readonly number[], share: number): number => {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
};
export const median = (samples: readonly number[]): number => percentile(samples, 0.5);
export const round = (value: number, digits = 3): number => Number(value.toFixed(digits));

/** What a bench has measured: one JSON document on a line, which bench/run.ts reads from standard output. */
export const printResult = (result: object): void => {
  process.stdout.write(`${JSON.stringify(result)}\n`);
};

export const machine = () => ({
  cpu: cpus()[0]?.model.trim() ?? 'unknown',
  cores: cpus().length,
  memoryGb: Math.round(totalmem() / 2 ** 30),
  kernel: release(),
  node: process.version,
});

/** Kernel floor: bench/limit.c, compiled once, with the flags that make it fastest. */
const limitProgram = (): string => {
  const program = join(mkdtempSync(join(tmpdir(), 'cnm-limit-')), 'limit');
  execFileSync('gcc', ['-O2', '-pthread', join(import.meta.dirname, 'limit.c'), '-o', program]);
  return program;
};
let program: string | null = null;

/**
 * Network namespaces that the kernel has not torn down yet, those that nobody can see any more included (proc(5), slabinfo). The
 * slab counts some free ones too, so this is good to a hundred or two.
 */
export const namespaces = (): number =>
  Number(/^net_namespace +(\d+)/m.exec(readFileSync('/proc/slabinfo', 'utf8'))?.[1] ?? Number.NaN);

/** Waits until hardly more namespaces than that are left: what is being torn down slows down what is being made. */
export const sweptDownTo = async (count: number): Promise<void> => {
  const deadline = performance.now() + 10_000;
  while (namespaces() > count + 200) {
    if (performance.now() > deadline)
      throw new Error(`still ${namespaces()} network namespaces, and there were ${count}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await new Promise((resolve) => setTimeout(resolve, 500));
};

export interface Floor {
  readonly perSecond: number;
  readonly p50Ms: number;
}

/** Endpoints per second, and the median of one endpoint in milliseconds, at the kernel's floor. Leaves nothing to be torn down. */
export const floor = async (endpoints: number, bridges: number): Promise<Floor> => {
  const before = namespaces();
  program ??= limitProgram();
  const args = ['-n', String(endpoints), '-b', String(bridges), '-6none', '-q1', '-tmpfs', '-td', 'async'];
  const text = execFileSync(program, args, { encoding: 'utf8' });
  const perSecond = Number(/, (\d+) endpoints\/s/.exec(text)?.[1]);
  const p50Us = Number(/TOTAL setup\s+p50\s+([\d.]+)/.exec(text)?.[1]);
  await sweptDownTo(before);
  return { perSecond, p50Ms: p50Us / 1000 };
};

/** What a sandbox that asked for names was answered (bench/dns-load.ts). */
export interface NameLoad {
  readonly asked: number;
  readonly lost: number;
  readonly bad: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
}

/** Has the sandbox of this key ask for names. @param perSecond 0: as fast as it is answered */
export const askNames = async (
  key: string,
  { seconds, perSecond }: { readonly seconds: number; readonly perSecond: number },
  names: readonly string[],
): Promise<NameLoad> => {
  const program = join(import.meta.dirname, 'dns-load.ts');
  const args = [`--net=${key}`, process.execPath, program, String(seconds), String(perSecond), ...names];
  const { stdout } = await promisify(execFile)('nsenter', args, { maxBuffer: 1 << 20 });
  return JSON.parse(stdout) as NameLoad;
};

/** Of USER_HZ, which is 100 on every Linux that there is (proc_pid_stat(5), times(2)). */
const tickMs = 10;

/** CPU time of a process with all its threads so far, milliseconds. What others run at the same time disturbs it little. */
export const cpuMs = (pid: number): number => {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name may hold anything, parentheses too: fields are counted from behind it, utime and stime are numbers 14 and 15.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * tickMs;
};

export interface Service {
  readonly url: string;
  readonly pid: number;
  /** Of its nats-server. */
  readonly serverPid: number;
  stop(): Promise<void>;
}

/** Starts `cnm up` in folders of its own, under `wrapper` (such as strace) when given, and with other settings. */
export const startService = async (
  wrapper: readonly string[] = [],
  settings: Readonly<Record<string, string>> = {},
): Promise<Service> => {
  const folder = mkdtempSync(join(tmpdir(), 'cnm-bench-'));
  const env = {
    ...process.env,
    CNM_DATA_DIR: join(folder, 'data'),
    CNM_RUN_DIR: join(folder, 'run'),
    CNM_HOST: 'bench',
    CNM_REALM: 'bench',
    CNM_LOG_LEVEL: process.env.CNM_LOG_LEVEL ?? 'error',
    ...settings,
  };
  const command = [...wrapper, join(import.meta.dirname, '../services/cli/cnm'), 'up', '--json'];
  const child: ChildProcess = spawn(command[0] ?? '', command.slice(1), { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const url = await new Promise<string>((resolve, reject) => {
    let seen = '';
    child.stdout?.on('data', (chunk) => {
      seen += String(chunk);
      const found = /nats:\/\/[^\s"]+/.exec(seen)?.[0];
      if (found !== undefined) resolve(found);
    });
    child.once('exit', (code) => reject(new Error(`cnm up ended with ${code}: ${seen}`)));
  });
  return {
    url,
    pid: child.pid ?? 0,
    serverPid: Number(readFileSync(join(env.CNM_DATA_DIR, 'nats.pid'), 'utf8')),
    stop: async () => {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      // A wrapper may keep signals to itself: the service says who it is.
      const { pid } = JSON.parse(readFileSync(join(folder, 'run', `bench-${env.CNM_HOST}.json`), 'utf8')) as {
        readonly pid: number;
      };
      process.kill(pid, 'SIGTERM');
      await ended;
      // The worker leaves its tmpfs of namespace files mounted, since sandboxes outlive it.
      execFileSync('umount', ['--lazy', join(folder, 'run', `bench-${env.CNM_HOST}`)]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
};

/** Interfaces of this network namespace whose name starts like our host ends. */
export const hostEnds = (): number =>
  readFileSync('/proc/thread-self/net/dev', 'utf8')
    .split('\n')
    .filter((line) => line.trimStart().startsWith('cv')).length;

/** Runs a program of ours in a network and mount namespace of its own, so that nothing of the machine is touched. */
export const inOwnNamespace = (file: string, args: readonly string[]): string =>
  execFileSync(
    'unshare',
    ['--net', '--mount', 'sh', '-c', 'ip link set lo up && exec "$0" "$@"', process.execPath, file, ...args],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 64 * 1024 * 1024 },
  );
