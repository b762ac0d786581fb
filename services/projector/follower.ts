/** The live views: the whole log folded from its opening, then followed. */
import type { Logger } from 'pino';
import { unfitReports } from '../../events/envelope.ts';
import type { EventData } from '../../events/events.ts';
import { isChunk } from '../../events/names.ts';
import { originOf } from '../../projections/origin.ts';
import { createViews, type Views } from '../../projections/views.ts';
import type { Clock } from '../lib/clock.ts';
import { eventsOf } from '../lib/commit.ts';
import { openedThrough, type SegmentData } from '../lib/opening.ts';
import type { Message, Stream } from '../lib/stream.ts';
import { Memory } from './memory.ts';
import { QueryFault } from './query-fault.ts';
import { foldStored } from './segment-views.ts';

/** A network that was asked for at some time. Kept for ever: events of endpoints name their network by id alone, those of the past too. */
export interface KnownNetwork {
  readonly id: string;
  readonly name: string;
  readonly host: string | null;
  /** Of the commit that asked for it. */
  readonly position: number;
}

export interface Follower {
  readonly views: Views;
  /** By id, in the order in which they came. */
  readonly networks: ReadonlyMap<string, KnownNetwork>;
  readonly memory: Memory;
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
  stop(): Promise<void>;
}

interface Waiter {
  readonly position: number;
  readonly resolve: () => void;
  readonly reject: (reason: QueryFault) => void;
}

export interface FollowDeps {
  readonly log: Stream;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Told of each commit that is folded in. */
  readonly passed?: (events: number) => void;
  /** Empty: whoever folds the log anew needs a new one. */
  readonly memory?: Memory;
}

const WAITERS_MAX = 10_000;

/** Starts following. Stops for good at the first commit that this version cannot read: views with holes would be lies. */
export const follow = ({ log, clock, logger, passed, memory = new Memory() }: FollowDeps): Follower => {
  const views = createViews(memory.ledger);
  const networks = new Map<string, KnownNetwork>();
  const waiters = new Set<Waiter>();
  let live = false;
  let opening: EventData<'RealmOpened'> | null = null;
  let segment: SegmentData | null = null;
  let failure: string | null = null;

  const release = (): void => {
    for (const waiter of waiters) if (live && waiter.position <= views.position) waiter.resolve();
  };
  const warnOf = ({ body, subject, position }: Message): void => {
    const problem = unfitReports(body, subject);
    // A commit may hold nothing at all.
    if (problem !== null) logger.warn({ position, subject, problem }, 'a report that does not fit counts for nothing');
  };
  const onMessage = (message: Message): void => {
    const events = eventsOf(message);
    if (events.length === 0 && !isChunk(message.subject)) warnOf(message);
    for (const event of events) {
      if (event.type === 'NetworkCreateRequested') {
        const { id, name } = event.data.network;
        networks.set(id, { id, name, host: originOf(message.subject).host, position: message.position });
      } else if (event.type === 'RealmOpened') opening ??= event.data;
      else if (event.type === 'SegmentOpened') segment ??= event.data;
    }
    foldStored(views, message, events);
    // Of networks that are gone nothing is said any more.
    if (segment && message.position === openedThrough(segment))
      for (const { id, name, host } of views.rows.networks.values())
        networks.set(id, { id, name, host, position: message.position });
    memory.note(events, message.position);
    passed?.(events.length);
    if (waiters.size > 0) release();
  };
  const fail = (reason: unknown): void => {
    const position = views.position + 1;
    failure = reason instanceof Error ? reason.message : String(reason);
    logger.error({ err: reason, position }, 'the views stand still: the log cannot be read on');
    for (const waiter of waiters) waiter.reject(new QueryFault('LOG_UNREADABLE', failure));
  };

  const reader = log.read({ from: 1 }, onMessage);
  reader.closed.catch(fail);
  const caughtUp = reader.caughtUp.then(() => {
    live = true;
    release();
  });
  caughtUp.catch(() => {}); // who waits for it sees it; `closed` says the same to everyone

  const wait = async (position: number, timeoutMs: number): Promise<void> => {
    if (waiters.size >= WAITERS_MAX) throw new QueryFault('QUERY_BUSY', `${waiters.size} queries wait already`);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter: Waiter = { position, resolve, reject };
    waiters.add(waiter);
    const cancel = clock.after(timeoutMs, () => {
      const state = live ? '' : ' and still reads what was stored before it started';
      reject(
        new QueryFault('QUERY_NOT_YET', `the views are at position ${views.position}${state}, not yet at ${position}`),
      );
    });
    try {
      await promise;
    } finally {
      cancel();
      waiters.delete(waiter);
    }
  };

  return {
    views,
    networks,
    memory,
    opening: () => opening ?? segment,
    segment: () => segment,
    caughtUp,
    closed: reader.closed,
    isLive: () => live,
    failure: () => failure,
    reached: async (position, timeoutMs) => {
      if (failure !== null) throw new QueryFault('LOG_UNREADABLE', failure);
      if (!live || position > views.position) await wait(position, timeoutMs);
    },
    stop: () => reader.stop(),
  };
};
