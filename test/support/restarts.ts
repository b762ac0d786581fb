/** A fleet of sandboxes under traffic whose control plane is killed and started again: alone, together, and as one process. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, connect } from '../../services/client/index.ts';
import { startNats, type TestNats } from './nats.ts';
import { sh } from './netns.ts';
import { type ServiceProcess, startProcess } from './service-process.ts';
import { type Steady, type SteadyMember, type SteadyReport, startSteady } from './steady.ts';

export interface RestartOptions {
  readonly sandboxes: number;
  readonly networks: number;
  /** How often each process is killed alone, and all of them together. */
  readonly rounds: number;
  /** How often `cnm up` is killed, and stopped and started, after that. */
  readonly ups: number;
  /** Variables of every process. */
  readonly env: Readonly<Record<string, string>>;
  readonly tell?: (line: string) => void;
}

export interface RestartReport extends SteadyReport {
  readonly restarts: number;
  /** Sandboxes that were attached in between: one after each restart. */
  readonly attached: number;
  /** The longest from a kill to an attach that was done, milliseconds. */
  readonly longestMs: number;
}

const names = ['worker', 'controller', 'projector', 'collector'] as const;
const publishedAt = { address: '192.0.2.1', port: 18080 } as const;
const STEADY_PORT = 7007;

/** To be called in namespaces of the caller's own. */
export const restartUnderTraffic = async (options: RestartOptions): Promise<RestartReport> => {
  sh(
    `ip link set lo up; ip link add out0 type bridge; ip addr add ${publishedAt.address}/24 dev out0; ip link set out0 up`,
  );
  const nats = await startNats();
  const env = { ...options.env, CNM_NATS_URL: nats.url, CNM_NATS_SYNC: 'always', CNM_LOG_LEVEL: 'warn' };
  const client = await connect({ url: nats.url, actor: 'tester' });
  const lab = new RestartLab(options, env, nats, client);
  let steady: Steady | null = null;
  try {
    await lab.startAll();
    const members = await lab.fleet();
    steady = await startSteady(members, [publishedAt]);
    await lab.restartApart();
    await lab.restartUp();
    return { ...(await steady.end()), ...lab.counts };
  } finally {
    steady?.kill();
    await lab.close();
    await client.close();
    await nats.stop();
  }
};

class RestartLab {
  readonly #options: RestartOptions;
  readonly #env: Readonly<Record<string, string>>;
  readonly #nats: TestNats;
  readonly #client: Client;
  readonly #running = new Map<string, ServiceProcess>();
  #restarts = 0;
  #attached = 0;
  #longestMs = 0;

  constructor(options: RestartOptions, env: Readonly<Record<string, string>>, nats: TestNats, client: Client) {
    this.#options = options;
    this.#env = env;
    this.#nats = nats;
    this.#client = client;
  }

  get counts() {
    return { restarts: this.#restarts, attached: this.#attached, longestMs: this.#longestMs };
  }

  async startAll(): Promise<void> {
    await Promise.all(names.map((name) => this.#start(name)));
  }

  /** Pairs of neighbours in one network each. */
  async fleet(): Promise<readonly SteadyMember[]> {
    const { sandboxes, networks, tell } = this.#options;
    for (let at = 0; at < networks; at++)
      await (await this.#client.createNetwork({ name: `n${at}`, driver: 'bridge' })).outcome;
    const of = (at: number): string => `n${Math.floor((at * networks) / sandboxes)}`;
    const attach = async (at: number): Promise<SteadyMember> => {
      const ports =
        at === 0 ? [{ hostAddress: publishedAt.address, hostPort: publishedAt.port, port: STEADY_PORT }] : [];
      const accepted = await this.#client.attachSandbox({
        sandbox: `s${at}`,
        networks: [{ network: of(at) }],
        ports,
      });
      const { sandbox, endpoints } = await accepted.outcome;
      return { key: sandbox?.key ?? '', address: endpoints[0]?.ipv4?.split('/')[0] ?? '' };
    };
    const members = await Promise.all(Array.from({ length: sandboxes }, (_, at) => attach(at)));
    tell?.(`${members.length} sandboxes`);
    return members;
  }

  async restartApart(): Promise<void> {
    for (let round = 0; round < this.#options.rounds; round++) {
      for (const name of names) {
        await this.#restart(`${name} killed`, async () => {
          await this.#running.get(name)?.end('SIGKILL');
          await this.#start(name);
        });
      }
      await this.#restart('nats-server killed', () => this.#nats.restart());
      await this.#restart('everything killed at once', async () => {
        await Promise.all([this.#nats.kill(), ...[...this.#running.values()].map((one) => one.end('SIGKILL'))]);
        await this.#nats.restart();
        await this.startAll();
      });
    }
  }

  /** From services of their own to one process, as an upgrade may. */
  async restartUp(): Promise<void> {
    const { ups } = this.#options;
    if (ups === 0) return;
    const toUp = async (signal: NodeJS.Signals): Promise<void> => {
      await Promise.all([...this.#running.values()].map((one) => one.end(signal)));
      this.#running.clear();
      this.#running.set('up', await startProcess(['up'], this.#env));
    };
    await this.#restart('services stopped, cnm up in their place', () => toUp('SIGTERM'));
    for (let round = 0; round < ups; round++) {
      await this.#restart('cnm up killed', () => toUp('SIGKILL'));
      await this.#restart('cnm up stopped', () => toUp('SIGTERM'));
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#running.values()].map((one) => one.end('SIGKILL')));
  }

  async #start(name: string): Promise<void> {
    this.#running.set(name, await startProcess(['serve', name], this.#env));
  }

  /** Restarts something, and then something new is done; the traffic has a moment to show what it has noticed. */
  async #restart(what: string, restart: () => Promise<void>): Promise<void> {
    const startedMs = performance.now();
    await restart();
    const sandbox = `extra${this.#attached++}`;
    const accepted = await this.#client.attachSandbox({ sandbox, networks: [{ network: 'n0' }] });
    await accepted.outcome;
    const tookMs = Math.round(performance.now() - startedMs);
    this.#restarts += 1;
    this.#longestMs = Math.max(this.#longestMs, tookMs);
    this.#options.tell?.(`${what}: going on after ${tookMs} ms`);
    await sleep(300);
  }
}
