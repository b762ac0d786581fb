/**
 * States of the views kept on the way, so that a moment of the past is folded from the nearest one instead of from the opening. Files of
 * the projector that writes them: disposable, checked when they are read, and of one log and one version of the folds.
 */
import type { Logger } from 'pino';
import { type Discard, isOutdated } from '../../projections/discards.ts';
import { neededCommands } from '../../projections/past-commands.ts';
import { SnapshotInvalid } from '../../projections/snapshot.ts';
import { copyViews, createViews, type Views } from '../../projections/views.ts';
import type { Clock } from '../lib/clock.ts';
import { chainHash } from '../lib/hash.ts';
import type { Stream } from '../lib/stream.ts';
import { foldAgain, parkingUntil } from './fold.ts';
import { foldPaced } from './paced-fold.ts';
import { decodeSnapshot, encodeSnapshot } from './snapshot-file.ts';
import { SnapshotFolder } from './snapshot-folder.ts';

export interface SnapshotsOptions {
  readonly directory: string;
  /** Digest of the folds (fold-code.ts). */
  readonly code: string;
  /** Of the log; null before its opening is folded in. */
  readonly epoch: () => string | null;
  readonly log: Stream;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly everyEvents: number;
  /** What was discarded of parked events, up to where the live views are; nothing when left out. */
  readonly discards?: () => readonly Discard[];
}

export interface Snapshots {
  /** Tells of a commit that the live views have folded in. Those of the start do not count: they are made up for behind `live`. */
  passed(views: Views, events: number): void;
  /** The log is caught up with: makes the missing ones up to here, slowly; resolves when they are there. Never rejects. */
  live(position: number): Promise<void>;
  /** Views as of the nearest kept position behind `behind` and not behind `position`; to be copied, not changed. Without ended commands. */
  nearest(position: number, behind: number): Promise<Views | null>;
  status(): Promise<{ readonly count: number; readonly newest: number; readonly bytes: number }>;
  /** Resolves when nothing is being written. */
  idle(): Promise<void>;
  /** Forgets all: the views that they were taken of are not believed any more. */
  clear(): Promise<void>;
  stop(): Promise<void>;
}

/** Of files that were read; each costs its rows, unlike copies of the live views. */
const DECODED_MAX = 8;
/** Making up for missing ones takes some seconds for each 100,000 events and at most a fifth of a processor. */
const EVENTS_PER_SECOND = 20_000;

class FileSnapshots implements Snapshots {
  readonly #options: SnapshotsOptions;
  readonly #decoded = new Map<number, Views>();
  #folder: SnapshotFolder | null = null;
  #events = 0;
  #isLive = false;
  #stopped = false;
  /** One is written at a time. */
  #writing: Promise<void> = Promise.resolve();
  #isWriting = false;
  #madeUp: Promise<void> = Promise.resolve();
  /** Of what is believed: what was begun before a `clear` is not kept. */
  #generation = 0;

  constructor(options: SnapshotsOptions) {
    this.#options = options;
  }

