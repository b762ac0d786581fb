/** The live views: the whole log folded from its opening, then followed. */
import type { Logger } from 'pino';
import { type CommitPart, unfitReports } from '../../events/envelope.ts';
import type { EventData } from '../../events/events.ts';
import { isChunk } from '../../events/names.ts';
import { commitOf, type Discard, settlesParked } from '../../projections/discards.ts';
import { type ParkedRow, Poisoned } from '../../projections/parked.ts';
import { Parking } from '../../projections/parking.ts';
import { createViews, type Views } from '../../projections/views.ts';
import type { Clock } from '../lib/clock.ts';
import { partsOf } from '../lib/commit.ts';
import { openedThrough, type SegmentData } from '../lib/opening.ts';
import type { Message, Reader, Stream } from '../lib/stream.ts';
import { foldMessage } from './fold.ts';
import { type KnownNetwork, LogNotes } from './log-notes.ts';
import { Memory } from './memory.ts';
import { QueryFault } from './query-fault.ts';
import {
  adopt,
  discardsBetween,
  type Nearest,
  parksSame,
  type RefoldStart,
  readableOf,
  refold,
  startBefore,
} from './refold.ts';
import { Waiters } from './waiters.ts';

export type { KnownNetwork };

export interface Follower {
  readonly views: Views;
  /** By id, in the order in which they came. */
  readonly networks: ReadonlyMap<string, KnownNetwork>;
  readonly memory: Memory;
  /** What was discarded of parked events, up to where the views are. */
  discards(): readonly Discard[];
  /** What the log's first commit says of it; null before that. */
  opening(): EventData<'RealmOpened'> | null;
  /** The segment that the log begins with; null for a log from its opening on. */
  segment(): SegmentData | null;
  /** Resolves when all that was stored at the start is folded in. */
  readonly caughtUp: Promise<void>;
  /** Resolves at `stop()`; rejects when the log cannot be read on. */
  readonly closed: Promise<void>;
  /** Whether the log was caught up with once. */
  isLive(): boolean;
  /** Why it reads no more; null while it does. */
  failure(): string | null;
  /** Resolves when this position is folded in, and what was stored at the start. @throws QueryFault when it is not in time, or never will be */
  reached(position: number, timeoutMs: number): Promise<void>;
  /** Whoever waits is told to ask somebody else. */
  letGo(): void;
  stop(): Promise<void>;
}

export interface FollowDeps {
  readonly log: Stream;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Told of each commit that is folded in. */
  readonly passed?: (events: number) => void;
  /** Told when what could not be folded before can be now, so that what was kept of the views does not hold any more. */
  readonly doubted?: () => void;
  /** States of the views that are kept; nothing when left out, and what was parked is decided about by folding all of the log. */
  readonly nearest?: Nearest;
  /** Empty: whoever folds the log anew needs a new one. */
  readonly memory?: Memory;
}

/** A parked event as whoever runs this is told of it. */
const told = ({ position, key, type, reason }: ParkedRow): object => ({ position, about: key, type, reason });

/**
 * Starts following. Stops for good at the first commit that is newer than this version: views with holes would be lies. What nobody can
 * read is parked instead, with what comes behind it (projections/parking.ts).
 */
export const follow = (deps: FollowDeps): Follower => new LiveViews(deps);

class LiveViews implements Follower {
  readonly views: Views;
  readonly #deps: FollowDeps;
  readonly #notes: LogNotes;
  readonly #waiters: Waiters;
  readonly #closed = Promise.withResolvers<void>();
  readonly #caughtUp = Promise.withResolvers<void>();
  /** `SEQ.INDEX` of the parked events that were complained of. */
  readonly #complained = new Set<string>();
  #parking: Parking;
  #live = false;
  #failure: string | null = null;
  /** Null while the views are folded anew. */
  #reader: Reader | null = null;
  #stopped = false;

  constructor(deps: FollowDeps) {
    this.#deps = deps;
    this.#notes = new LogNotes(deps.memory ?? new Memory());
    this.#waiters = new Waiters(deps.clock);
    this.views = createViews(this.memory.ledger);
    this.#parking = this.#newParking(false);
    this.#closed.promise.catch(() => {});
    this.#caughtUp.promise.catch(() => {}); // who waits for it sees it; `closed` says the same to everyone
    this.#read();
  }

  get networks(): ReadonlyMap<string, KnownNetwork> {
    return this.#notes.networks;
  }

  get memory(): Memory {
    return this.#notes.memory;
  }

  get caughtUp(): Promise<void> {
    return this.#caughtUp.promise;
  }

  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  discards(): readonly Discard[] {
    return this.#notes.discards;
  }

  opening(): EventData<'RealmOpened'> | null {
    return this.#notes.opening ?? this.#notes.segment;
  }

  segment(): SegmentData | null {
    return this.#notes.segment;
  }

  isLive(): boolean {
    return this.#live;
  }

  failure(): string | null {
    return this.#failure;
  }

