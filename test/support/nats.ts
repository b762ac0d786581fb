/** Real nats-servers for tests: each in a folder of its own, on a free port, stopped by its pid. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JetStreamManager, StreamConfig, StreamInfo } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import type { Stream } from '../../services/lib/stream.ts';
import { findServerBinary } from '../../services/nats/binary.ts';
import { jetStream } from '../../services/nats/jetstream.ts';
import { bindable, greeting } from '../../services/nats/ports.ts';

export interface TestNats {
  readonly url: string;
  readonly pid: number;
  readonly dataDir: string;
  /** `http://127.0.0.1:port` of the monitoring port. */
  readonly monitorUrl: string;
  /** Stops the server (SIGTERM) and removes its folder. */
  stop(): Promise<void>;
  /** `kill -9`; the streams stay. */
  kill(): Promise<void>;
  /** Kills it, if it lives, and starts it on the same port and folder again. */
  restart(): Promise<void>;
  /** A bare connection, closed by `stop`. */
  connect(): Promise<NatsConnection>;
}

export interface TestNatsOptions {
  /** The `sync_interval` setting as it is written in the configuration (a duration needs its quotes: `"2m"`); `always` when left out. */
  readonly sync?: string;
  /** False: a server without JetStream. */
  readonly jetstream?: boolean;
  /** Address to listen on; 127.0.0.1 when left out. */
  readonly listen?: string;
  /** More lines of configuration. */
  readonly config?: string;
  /** Where its folder is to be; that of temporary files when left out. */
  readonly under?: string;
}

const READY_MS = 20_000;
const POLL_MS = 20;

/** The nats-server that tests use, as `npm run setup` left it. @throws when there is none */
export const testServerBinary = (): string => {
  const cacheDir = join(import.meta.dirname, '../../.cache/nats-server');
  const found = findServerBinary({ searchPath: process.env.PATH ?? '', cacheDir });
  if (!found.ok) throw new Error(found.problems.map(({ text, remedy }) => `${text} ${remedy}`).join(' '));
  return found.path;
};

export const startNats = async (options: TestNatsOptions = {}): Promise<TestNats> => {
  const binary = testServerBinary();
  const dataDir = mkdtempSync(join(options.under ?? tmpdir(), 'cnm-nats-'));
  const config = join(dataDir, 'nats.conf');
  const jetstream = `jetstream { store_dir: "${dataDir}", sync_interval: ${options.sync ?? 'always'} }`;
  const [port, monitorPort, first] = await onFreePorts(
    async (port, monitorPort): Promise<[number, number, ChildProcess]> => {
      const lines = [
        `listen: "${options.listen ?? '127.0.0.1'}:${port}"`,
        `http: 127.0.0.1:${monitorPort}`,
        options.config ?? '',
      ];
      writeFileSync(config, [...lines, options.jetstream === false ? '' : jetstream, ''].join('\n'));
      return [port, monitorPort, await launch(binary, config, port)];
    },
  );
  const connections: NatsConnection[] = [];
  let child = first;
  const url = `nats://127.0.0.1:${port}`;
  return {
    url,
    get pid() {
      return child.pid ?? 0;
    },
    dataDir,
    monitorUrl: `http://127.0.0.1:${monitorPort}`,
    stop: async () => {
      await Promise.all(connections.map((connection) => connection.close()));
      await end(child, 'SIGTERM');
      rmSync(dataDir, { recursive: true, force: true });
    },
    kill: () => end(child, 'SIGKILL'),
    restart: async () => {
      await end(child, 'SIGKILL');
      child = await launch(binary, config, port);
    },
    connect: async () => {
      const connection = await connect({
        servers: url,
        noAsyncTraces: true,
        maxReconnectAttempts: -1,
        reconnectTimeWait: 50,
      });
      connections.push(connection);
      return connection;
    },
  };
};

const PATIENCE_MS = 60_000;

/**
 * A stream for what a test lays out and looks up itself. It waits for answers where a service would ask again: a machine that stands
 * still for seconds is no failure of what is tested.
 */
export const testStream = (connection: NatsConnection, name: string): Stream =>
  jetStream(connection, name, { timeoutMs: PATIENCE_MS });

const TRIES_MAX = 3;

/** Ports that are free when they are asked for may be somebody else's a moment later, or the same one twice: then others are tried. */
const onFreePorts = async <T>(start: (one: number, other: number) => Promise<T>): Promise<T> => {
  for (let tries = 1; ; tries++) {
    try {
      return await start(await freePort(), await freePort());
    } catch (error) {
      if (tries === TRIES_MAX || !String(error).includes('address already in use')) throw error;
    }
  }
};

export const freePort = async (): Promise<number> => {
  const port = await bindable(0);
  if (port === null) throw new Error('no free port');
  return port;
};

/** Starts a server; resolves when it greets on its port. */
export const launch = async (binary: string, config: string, port: number): Promise<ChildProcess> => {
  let said = '';
  const child = spawn(binary, ['-c', config], { stdio: ['ignore', 'ignore', 'pipe'] });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    said = (said + text).slice(-2_000);
  });
  // a test that fails must not wait for its server, nor leave it behind
  child.unref();
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  child.once('exit', () => process.removeListener('exit', kill));
  const deadlineMs = performance.now() + READY_MS;
  while ((await greeting(port)) === null) {
    if (child.exitCode !== null || performance.now() > deadlineMs)
      throw new Error(`nats-server did not start: ${said}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return child;
};

export const end = async (child: ChildProcess, signal: NodeJS.Signals): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await gone;
};

/** Waits until `predicate` holds. @throws naming `what` after `timeoutMs` */
export const waitFor = async (
  predicate: () => boolean | Promise<boolean>,
  { what, timeoutMs = 30_000 }: { what: string; timeoutMs?: number },
): Promise<void> => {
  const deadlineMs = performance.now() + timeoutMs;
  while (!(await predicate())) {
    if (performance.now() > deadlineMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
};

export interface TestProxy {
  readonly url: string;
  /** True: what the server sends is thrown away, as on a line that is dead in one direction. */
  swallow(on: boolean): void;
  /** Closes all connections through it. */
  cut(): void;
  stop(): Promise<void>;
}

/** A wire between a client and a server that can be made to fail. */
export const startProxy = async (target: string): Promise<TestProxy> => {
  const port = await freePort();
  const sockets = new Set<Socket>();
  let swallowing = false;
  const server = createServer((client) => {
    const upstream = createConnection({ host: '127.0.0.1', port: Number(new URL(target).port) });
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.on('data', (chunk) => upstream.write(chunk));
    upstream.on('data', (chunk) => {
      if (!swallowing) client.write(chunk);
    });
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `nats://127.0.0.1:${port}`,
    swallow: (on) => {
      swallowing = on;
    },
    cut,
    stop: () => {
      cut();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
};

/**
 * Makes a stream, also where one of that name has just been deleted: the server removes its directory a little later, and says
 * `error creating store` until then.
 */
export const addStream = async (
  manager: JetStreamManager,
  config: Partial<StreamConfig> & { name: string },
): Promise<StreamInfo> => {
  for (let attempt = 0; ; attempt++) {
    try {
      return await manager.streams.add(config);
    } catch (error) {
      if (attempt === 50 || !String(error).includes('creating store')) throw error;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
};
