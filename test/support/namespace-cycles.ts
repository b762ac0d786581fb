/**
 * Sandboxes that come and go, many at once and under the same names again and again, while others hold the namespaces of those that are gone.
 * Afterwards, when the last holder has let go, there is what there was before (pain 11).
 */
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { percentile } from '../../bench/lib.ts';
import { type Client, connect } from '../../services/client/index.ts';
import type { Place } from '../e2e/cli-harness.ts';
import { baseline, difference, type Grounds } from './crash/observe.ts';
import { randomNumbers } from './crash/random.ts';
import { Holders, waysToHold } from './holders.ts';
import { startNats, type TestNats, waitFor } from './nats.ts';
import { sh } from './netns.ts';
import { type ServiceProcess, startProcess } from './service-process.ts';

export interface CycleOptions {
  readonly cycles: number;
  readonly atOnce: number;
  /** The longest that somebody holds a namespace. */
  readonly holdSecondsMax: number;
  readonly place: Place;
  readonly tell?: (line: string) => void;
}

/** Milliseconds that attaches took. */
interface Taken {
  readonly p50: number;
  readonly p99: number;
  readonly most: number;
}

export interface CycleReport {
  readonly cycles: number;
  /** How many namespaces were held beyond their sandbox, and how many at most at the same time. */
  readonly held: number;
  readonly heldMost: number;
  /** Namespaces that the kernel still had when the last cycle was done, beyond those from before. */
  readonly lingering: number;
  /** From the end of the last holder until all is as before, milliseconds. */
  readonly settledMs: number;
  /** What is there that was not, or the other way round: links, mounts, files, rules, namespaces, descriptors of the worker, rows of views. */
  readonly left: readonly string[];
  /** What was not as it should be in a cycle. */
  readonly wrong: readonly string[];
  readonly workerMb: { readonly before: number; readonly after: number };
  /** Attaches of somebody else, one at a time beside all that: while nobody holds anything, and while many do. */
  readonly beside: { readonly free: Taken; readonly held: Taken };
}

const names = ['worker', 'controller', 'projector', 'collector'] as const;
const PER_NETWORK = 100;
const SETTLE_MS = 60_000;

/** To be called in namespaces of the caller's own. */
export const cycleNamespaces = async (options: CycleOptions): Promise<CycleReport> => {
  sh('ip link set lo up');
  const nats = await startNats();
  const cycles = new Cycles(options, nats);
  try {
    return await cycles.run();
  } finally {
    await cycles.close();
    await nats.stop();
  }
};

class Cycles {
  readonly #options: CycleOptions;
  readonly #nats: TestNats;
  readonly #grounds: Grounds;
  readonly #holders = new Holders();
  readonly #random = randomNumbers(1);
  readonly #running: ServiceProcess[] = [];
  readonly #clients: Client[] = [];
  readonly #wrong: string[] = [];
  #held = 0;

  constructor(options: CycleOptions, nats: TestNats) {
    this.#options = options;
    this.#nats = nats;
    const { folder, env } = options.place;
    const hostFolder = env.CNM_RUN_DIR ?? '';
    this.#grounds = { folder, hostFolder, runDir: join(hostFolder, 'e2e-h1') };
  }