  async reached(position: number, timeoutMs: number): Promise<void> {
    if (this.#failure !== null) throw new QueryFault('LOG_UNREADABLE', this.#failure);
    if (this.#live && position <= this.views.position) return;
    const state = (): string =>
      `${this.views.position}${this.#live ? '' : ' and still reads what was stored before it started'}`;
    await this.#waiters.wait(position, timeoutMs, state);
  }

  letGo(): void {
    this.#waiters.refuse(new QueryFault('QUERY_NOT_YET', 'the service stops: ask again, and another one answers'));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.letGo();
    const reader = this.#reader;
    this.#reader = null;
    await reader?.stop();
    this.#caughtUp.reject(new Error('reading was stopped before it had caught up'));
    this.#closed.resolve();
  }

  #newParking(careful: boolean): Parking {
    return new Parking({ isDiscarded: (event) => this.#notes.isDiscarded(event), careful });
  }

  #read(): void {
    const reader = this.#deps.log.read({ from: this.views.position + 1 }, (message) => {
      if (this.#reader === reader) this.#take(message);
    });
    this.#reader = reader;
    reader.closed.catch((reason) => this.#reader === reader && this.#fail(reason));
    const caughtUp = (): void => {
      if (this.#reader !== reader) return;
      this.#live = true;
      // What comes from here on is little, and whoever asks must not wait until all is folded anew.
      this.#parking.beCareful();
      this.#release();
      this.#caughtUp.resolve();
    };
    reader.caughtUp.then(caughtUp, () => {}); // `closed` says why
  }

  #take(message: Message): void {
    const { position } = message;
    const parts = partsOf(message);
    if (parts.length === 0 && !isChunk(message.subject)) this.#warnOf(message);
    const discards = this.#notes.noteDiscards(parts, position);
    const settled = this.#settled(parts);
    if (settled !== null) {
      this.#foldAgain(position, !discards, settled);
      return;
    }
    const { size } = this.views.rows.parked;
    try {
      foldMessage(this.views, message, this.#parking, parts);
    } catch (error) {
      if (!(error instanceof Poisoned)) throw error;
      // A part of it is in the rows: nobody is shown them.
      this.#live = false;
      this.#foldAgain(position, false, null);
      return;
    }
    this.#notes.note(message, parts);
    const { segment } = this.#notes;
    if (segment && position === openedThrough(segment)) this.#notes.carried(this.views);
    if (this.views.rows.parked.size > size) this.#complain();
    this.#deps.passed?.(parts.length);
    this.#release();
  }

  /** The first commit of those with parked events that it is decided about; null: about none that is parked here. */
  #settled(parts: readonly CommitPart[]): number | null {
    const { parked } = this.views.rows;
    if (parked.size === 0) return null;
    const settled = new Set(readableOf(parts).map(settlesParked));
    const commits = [...parked.values()].flatMap(({ position }) => (settled.has(position) ? [commitOf(position)] : []));
    return commits.length === 0 ? null : Math.min(...commits);
  }

  /** A state to go on from that stands before a commit, and before all that was discarded since; null for none. */
  async #startBefore(commit: number): Promise<RefoldStart | null> {
    const { nearest } = this.#deps;
    if (!nearest || !this.#live) return null;
    const discards = this.#notes.discards;
    const isOfUse = async (before: number): Promise<Views | null> => {
      const kept = await nearest(before);
      const spoilt = kept && discards.find(({ position, at }) => position <= kept.position && kept.position < at);
      return spoilt ? isOfUse(spoilt.position - 1) : kept;
    };
    return startBefore(commit, { live: this.views, told: this.memory.ledger, nearest: isOfUse });
  }

  /**
   * Reads no further until all up to a position, or at the start all that there is, is folded anew.
   * @param settled the commit from which on it is folded in another way; null: from the opening on
   */
  #foldAgain(position: number, isRetry: boolean, settled: number | null): void {
    const reader = this.#reader;
    this.#reader = null;
    const fold = async (): Promise<void> => {
      await reader?.stop();
      const { log, doubted } = this.#deps;
      const until = this.#live ? position : Math.max(position, await log.last());
      this.#notes.discards = [...this.#notes.discards, ...(await discardsBetween(log, position, until))];
      const note = (message: Message, parts: readonly CommitPart[]): void => this.#notes.note(message, parts);
      const start = settled === null ? null : await this.#startBefore(settled);
      const { discards } = this.#notes;
      const refolded = await refold({ log, discards, until, note, ...(start ? { start } : {}) });
      if (this.#stopped) return;
      const isSame = parksSame(this.views, refolded.views);
      adopt(this.views, this.memory.ledger, refolded);
      if (this.#notes.segment) this.#notes.carried(this.views);
      this.#parking = this.#newParking(true);
      this.#complain();
      if (isRetry && !isSame) doubted?.();
      this.#read();
      this.#release();
    };
    fold().catch((error) => !this.#stopped && this.#fail(error));
  }

  #release(): void {
    if (this.#live) this.#waiters.release(this.views.position);
  }

  #warnOf({ body, subject, position }: Message): void {
    const problem = unfitReports(body, subject);
    // A commit may hold nothing at all.
    if (problem === null) return;
    this.#deps.logger.warn({ position, subject, problem }, 'a report that does not fit counts for nothing');
  }

  #complain(): void {
    for (const row of this.views.rows.parked.values()) {
      if (this.#complained.has(row.position)) continue;
      this.#complained.add(row.position);
      this.#deps.logger.error(told(row), 'an event cannot be folded and is parked: see cnm parked ls');
    }
  }

  #fail(reason: unknown): void {
    this.#failure = reason instanceof Error ? reason.message : String(reason);
    const position = this.views.position + 1;
    this.#deps.logger.error({ err: reason, position }, 'the views stand still: the log cannot be read on');
    this.#waiters.refuse(new QueryFault('LOG_UNREADABLE', this.#failure));
    this.#closed.reject(reason);
    this.#caughtUp.reject(reason);
  }
}
