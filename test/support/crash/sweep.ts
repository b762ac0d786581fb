/** Ends processes at failpoint after failpoint, under a workload, and checks after each that nothing is lost and nothing left behind. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Client, connect } from '../../../services/client/index.ts';
import { waitFor } from '../nats.ts';
import type { Disk, Writing } from './disk.ts';
import { Flood } from './flood.ts';
import { baseline, difference, groundsOf, Observer } from './observe.ts';
import { type Layout, Place, type Point, pointText, realm } from './place.ts';
import { actor, LogRecord } from './record.ts';
import { playRound } from './workload.ts';

/** Between two kills at random. */
const pauseMsMax = 2_000;
/** Before a cut of the power at random. */
const powerMsMax = 4_000;
const floodPerSecond = 1_000;

export interface SweepOptions {
  readonly layout: Layout;
  /** How long whatever is waited for may take. */
  readonly timeoutMs: number;
  /** Where the very first process of the host ends, when there is nothing yet. */
  readonly first?: Point;
  /** What the server and the services of the host keep is on it; closed with the sweep. */
  readonly disk?: Disk | null;
}

/** What came of cuts of the power. */
export interface CutReport {
  readonly cuts: number;
  /** Commands beside the rounds that were acknowledged, and answers that were told to them; all were there after the cuts. */
  readonly acknowledged: number;
  readonly told: number;
  /** Of those beside the rounds, how many a second were acknowledged until a cut; the mean. */
  readonly perSecond: number;
  /** From a cut until everything that was sent before has ended, milliseconds. */
  readonly slowestMs: number;
}

/** How often each failpoint is passed in one round, in the order in which they are passed first. */
export type Passed = ReadonlyMap<string, number>;

/** By which it sees what has become of commands: the log, and what its sender is told. */
interface Eyes {
  readonly log: LogRecord;
  readonly client: Client;
}

export class Sweep {
  readonly #place: Place;
  readonly #log: LogRecord;
  readonly #client: Client;
  readonly #options: SweepOptions;
  #observer: Observer | null = null;
  #baseline: readonly string[] = [];
  readonly #died: Point[] = [];
  #diedMs = 0;
  /** From the last end of a process in a round until all is as it should be, milliseconds; the longest. */
  slowestMs = 0;

  private constructor(place: Place, { log, client }: Eyes, options: SweepOptions, died: readonly Point[]) {
    this.#place = place;
    this.#client = client;
    this.#log = log;
    this.#options = options;
    this.#died.push(...died);
    place.onDeath = (point) => {
      this.#died.push(point);
      this.#diedMs = performance.now();
    };
  }

  static async open(options: SweepOptions): Promise<Sweep> {
    const place = await Place.open(options.layout, options.disk ?? null);
    const died: Point[] = [];
    place.onDeath = (point) => died.push(point);
    // the streams are there when the first service is
    if (options.first) await place.arm(options.first);
    else place.start();
    const connection = await place.nats.connect();
    await waitFor(
      () =>
        connection.request('$JS.API.STREAM.INFO.CNM_LOG').then(
          ({ data }) => !new TextDecoder().decode(data).includes('"error"'),
          () => false,
        ),
      { what: 'the streams', timeoutMs: options.timeoutMs },
    );
    const log = new LogRecord(connection);
    const isThere = (host: string): boolean => log.on(host).facts.has('host');
    await waitFor(() => isThere('h1') && isThere('h2'), { what: 'both hosts', timeoutMs: options.timeoutMs });
    const client = await connect({ url: place.nats.url, actor });
    return new Sweep(place, { log, client }, options, died);
  }

  /** Points at which a process has ended. */
  get died(): readonly Point[] {
    return this.#died;
  }

  get said(): string {
    return this.#place.said;
  }

