/**
 * A place to crash in: a nats-server, a host whose services can be ended at any of their failpoints and are started again, a second host
 * that lives on, and a plugin. To be made in namespaces of its own (`inOwnNamespaces`), which take everything away in the end.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ServiceName } from '../../../services/up/service-names.ts';
import { end, startNats, type TestNats } from '../nats.ts';
import { awaitOwnNamespace, sh, shIn } from '../netns.ts';
import { type PluginProcess, startVeth } from '../plugins/start.ts';
import type { Disk, Writing } from './disk.ts';

export const realm = 'sweep';
const main = join(import.meta.dirname, '../../../services/cli/main.ts');
const LOG_CHARS = 6_000;

/** Which processes the host has: one for all services, or one each. */
export type Layout = 'up' | 'apart';
const layouts: Readonly<Record<Layout, readonly (ServiceName | 'up')[]>> = {
  up: ['up'],
  apart: ['worker', 'projector', 'controller', 'collector'],
};

/** Which process of a layout passes a failpoint, by its name. */
export const processOf = (layout: Layout, failpoint: string): ServiceName | 'up' => {
  if (layout === 'up') return 'up';
  const [service = ''] = failpoint.split('.');
  return service === 'kernel' ? 'worker' : (service as ServiceName);
};

/** Where a process is to end: at the N-th time that it passes a failpoint. */
export interface Point {
  readonly name: string;
  readonly time: number;
}
export const pointText = ({ name, time }: Point): string => `${name}@${time}`;

/** Processes that ended other than at the point that was asked for. */
export class Ended extends Error {
  override readonly name = 'Ended';
}

interface Parts {
  readonly layout: Layout;
  readonly nats: TestNats;
  readonly folder: string;
  readonly disk: Disk | null;
  readonly plugin: PluginProcess;
  /** Of the namespace of the second host. */
  readonly keeper: ChildProcess;
}

export class Place {
  readonly layout: Layout;
  readonly nats: TestNats;
  readonly folder: string;
  readonly #disk: Disk | null;
  readonly #plugin: PluginProcess;
  readonly #far: { readonly keeper: ChildProcess; readonly worker: ChildProcess };
  readonly #processes = new Map<string, ChildProcess>();
  /** What they have said last, for a report. */
  #said = '';
  /** Where a process that runs is to end; null: nowhere. */
  #armed: Point | null = null;
  /** Where the one that follows it is to end, if it is of the same kind. */
  next: Point | null = null;
  /** Told of each end at a point. */
  onDeath: (point: Point) => void = () => undefined;
  #isStopping = false;
  /** Of a process that was not to end. */
  readonly #unexpected = Promise.withResolvers<never>();

