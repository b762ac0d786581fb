/** The embedded nats-server: configured for our guarantees, kept alive, one per data directory. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { resolve as resolvePath } from 'node:path';
import type { Logger } from 'pino';
import { type Clock, sleep, systemClock } from '../lib/clock.ts';
import { PREFERRED_PORT } from '../lib/defaults.ts';
import { makeFolder } from '../lib/make-folder.ts';
import { lockDataDir } from './data-dir-lock.ts';
import { NatsFault } from './fault.ts';
import { choosePort, greeting, HOST } from './ports.ts';
import { publicUrl } from './public-url.ts';
import { type ServerFiles, serverConfig, serverFiles } from './server-config.ts';
import { SERVER_USER, serverSecret } from './server-secret.ts';

export interface ServerOptions {
  /** The program, from `findServerBinary`. */
  readonly binary: string;
  /** Holds the streams, the lock and the port; made when missing. */
  readonly dataDir: string;
  /** Holds configuration, pid file and logs; the data directory when left out. */
  readonly runDir?: string;
  /** The port for a data directory that has none yet; later the kept one counts. */
  readonly port?: number;
  readonly log: Logger;
  readonly clock?: Clock;
  /** Around each start of the program, which inherits what is set there; the start alone when left out. */
  readonly starting?: Starting;
}

export type Starting = <T>(start: () => T) => T;

export interface EmbeddedServer {
  /** `nats://cnm:PASSWORD@127.0.0.1:port`: whoever knows it may command. */
  readonly url: string;
  readonly port: number;
  /** The server process, changes when it had to be restarted; undefined between two of them. */
  pid(): number | undefined;
  /** Resolves at `stop()`; rejects with NatsFault SERVER_FAILED when the server could not be kept alive. */
  readonly closed: Promise<void>;
  /** SIGTERM, after ten seconds SIGKILL; then gives the data directory free. */
  stop(): Promise<void>;
}

/** Recovering a stream of a million messages takes a second; ten times that and some. */
const READY_MS = 30_000;
const POLL_MS = 20;
const STOP_MS = 10_000;
const BACKOFF_FIRST_MS = 100;
const BACKOFF_MOST_MS = 5_000;
/** Restarts without a minute of life in between; then somebody has to look. */
const FAILED_STARTS_MAX = 8;
const STABLE_MS = 60_000;
const LOG_TAIL_CHARS = 600;

/**
 * Starts the server and resolves when it answers. Should it die, it is started again with growing pauses; connections wait and resume.
 * It listens on 127.0.0.1 only, lets in whoever has its password, syncs every append to disk, and lives in a process group of its own, so that Ctrl-C reaches us and we stop
 * it last. A server that a killed predecessor of ours left running on the same directory is stopped first.
 *
 * @throws NatsFault DATA_DIR_IN_USE, PORT_IN_USE, or SERVER_FAILED with the end of what the server said.
 */
export const startServer = async (options: ServerOptions): Promise<EmbeddedServer> => {
  const clock = options.clock ?? systemClock;
  const dataDir = resolvePath(options.dataDir);
  const runDir = resolvePath(options.runDir ?? options.dataDir);
  const lock = await lockDataDir(dataDir, clock);
  try {
    makeFolder(runDir);
    const files = serverFiles(runDir);
    await stopLeftover(files, clock, options.log);
    const port = await choosePort(dataDir, options.port ?? PREFERRED_PORT);
    const serverName = `cnm-${clock.randomId(8)}`;
    const secret = serverSecret(dataDir, clock);
    // one that is there keeps its mode, whatever that is
    rmSync(files.config, { force: true });
    writeFileSync(files.config, serverConfig({ dataDir, port, serverName, secret, files }), { mode: 0o600 });
    const server = new Supervisor({ ...options, clock }, files, { port, serverName, secret }, lock.release);
    await server.start();
    return server;
  } catch (error) {
    lock.release();
    throw error;
  }
};

type Supervised = ServerOptions & { readonly clock: Clock };

class Supervisor implements EmbeddedServer {
  readonly url: string;
  readonly port: number;
  readonly closed: Promise<void>;
  private readonly resolveClosed: () => void;
  private readonly rejectClosed: (reason: unknown) => void;
  private readonly options: Supervised;
  private readonly files: ServerFiles;
  private readonly serverName: string;
  private readonly release: () => void;
  private child: ChildProcess | undefined;
  private stopping = false;
  private failedStarts = 0;

