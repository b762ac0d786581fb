/**
 * Several hosts on one machine: root-like network namespaces on a bridge in the namespace of the test, each with its own worker process.
 * The server listens in the namespace of the test, so that any host can be cut off from it and from the others.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Client, connect } from '../../services/client/index.ts';
import type { ServiceName } from '../../services/up/service-names.ts';
import { end } from './nats.ts';
import { awaitOwnNamespace, sh, shIn } from './netns.ts';

/** Where hosts find the server: the bridge itself. */
export const serverAddress = '10.99.0.254';

export interface TestHost {
  readonly name: string;
  /** Its namespace, a path for `nsenter --net`. */
  readonly netns: string;
  /** On the bridge, on `uplink0`. */
  readonly address: string;
  /** Starts its worker; resolves when it serves. @throws with what it said when it ends instead */
  start(env?: Readonly<Record<string, string>>): Promise<Worker>;
  /** `kill -9` to its worker, the last one started. */
  kill(): Promise<void>;
  /** Takes it off the bridge for so long, and until that has come. */
  cut(ms: number, until?: Promise<unknown>): Promise<void>;
  /** Output of a shell command on it. */
  exec(command: string): string;
}

export interface Worker {
  readonly pid: number;
  /** What it has logged so far. */
  log(): string;
  /** Its exit code, or null for a signal. */
  readonly gone: Promise<number | null>;
}

export interface Hosts {
  readonly hosts: readonly TestHost[];
  readonly folder: string;
  at(index: number): TestHost;
  /** Runs a service in the namespace of the test. */
  serve(service: Exclude<ServiceName, 'worker'>): Promise<Worker>;
  /** A client in the namespace of the test, closed by `stop`. */
  client(): Promise<Client>;
  stop(): Promise<void>;
}

export interface HostsOptions {
  /** The server's URL or URLs as hosts reach it: `serverAddress`. */
  readonly url: string;
  readonly realm?: string;
  readonly env?: Readonly<Record<string, string>>;
}

const launcher = join(import.meta.dirname, '../../services/cli/cnm');
const READY_MS = 60_000;
const LOG_CHARS = 20_000;

/** Starts `cnm serve X`; resolves when it says that it serves. */
const serving = async (
  words: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<[ChildProcess, Worker]> => {
  const [file = '', ...argv] = words;
  const child = spawn(file, argv, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let [out, log] = ['', ''];
  child.stderr.setEncoding('utf8').on('data', (text) => {
    log = (log + text).slice(-LOG_CHARS);
  });
  const gone = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
  await new Promise<void>((resolve, reject) => {
    const fail = (why: string) => reject(new Error(`${words.join(' ')} ${why}: ${log}`));
    const timer = setTimeout(() => fail('says nothing'), READY_MS);
    void gone.then((code) => {
      clearTimeout(timer);
      fail(`ended with ${code}`);
    });
    child.stdout.setEncoding('utf8').on('data', (text) => {
      out += text;
      if (!out.includes(' serves on ')) return;
      clearTimeout(timer);
      resolve();
    });
  });
  return [child, { pid: child.pid ?? 0, log: () => log, gone }];
};

/** To be called in a namespace of the test's own (`inOwnNamespaces`): makes the bridge `hosts0` there, and `count` hosts on it. */
export const startHosts = async (count: number, options: HostsOptions): Promise<Hosts> => {
  const { url, realm = 'e2e', env: more = {} } = options;
  const folder = mkdtempSync(join(tmpdir(), 'cnm-hosts-'));
  const children: ChildProcess[] = [];
  const clients: Client[] = [];
  const common = {
    ...{ PATH: process.env.PATH ?? '', HOME: folder, CNM_REALM: realm, CNM_NATS_URL: url, CNM_NATS_SYNC: 'always' },
    ...more,
  };
  const serve = async (
    words: readonly string[],
    env: Readonly<Record<string, string>>,
  ): Promise<[ChildProcess, Worker]> => {
    const started = await serving(words, env);
    children.push(started[0]);
    return started;
  };
  sh(`ip link set lo up
    ip link add hosts0 type bridge
    ip addr add ${serverAddress}/24 dev hosts0
    ip link set hosts0 up`);
  const make = (index: number): TestHost => {
    const name = `h${index + 1}`;
    const address = `10.99.0.${index + 1}`;
    // the namespace lives as long as this does
    const keeper = spawn('unshare', ['--net', 'sleep', 'infinity'], { stdio: 'ignore' });
    children.push(keeper);
    const netns = `/proc/${keeper.pid}/ns/net`;
    awaitOwnNamespace(netns);
    sh(`ip link add port${index} type veth peer name uplink0 netns ${keeper.pid}
      ip link set port${index} master hosts0 up`);
    shIn(
      netns,
      `ip link set lo up; ip addr add ${address}/24 dev uplink0; ip link set uplink0 up; ip route add default via ${serverAddress}`,
    );
    const runDir = join(folder, name);
    const env = { ...common, CNM_HOST: name, CNM_RUN_DIR: runDir };
    let worker: ChildProcess | null = null;
    return {
      ...{ name, netns, address },
      start: async (own = {}) => {
        const [child, said] = await serve(['nsenter', `--net=${netns}`, launcher, 'serve', 'worker'], {
          ...env,
          ...own,
        });
        worker = child;
        return said;
      },
      kill: async () => {
        if (worker) await end(worker, 'SIGKILL');
      },
      cut: async (ms, until) => {
        sh(`ip link set port${index} down`);
        await Promise.all([new Promise((resolve) => setTimeout(resolve, ms)), until]);
        sh(`ip link set port${index} up`);
      },
      exec: (command) => shIn(netns, command),
    };
  };
  const hosts = Array.from({ length: count }, (_, index) => make(index));
  return {
    hosts,
    folder,
    at: (index) => hosts[index] ?? failAt(index),
    serve: async (service) =>
      (await serve([launcher, 'serve', service], { ...common, CNM_HOST: 'apart', CNM_RUN_DIR: folder }))[1],
    client: async () => {
      const client = await connect({ url, actor: 'tester' });
      clients.push(client);
      return client;
    },
    stop: async () => {
      await Promise.all(clients.map((client) => client.close()));
      // the last started first: hosts go when nobody uses them any more
      for (const child of children.reverse()) await end(child, 'SIGKILL');
      spawnSync('sh', ['-c', `umount --lazy ${folder}/*/*`]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
};

const failAt = (index: number): never => {
  throw new Error(`there is no host ${index}`);
};
