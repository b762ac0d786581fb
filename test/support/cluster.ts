/** A JetStream cluster for tests: three nats-servers of which any may be killed, each with a folder and ports of its own. */
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { end, freePort, launch, testServerBinary, waitFor } from './nats.ts';

export interface TestCluster {
  /** All of its servers, with commas, by 127.0.0.1. */
  readonly url: string;
  /** The same by another address of this machine, for `listen: 0.0.0.0`. */
  urlAt(address: string): string;
  /** Which server leads a stream now; null while nobody does. */
  leaderOf(stream: string): Promise<number | null>;
  /** `kill -9`; its streams stay. */
  kill(index: number): Promise<void>;
  /** Starts a killed one again on the same port and folder; resolves when it has caught up. */
  restart(index: number): Promise<void>;
  /** A bare connection, closed by `stop`. */
  connect(): Promise<NatsConnection>;
  stop(): Promise<void>;
}

interface Server {
  readonly name: string;
  readonly port: number;
  readonly monitor: number;
  readonly route: number;
  readonly folder: string;
}

export interface ClusterOptions {
  /** Address to listen on for clients. */
  readonly listen?: string;
}

/** Electing a leader takes seconds; a machine under load some more. */
const READY_MS = 60_000;

const configOf = (server: Server, all: readonly Server[], listen: string): string =>
  [
    `server_name: ${server.name}`,
    `listen: "${listen}:${server.port}"`,
    `http: "127.0.0.1:${server.monitor}"`,
    'cluster {',
    '  name: cnm-test',
    `  listen: "127.0.0.1:${server.route}"`,
    `  routes: [${all.map(({ route }) => `"nats-route://127.0.0.1:${route}"`).join(', ')}]`,
    '  no_advertise: true',
    '}',
    `jetstream { store_dir: "${server.folder}", sync_interval: always }`,
    '',
  ].join('\n');

/** Asks a monitoring port; null while it does not answer, or answers that it is not well. */
const ask = async <T>({ monitor }: Server, path: string): Promise<T | null> => {
  try {
    const response = await fetch(`http://127.0.0.1:${monitor}${path}`, { signal: AbortSignal.timeout(2_000) });
    return response.ok ? ((await response.json()) as T) : null;
  } catch {
    return null;
  }
};

interface Jsz {
  readonly meta_cluster?: { readonly leader?: string; readonly cluster_size: number };
}

export const startCluster = async (size: 3, { listen = '127.0.0.1' }: ClusterOptions = {}): Promise<TestCluster> => {
  const binary = testServerBinary();
  const base = mkdtempSync(join(tmpdir(), 'cnm-cluster-'));
  const servers: Server[] = [];
  for (let index = 0; index < size; index++) {
    const [port, monitor, route] = [await freePort(), await freePort(), await freePort()];
    const folder = join(base, `n${index}`);
    mkdirSync(folder);
    servers.push({ name: `n${index}`, port, monitor, route, folder });
  }
  const serverAt = (index: number): Server => servers[index] ?? fail(index);
  const children = new Map<number, ChildProcess>();
  const connections: NatsConnection[] = [];
  const start = async (index: number): Promise<void> => {
    const server = serverAt(index);
    const config = join(server.folder, 'nats.conf');
    writeFileSync(config, configOf(server, servers, listen));
    children.set(index, await launch(binary, config, server.port));
  };
  const isWhole = async (): Promise<boolean> => {
    const said = await Promise.all(servers.map((server) => ask<Jsz>(server, '/jsz')));
    return said.every((jsz) => jsz?.meta_cluster?.leader !== undefined && jsz.meta_cluster.cluster_size === size);
  };
  await Promise.all(servers.map((_, index) => start(index)));
  await waitFor(isWhole, { what: 'the cluster to have a leader', timeoutMs: READY_MS });
  const urlAt = (address: string): string => servers.map(({ port }) => `nats://${address}:${port}`).join(',');
  const bare = async (): Promise<NatsConnection> => {
    const connection = await connect({
      ...{ servers: urlAt('127.0.0.1').split(','), noAsyncTraces: true },
      ...{ maxReconnectAttempts: -1, reconnectTimeWait: 50 },
    });
    connections.push(connection);
    return connection;
  };
  return {
    url: urlAt('127.0.0.1'),
    urlAt,
    connect: bare,
    leaderOf: async (stream) => {
      const manager = await jetstreamManager(connections[0] ?? (await bare()), { checkAPI: false });
      const info = await manager.streams.info(stream).catch(() => null);
      const index = servers.findIndex(({ name }) => name === info?.cluster?.leader);
      return index < 0 || children.get(index)?.signalCode ? null : index;
    },
    kill: (index) => end(children.get(index) ?? fail(index), 'SIGKILL'),
    restart: async (index) => {
      await start(index);
      const isWell = async (): Promise<boolean> => (await ask(serverAt(index), '/healthz')) !== null;
      await waitFor(isWell, { what: `server ${index} to have caught up`, timeoutMs: READY_MS });
    },
    stop: async () => {
      await Promise.all(connections.map((connection) => connection.close()));
      await Promise.all([...children.values()].map((child) => end(child, 'SIGKILL')));
      rmSync(base, { recursive: true, force: true });
    },
  };
};

const fail = (index: number): never => {
  throw new Error(`there is no server ${index}`);
};