  constructor(
    options: Supervised,
    files: ServerFiles,
    at: { port: number; serverName: string; secret: string },
    release: () => void,
  ) {
    this.options = options;
    this.files = files;
    this.port = at.port;
    this.serverName = at.serverName;
    this.url = `nats://${SERVER_USER}:${at.secret}@${HOST}:${at.port}`;
    this.release = release;
    const closed = Promise.withResolvers<void>();
    this.closed = closed.promise;
    this.resolveClosed = closed.resolve;
    this.rejectClosed = closed.reject;
  }

  pid(): number | undefined {
    return this.child?.pid;
  }

  async start(): Promise<void> {
    const { child, exited } = this.launch();
    await this.ready(child);
    const readySinceMs = this.options.clock.monotonicMs();
    this.options.log.info(
      { url: publicUrl(this.url), pid: child.pid, config: this.files.config },
      'nats-server is ready',
    );
    void exited.then(() => this.revive(child, readySinceMs));
  }

  async stop(): Promise<void> {
    if (this.stopping) return this.closed;
    this.stopping = true;
    const child = this.child;
    if (child !== undefined && !hasExited(child)) {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      const cancel = this.options.clock.after(STOP_MS, () => child.kill('SIGKILL'));
      await gone;
      cancel();
    }
    this.release();
    this.resolveClosed();
  }

  private launch(): { child: ChildProcess; exited: Promise<void> } {
    const { binary, starting = (start) => start() } = this.options;
    const stderr = openSync(this.files.stderr, 'w');
    const child = starting(() =>
      spawn(binary, ['-c', this.files.config], { stdio: ['ignore', stderr, stderr], detached: true }),
    );
    closeSync(stderr);
    this.child = child;
    const exited = new Promise<void>((resolve) => {
      child.once('exit', () => resolve());
      // a program that cannot be started says so here and never exits
      child.once('error', (error) => {
        this.options.log.error({ err: error, binary }, 'nats-server cannot be started');
        resolve();
      });
    });
    return { child, exited };
  }

  /** Waits for the greeting of this very server, so that nothing else on the port is taken for it. */
  private async ready(child: ChildProcess): Promise<void> {
    const deadlineMs = this.options.clock.monotonicMs() + READY_MS;
    while (this.options.clock.monotonicMs() < deadlineMs && child.pid !== undefined && !hasExited(child)) {
      const info = await greeting(this.port);
      if (info?.server_name === this.serverName) return;
      await sleep(this.options.clock, POLL_MS);
    }
    if (!hasExited(child)) child.kill('SIGKILL');
    const said = `${tail(this.files.stderr)} ${tail(this.files.log)}`.trim();
    const message = `nats-server on port ${this.port} did not get ready: ${said || `see ${this.files.log}`}`;
    throw new NatsFault('SERVER_FAILED', message);
  }

  private async revive(dead: ChildProcess, readySinceMs: number): Promise<void> {
    if (this.stopping) return;
    // one that lived for a while gets its first restarts at once again
    if (this.options.clock.monotonicMs() - readySinceMs > STABLE_MS) this.failedStarts = 0;
    let reason: unknown = new NatsFault('SERVER_FAILED', `nats-server keeps dying; see ${this.files.log}`);
    for (; this.failedStarts < FAILED_STARTS_MAX; this.failedStarts++) {
      const delayMs = Math.min(BACKOFF_MOST_MS, BACKOFF_FIRST_MS * 2 ** this.failedStarts);
      const { exitCode, signalCode } = dead;
      this.options.log.error({ exitCode, signalCode, delayMs }, 'nats-server died; starting it again');
      await sleep(this.options.clock, delayMs);
      if (this.stopping) return;
      try {
        await this.start();
        this.failedStarts++;
        return;
      } catch (error) {
        if (this.stopping) return;
        reason = error;
      }
    }
    this.release();
    this.rejectClosed(reason);
  }
}

const hasExited = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null;

const readText = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
};

const tail = (path: string): string => readText(path).slice(-LOG_TAIL_CHARS).trim();

/** A predecessor of ours that was killed could not stop its server, which would write to the same files. */
const stopLeftover = async (files: ServerFiles, clock: Clock, log: Logger): Promise<void> => {
  const pid = Number(readText(files.pid).trim());
  const runs = () => pid > 0 && readText(`/proc/${pid}/cmdline`).includes(files.config);
  if (!runs()) return;
  log.warn({ pid }, 'stopping the nats-server that a killed cnm left behind');
  process.kill(pid, 'SIGTERM');
  const deadlineMs = clock.monotonicMs() + STOP_MS;
  while (runs()) {
    if (clock.monotonicMs() > deadlineMs) process.kill(pid, 'SIGKILL');
    await sleep(clock, POLL_MS);
  }
};