  private constructor({ layout, nats, folder, disk, plugin, keeper }: Parts) {
    this.layout = layout;
    this.nats = nats;
    this.folder = folder;
    this.#disk = disk;
    this.#plugin = plugin;
    this.unexpected = this.#unexpected.promise;
    this.unexpected.catch(() => undefined);
    const netns = `/proc/${keeper.pid}/ns/net`;
    const env = { ...this.#env('h2', '10.99.0.2'), CNM_NATS_URL: nats.url.replace('127.0.0.1', '10.99.0.1') };
    const argv = [`--net=${netns}`, process.execPath, main, 'serve', 'worker'];
    const worker = spawn('nsenter', argv, { env, stdio: ['ignore', 'ignore', 'pipe'] });
    worker.stderr?.setEncoding('utf8').on('data', (text) => this.#say(text));
    this.#far = { keeper, worker };
  }

  readonly unexpected: Promise<never>;

  /** @param disk what the server and the services of the host keep is on it; the place closes it */
  static async open(layout: Layout, disk: Disk | null = null): Promise<Place> {
    mkdirSync('/run/cnm-sweep', { recursive: true });
    const folder = mkdtempSync('/run/cnm-sweep/');
    const keeper = spawn('unshare', ['--net', 'sleep', 'infinity'], { stdio: 'ignore' });
    const far = `/proc/${keeper.pid}/ns/net`;
    awaitOwnNamespace(far);
    sh(`ip link set lo up
      ip link add up0 type veth peer name up0 netns ${keeper.pid}
      ip addr add 10.99.0.1/24 dev up0; ip link set up0 up
      ip link add par0 type veth peer name par1; ip link set par0 up; ip link set par1 up
      touch ${folder}/brought; unshare --net=${folder}/brought true`);
    shIn(far, 'ip link set lo up; ip addr add 10.99.0.2/24 dev up0; ip link set up0 up');
    mkdirSync(join(folder, 'plugins'));
    writeFileSync(join(folder, 'secret'), new Uint8Array(32).fill(7), { mode: 0o600 });
    const plugin = await startVeth(join(folder, 'plugins/weave.sock'));
    const nats = await startNats({ listen: '0.0.0.0', ...(disk && { under: disk.folder }) });
    disk?.sync();
    return new Place({ layout, nats, folder, disk, plugin, keeper });
  }

  /** Of the processes of the host. */
  get names(): readonly (ServiceName | 'up')[] {
    return layouts[this.layout];
  }

  /** A namespace of a caller. */
  get brought(): string {
    return join(this.folder, 'brought');
  }

  runDir(host: string): string {
    return join(this.folder, host, `${realm}-${host}`);
  }

  #env(host: string, underlay: string): Readonly<Record<string, string>> {
    return {
      PATH: process.env.PATH ?? '',
      HOME: this.folder,
      CNM_NATS_URL: this.nats.url,
      CNM_NATS_SYNC: 'always',
      CNM_REALM: realm,
      CNM_HOST: host,
      CNM_RUN_DIR: join(this.folder, host),
      // the second host has another disk, which no cut concerns
      CNM_DATA_DIR: join((host === 'h1' && this.#disk?.folder) || this.folder, host, 'data'),
      CNM_UNDERLAY: underlay,
      CNM_OVERLAY_SECRET_FILE: join(this.folder, 'secret'),
      CNM_PLUGIN_SOCKETS: join(this.folder, 'plugins'),
      CNM_PLUGIN_SPECS: join(this.folder, 'plugins'),
      // names, addresses and ports of one round are those of the next
      CNM_QUARANTINE_MS: '0',
      CNM_CONFIRM_MS: '100',
      CNM_LOG_LEVEL: process.env.CNM_LOG_LEVEL ?? 'warn',
    };
  }

  #say(text: string): void {
    this.#said = (this.#said + text).slice(-LOG_CHARS);
  }

  get said(): string {
    return this.#said;
  }

  /** Starts the processes that do not run. @param record a file that the names of all failpoints go to */
  start(record: string | null = null): void {
    for (const name of layouts[this.layout]) if (!this.#processes.has(name)) this.#launch(name, record);
  }

  /** Has the process that passes a point end there: with another one in its place, unless it is to end there anyway. */
  async arm(point: Point): Promise<void> {
    if (this.#armed !== null && pointText(this.#armed) === pointText(point)) return;
    await this.disarm();
    this.#armed = point;
    await this.kill(processOf(this.layout, point.name));
    this.start();
  }

  /** What was to end goes on under another process. */
  async disarm(): Promise<void> {
    if (this.#armed === null) return;
    const name = processOf(this.layout, this.#armed.name);
    this.#armed = null;
    await this.kill(name);
    this.start();
  }

  #launch(name: ServiceName | 'up', record: string | null): void {
    const point = this.#armed !== null && processOf(this.layout, this.#armed.name) === name ? this.#armed : null;
    const setting = record === null ? point && `kill:${pointText(point)}` : `record:${record}`;
    const env = { ...this.#env('h1', '10.99.0.1'), ...(setting === null ? {} : { CNM_FAILPOINT: setting }) };
    const argv = [main, ...(name === 'up' ? ['up'] : ['serve', name])];
    const child = spawn(process.execPath, argv, { env, stdio: ['ignore', 'ignore', 'pipe'] });
    child.stderr?.setEncoding('utf8').on('data', (text) => this.#say(text));
    this.#processes.set(name, child);
    child.once('exit', (code, signal) => {
      if (this.#processes.get(name) !== child) return;
      this.#processes.delete(name);
      if (this.#isStopping) return;
      if (signal === 'SIGKILL' && point !== null) {
        const follows = this.next !== null && processOf(this.layout, this.next.name) === name;
        this.#armed = follows ? this.next : null;
        this.next = null;
        this.onDeath(point);
      } else this.#unexpected.reject(new Ended(`${name} ended with ${signal ?? code}`));
      this.start();
    });
  }

  /** `kill -9` to one process of the host, or all; they stay away until `start`. */
  async kill(name: ServiceName | 'up' | null = null): Promise<void> {
    const names = name === null ? [...this.#processes.keys()] : [name];
    const children = names.flatMap((one) => this.#processes.get(one) ?? []);
    for (const one of names) this.#processes.delete(one);
    await Promise.all(children.map((child) => end(child, 'SIGKILL')));
  }

  /**
   * Ends the server and all processes of the host at once, and takes from the disk what was not synced. The server is started again, the
   * processes stay away until `start`.
   */
  async cutPower(writing: Writing): Promise<void> {
    if (this.#disk === null) throw new Error('a place without a disk of its own');
    await Promise.all([this.kill(), this.nats.kill()]);
    this.#disk.cut(writing);
    await this.nats.restart();
  }

  async close(): Promise<void> {
    this.#isStopping = true;
    await this.kill();
    for (const child of [this.#far.worker, this.#far.keeper]) await end(child, 'SIGKILL');
    await this.#plugin.kill();
    await this.nats.stop();
    this.#disk?.close();
    sh(`umount -l ${this.folder}/*/* ${this.folder}/brought 2>/dev/null || true`);
    rmSync(this.folder, { recursive: true, force: true });
  }
}