  async run(): Promise<CycleReport> {
    const { place, cycles, atOnce, tell } = this.#options;
    const env = { ...place.env, CNM_NATS_URL: this.#nats.url, CNM_NATS_SYNC: 'always', CNM_LOG_LEVEL: 'warn' };
    for (const name of names) this.#running.push(await startProcess(['serve', name], env));
    const client = await this.#connect('scheduler');
    for (const network of this.#networks()) await (await client.createNetwork({ name: network })).outcome;
    const free = await this.#besides(() => this.#cycle(client, Math.max(atOnce, cycles / 5), false));
    const before = await this.#settled();
    const memory = this.#workerMb();
    tell?.(`${before.length} lines of what is there, the worker has ${memory} MB`);
    const held = await this.#besides(() => this.#cycle(client, cycles, true));
    const { heldMost } = this.#holders;
    const lingering = this.#namespaces().length;
    const ours = await this.#until((line) => !line.includes('namespace '), before);
    tell?.(`${cycles} cycles done; all of ours is as before while ${this.#holders.held} namespaces are held still`);
    await this.#holders.end();
    const endedMs = performance.now();
    const left = await this.#until(() => true, before);
    return {
      cycles,
      held: this.#held,
      heldMost,
      lingering: lingering - before.filter((line) => line.startsWith('namespace ')).length,
      settledMs: Math.round(performance.now() - endedMs),
      left: [...new Set([...ours, ...left])],
      wrong: this.#wrong,
      workerMb: { before: memory, after: this.#workerMb() },
      beside: { free, held },
    };
  }

  /** Waits until what is there is as before, as far as it matters; answers what is not. */
  async #until(matters: (line: string) => boolean, before: readonly string[]): Promise<readonly string[]> {
    let left: readonly string[] = [];
    const isAsBefore = async (): Promise<boolean> => {
      left = difference(before, await this.#isThere()).filter(matters);
      return left.length === 0;
    };
    // what is left is told
    await waitFor(isAsBefore, { what: 'what was there before', timeoutMs: SETTLE_MS }).catch(() => undefined);
    return left;
  }

  /** Each namespace that a link of ours has led into has a number until the kernel has torn it down. */
  #namespaces(): readonly string[] {
    const lines = sh('ip netns list-id').trim().split('\n');
    return lines.filter((line) => line !== '').map((line) => `namespace ${line}`);
  }

  async #connect(actor: string): Promise<Client> {
    const client = await connect({ url: this.#nats.url, actor });
    this.#clients.push(client);
    return client;
  }

  #networks(): readonly string[] {
    return Array.from({ length: Math.ceil(this.#options.atOnce / PER_NETWORK) }, (_, at) => `n${at}`);
  }

  /** So many cycles in all, each lane with a sandbox of its own that comes and goes under one name. */
  async #cycle(client: Client, cycles: number, areHeld: boolean): Promise<void> {
    let next = 0;
    const lane = async (_: unknown, at: number): Promise<void> => {
      const sandbox = `s${at}`;
      const network = `n${Math.floor(at / PER_NETWORK)}`;
      while (next++ < cycles) {
        const accepted = await client.attachSandbox({ sandbox, networks: [{ network }] });
        const key = (await accepted.outcome).sandbox?.key ?? '';
        if (this.#holders.has(statSync(key).ino)) this.#wrong.push(`${sandbox} has a namespace of one before`);
        // the last of all are held longest, so that there are some when everything else is over
        if (areHeld) await this.#hold(key, next > cycles - this.#options.atOnce ? 1 : (this.#random() % 1_000) / 1_000);
        await (await client.detachSandbox({ sandbox })).outcome;
        if (existsSync(key)) this.#wrong.push(`${key} is there after the detach`);
      }
    };
    await Promise.all(Array.from({ length: this.#options.atOnce }, lane));
  }

  /** One in as many as there are ways, and one, is held by nobody. @param share of the longest time */
  async #hold(key: string, share: number): Promise<void> {
    const how = waysToHold[this.#random() % (waysToHold.length + 1)];
    if (how === undefined) return;
    this.#held += 1;
    await this.#holders.hold(key, how, this.#options.holdSecondsMax * share);
  }

  /** What the attaches of another actor take meanwhile. */
  async #besides(work: () => Promise<void>): Promise<Taken> {
    const client = await this.#connect('other');
    let isOver = false;
    const taken: number[] = [];
    const working = work().finally(() => {
      isOver = true;
    });
    while (!isOver) {
      const startMs = performance.now();
      await (await client.attachSandbox({ sandbox: 'other', networks: [{ network: 'n0' }] })).outcome;
      taken.push(performance.now() - startMs);
      await (await client.detachSandbox({ sandbox: 'other' })).outcome;
    }
    await working;
    const at = (share: number): number => Math.round(percentile(taken, share));
    return { p50: at(0.5), p99: at(0.99), most: at(1) };
  }

  /** What is there once it stays the same. */
  async #settled(): Promise<readonly string[]> {
    let now: readonly string[] = [];
    const isSame = async (): Promise<boolean> => {
      const before = now;
      now = await this.#isThere();
      await new Promise((resolve) => setTimeout(resolve, 500));
      return difference(before, now).length === 0;
    };
    await waitFor(isSame, { what: 'everything to settle', timeoutMs: SETTLE_MS });
    return now;
  }

  async #isThere(): Promise<readonly string[]> {
    const [client] = this.#clients;
    const rows =
      client === undefined ? [] : await Promise.all([client.sandboxes(), client.endpoints(), client.addresses()]);
    return [
      ...baseline(this.#grounds),
      ...this.#namespaces(),
      ...this.#descriptors(),
      ...rows.flatMap((answer) => answer.rows.map((row) => `row ${JSON.stringify(row)}`)),
    ];
  }

  /** What the worker has open, without numbers. */
  #descriptors(): readonly string[] {
    const folder = `/proc/${this.#running[0]?.pid}/fd`;
    return readdirSync(folder).map((name) => {
      try {
        return `descriptor ${readlinkSync(join(folder, name)).replaceAll(/\d+/g, 'N')}`;
      } catch {
        return 'descriptor that is closed';
      }
    });
  }

  #workerMb(): number {
    const status = readFileSync(`/proc/${this.#running[0]?.pid}/status`, 'utf8');
    return Math.round(Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) / 1_024);
  }

  async close(): Promise<void> {
    this.#holders.kill();
    await Promise.all(this.#running.map((one) => one.end('SIGKILL')));
    await Promise.all(this.#clients.map((client) => client.close()));
  }
}