  passed(views: Views, events: number): void {
    if (!this.#isLive || this.#stopped) return;
    this.#events += events;
    // One that is due while another is written waits for the next commit.
    if (this.#events < this.#options.everyEvents || this.#isWriting) return;
    this.#events = 0;
    void this.#write(copyViews(views, neededCommands(views.rows.commands)));
  }

  live(position: number): Promise<void> {
    this.#isLive = true;
    this.#madeUp = this.#madeUp
      .then(() => this.#makeUp(position))
      .catch((error: unknown) => {
        if (!this.#stopped)
          this.#options.logger.warn({ err: error }, 'the snapshots of before the start are not all there');
      });
    return this.#madeUp;
  }

  async nearest(position: number, behind: number): Promise<Views | null> {
    const folder = this.#place();
    if (folder === null) return null;
    const files = [...(await folder.files()).keys()];
    const isOfUse = (one: number): boolean => one > behind && one <= position && !this.#isOutdated(one, position);
    const positions = files.filter(isOfUse).reverse();
    for (const one of positions) {
      const views = this.#decoded.get(one) ?? (await this.#read(folder, one));
      if (!views) continue;
      this.#decoded.delete(one);
      this.#decoded.set(one, views);
      const [oldest] = this.#decoded.keys();
      if (this.#decoded.size > DECODED_MAX && oldest !== undefined) this.#decoded.delete(oldest);
      return views;
    }
    return null;
  }

  async status(): ReturnType<Snapshots['status']> {
    const files = (await this.#place()?.files()) ?? new Map<number, number>();
    const bytes = [...files.values()].reduce((sum, size) => sum + size, 0);
    return { count: files.size, newest: [...files.keys()].at(-1) ?? 0, bytes };
  }

  idle(): Promise<void> {
    return this.#writing;
  }

  async clear(): Promise<void> {
    this.#generation++;
    await this.#writing;
    this.#decoded.clear();
    await this.#place()?.clear();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    // Making up for missing ones ends at the next commit that it reads; a server that is away must not hold up the end.
    await this.#writing;
  }

  #isOutdated(from: number, until: number): boolean {
    return isOutdated(this.#options.discards?.() ?? [], from, until);
  }

  #place(): SnapshotFolder | null {
    const { directory, code } = this.#options;
    const epoch = this.#options.epoch();
    if (epoch !== null) this.#folder ??= new SnapshotFolder(directory, epoch, code);
    return this.#folder;
  }

  /** Writes views that nobody changes, behind whatever is being written. Never rejects: a disk that is full costs time, not answers. */
  #write(views: Views): Promise<void> {
    const { log, logger, clock, code } = this.#options;
    const generation = this.#generation;
    const write = async (): Promise<void> => {
      const [folder, message] = [this.#place(), await log.get(views.position)];
      if (folder === null || message === null) return;
      const epoch = this.#options.epoch() ?? '';
      if (this.#stopped || generation !== this.#generation) return;
      const bytes = await encodeSnapshot(views, { epoch, code, head: chainHash(message) });
      await folder.write(views.position, bytes, clock.randomId(8));
    };
    this.#isWriting = true;
    this.#writing = this.#writing
      .then(write)
      .catch((error: unknown) => logger.warn({ err: error, position: views.position }, 'a snapshot was not kept'))
      .finally(() => {
        this.#isWriting = false;
      });
    return this.#writing;
  }

  /** Null, and the file is gone, where it is not what it should be. */
  async #read(folder: SnapshotFolder, position: number): Promise<Views | null> {
    const { log, code, logger } = this.#options;
    const message = await log.get(position);
    try {
      const { views, origin } = await decodeSnapshot(await folder.read(position));
      if (views.position !== position) throw new SnapshotInvalid(`it is of position ${views.position}`);
      if (origin.epoch !== this.#options.epoch() || origin.code !== code)
        throw new SnapshotInvalid('it is of another log');
      if (message === null || chainHash(message) !== origin.head)
        throw new SnapshotInvalid('the log is not the one it was of');
      return views;
    } catch (error) {
      logger.warn({ err: error, position }, 'a snapshot cannot be used and is removed');
      await folder.remove(position);
      return null;
    }
  }

  async #makeUp(until: number): Promise<void> {
    const { log, clock, everyEvents } = this.#options;
    const generation = this.#generation;
    const newest = await this.nearest(until, 0);
    await foldAgain(parkingUntil(this.#options.discards?.() ?? [], until), async (parking) => {
      let events = 0;
      const views = newest ? copyViews(newest) : createViews();
      const onCommit = (count: number): Promise<void> | undefined => {
        events += count;
        // What is left out now was parked there and then.
        if (events < everyEvents || this.#isOutdated(views.position, until)) return undefined;
        events = 0;
        views.rows = { ...views.rows, commands: neededCommands(views.rows.commands) };
        return this.#write(views);
      };
      await foldPaced(log, views, until, {
        clock,
        eventsPerSecond: EVENTS_PER_SECOND,
        onCommit,
        stopped: () => this.#stopped || generation !== this.#generation,
        parking,
      });
      return views;
    });
  }
}

export const createSnapshots = (options: SnapshotsOptions): Snapshots => new FileSnapshots(options);