  /** A round in which nothing ends; answers which failpoints it passes. What is there afterwards is what has to be there after each round. */
  async learn(): Promise<Passed> {
    await this.#round(async () => {});
    await this.#place.kill();
    const file = join(this.#place.folder, 'failpoints');
    this.#place.start(file);
    await this.#round(async () => {});
    await this.#settled();
    await this.#place.kill();
    this.#place.start();
    const passed = new Map<string, number>();
    this.#log.takeEndings();
    for (const name of readFileSync(file, 'utf8').trim().split('\n')) passed.set(name, (passed.get(name) ?? 0) + 1);
    await this.#round(async () => {});
    await this.#settled();
    this.#baseline = baseline(groundsOf(this.#place));
    return passed;
  }

  /** Until nothing changes any more: what was silenced is reaped, what is made ahead is made. */
  async #settled(): Promise<void> {
    let before: readonly string[] = [];
    await waitFor(
      () => {
        const now = baseline(groundsOf(this.#place));
        const same = difference(before, now).length === 0;
        before = now;
        return same && !now.some((line) => line.includes('cnm-dead'));
      },
      { what: 'everything to settle', timeoutMs: this.#options.timeoutMs },
    );
  }

  async #round(meanwhile: () => Promise<void>): Promise<void> {
    const { timeoutMs } = this.#options;
    const round = playRound({ place: this.#place, log: this.#log, timeoutMs, meanwhile });
    await Promise.race([round, this.#place.unexpected]);
  }

  async #agrees(): Promise<void> {
    this.#observer ??= new Observer(realm, this.#place.runDir('h1'));
    let wrong: readonly string[] = [];
    try {
      await waitFor(
        () => {
          wrong = this.#observer?.disagreement(this.#log) ?? [];
          return wrong.length === 0;
        },
        { what: 'log and kernel to agree', timeoutMs: this.#options.timeoutMs },
      );
    } catch {
      throw new Error(`kernel and log differ:\n${wrong.join('\n')}`);
    }
  }

  /** Whoever sent the commands of the round is told how they have ended, as the log says it. */
  async #isTold(): Promise<void> {
    const { timeoutMs } = this.#options;
    const endings = this.#log.takeEndings();
    const { position: atLeast } = this.#log;
    let told: readonly (readonly [id: string, status: string | undefined])[] = [];
    await waitFor(
      async () => {
        // the projector may be away at this very moment
        const rows = [...endings.keys()].map((id) => this.#client.command(id, { atLeast, timeoutMs: 1_000 }));
        told = (await Promise.allSettled(rows)).map((row, index) => [
          [...endings.keys()][index] ?? '',
          row.status === 'fulfilled' ? row.value?.status : undefined,
        ]);
        return told.every(([, status]) => status !== undefined);
      },
      { what: 'every command to be known to the views', timeoutMs },
    );
    assert.deepEqual(new Map(told), endings, 'what views say of commands');
  }

  async #isBaseline(): Promise<void> {
    let wrong: readonly string[] = [];
    try {
      await waitFor(
        () => {
          wrong = difference(this.#baseline, baseline(groundsOf(this.#place)));
          return wrong.length === 0;
        },
        { what: 'nothing to be left', timeoutMs: this.#options.timeoutMs },
      );
    } catch {
      throw new Error(`left behind, or missing:\n${wrong.join('\n')}`);
    }
  }

  /**
   * One round, with a process that ends at this point. The one that follows it is to end at the next point already, which may be before
   * it has cleared up: then that one is done as well.
   * @returns whether it ended @throws with what is not as it should be afterwards
   */
  async at(point: Point, next: Point | null = null): Promise<boolean> {
    if (this.hasDied(point)) return true;
    this.#diedMs = 0;
    this.#place.next = next;
    await this.#place.arm(point);
    await this.#round(() => this.#agrees());
    await this.#agrees();
    await this.#isTold();
    await this.#isBaseline();
    this.#place.next = null;
    if (this.#diedMs > 0) this.slowestMs = Math.max(this.slowestMs, performance.now() - this.#diedMs);
    if (!this.hasDied(point)) await this.#place.disarm();
    return this.hasDied(point);
  }

  /**
   * Rounds under which nats-server, started again on what it has on its disk, and the processes of the host are killed, one of them after
   * each pause. @param random whole numbers: which of them, and how long the pause is
   * @returns how often each was
   */
  async underKills(times: number, random: () => number): Promise<ReadonlyMap<string, number>> {
    const victims = ['nats-server', ...this.#place.names] as const;
    const kills = new Map<string, number>(victims.map((name) => [name, 0]));
    const killing = (async () => {
      for (let time = 0; time < times; time++) {
        await new Promise((resolve) => setTimeout(resolve, 100 + (random() % pauseMsMax)));
        const name = victims[random() % victims.length] ?? 'nats-server';
        if (name === 'nats-server') await this.#place.nats.restart();
        else await this.#place.kill(name);
        this.#place.start();
        kills.set(name, (kills.get(name) ?? 0) + 1);
      }
    })();
    let over = false;
    void killing.finally(() => {
      over = true;
    });
    try {
      while (!over) await this.#round(() => this.#agrees());
    } finally {
      await killing;
    }
    await this.#round(() => this.#agrees());
    await this.#agrees();
    await this.#isTold();
    await this.#isBaseline();
    return kills;
  }

  /**
   * Rounds beside a flood of commands, in each of which the power is cut once. Afterwards everything is there that was acknowledged, and was
   * said to have happened; no host has to stop and wait for somebody, and no event to be parked.
   * @param random whole numbers: when it is
   * @param tell what has come of them so far, after each
   */
  async underCuts(
    cuts: number,
    random: () => number,
    tell: (report: CutReport) => void = () => undefined,
  ): Promise<CutReport> {
    const { timeoutMs } = this.#options;
    const flood = new Flood(await this.#place.nats.connect());
    let [done, floodedMs, inTime, slowestMs] = [0, 0, 0, 0];
    const report = (): CutReport => {
      const { acknowledged, told } = flood;
      const perSecond = Math.round((inTime * 1_000) / floodedMs);
      return { cuts: done, acknowledged, told, perSecond, slowestMs: Math.round(slowestMs) };
    };
    try {
      for (let cut = 0; cut < cuts; cut++) {
        const round = this.#round(() => this.#agrees());
        let isOver = false;
        const before = flood.acknowledged;
        const flooding = flood.run(floodPerSecond, () => isOver);
        const pauseMs = 200 + (random() % powerMsMax);
        await Promise.race([round, new Promise((resolve) => setTimeout(resolve, pauseMs))]);
        [floodedMs, inTime, isOver] = [floodedMs + pauseMs, inTime + flood.acknowledged - before, true];
        const cutMs = performance.now();
        const writing: Writing = cut % 2 === 0 ? 'torn tails' : 'missing tails';
        await this.#place.cutPower(writing);
        await Promise.all([this.#log.assertStored(), flood.assertStored()]);
        this.#place.start();
        await flooding;
        await flood.settle(timeoutMs);
        slowestMs = Math.max(slowestMs, performance.now() - cutMs);
        await round;
        await this.#agrees();
        await this.#isTold();
        await this.#isBaseline();
        assert.equal(this.#log.count('LogRegressed'), 0, 'hosts that have seen more than there is');
        assert.deepEqual((await this.#client.parked()).rows, []);
        done += 1;
        tell(report());
      }
    } finally {
      await flood.close();
    }
    return report();
  }

  /** What there is when nothing is going on. */
  get left(): readonly string[] {
    return this.#baseline;
  }

  hasDied(point: Point): boolean {
    return this.#died.some((each) => pointText(each) === pointText(point));
  }

  async close(): Promise<void> {
    this.#observer?.close();
    await this.#log.close();
    await this.#client.close();
    await this.#place.close();
  }
}
