/** The read side: live views of the whole log, and answers to queries about now, then and why. */
import type { Logger } from 'pino';
import { type QueryAnswer, type QueryInput, viewNames } from '../../events/queries.ts';
import type { ViewRows } from '../../projections/views.ts';
import type { Clock } from '../lib/clock.ts';
import type { Look } from '../lib/health.ts';
import type { Stream } from '../lib/stream.ts';
import { type AnswerDeps, answerQuery, parseQuery } from './answer.ts';
import { foldCode } from './fold-code.ts';
import { type Follower, follow } from './follower.ts';
import { createGate } from './gate.ts';
import type { Memory } from './memory.ts';
import { bodyOf } from './page.ts';
import { createPast } from './past.ts';
import { Rebuilder, type RebuildOptions, type RebuildReport, type RollbackReport } from './rebuild.ts';
import { createSnapshots } from './snapshots.ts';

export interface ProjectorDeps {
  readonly log: Stream;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface ProjectorOptions {
  /** How large an answer may be, bytes; larger ones come in pages. Must be below the server's `max_payload`. */
  readonly answerBytesMax?: number;
  /** Where states of the past are kept; none when left out, and every moment of the past is folded from the opening. */
  readonly snapshots?: SnapshotPlace;
}

export interface SnapshotPlace {
  readonly directory: string;
  /** After how many events the next one is kept. */
  readonly everyEvents: number;
}

export interface Load {
  readonly capacity: Iterable<ViewRows['capacity']>;
  readonly quotas: Iterable<ViewRows['quotas']>;
}

export interface Projector {
  /** Resolves when all that was stored at the start is folded in. */
  readonly caughtUp: Promise<void>;
  /** Resolves at `stop()`; rejects when the log cannot be read on. Queries are then answered with the reason. */
  readonly closed: Promise<void>;
  /** The answer's body to a query's body, on `cnm.query.<name>`. @throws QueryFault */
  answer(name: string, body: string): Promise<string>;
  /** The same for callers in this process. @throws QueryFault */
  query(name: string, query?: QueryInput): Promise<QueryAnswer>;
  /** Folds the views anew from the opening and holds them against the live ones, byte for byte. @throws QueryFault when it is done already */
  rebuild(options?: RebuildOptions): Promise<RebuildReport>;
  /** Puts back what the last rebuilding has replaced. @throws QueryFault when it has replaced nothing */
  rollback(): Promise<RollbackReport>;
  /** How much it keeps of the past beside the views. */
  remembered(): ReturnType<Memory['size']>;
  look(): Look;
  /** Queries that wait for a position are refused: it is about to stop. */
  letGo(): void;
  /** How many rows each view has. */
  rows(): readonly (readonly [view: string, rows: number])[];
  /** What is in use of what hosts have, and of what actors may have. */
  load(): Load;
  stop(): Promise<void>;
}

/** The server's `max_payload` is 1 MiB by default and at least 512 KiB (services/nats/streams.ts). */
const ANSWER_BYTES_MAX = 480 * 1024;
/** Folds of the past and scans of the log at once; each keeps a processor busy. */
export const READS_AT_ONCE_MAX = 2;
export const READS_WAITING_MAX = 32;

const lookAt = (follower: Follower): Look => {
  const { views } = follower;
  const why = follower.failure();
  const starting = { code: 'STARTING', says: 'reads what the log holds' } as const;
  const unreadable = why === null ? null : ({ code: 'LOG_UNREADABLE', says: why } as const);
  const problem = unreadable ?? (follower.isLive() ? null : starting);
  return {
    position: views.position,
    stages: [],
    problems: problem ? [problem] : [],
    parked: views.rows.parked.size,
  };
};

/** Which file has what was before the log begins; null where it begins with its opening. */
const putAwayOf = (segment: ReturnType<Follower['segment']>): object | null =>
  segment && { before: segment.first, file: segment.previous.file, sha256: segment.previous.sha256 };

/** Starts reading the log from its opening. Queries wait until it has caught up. */
export const createProjector = (deps: ProjectorDeps, options: ProjectorOptions = {}): Projector => {
  const { log, clock, logger } = deps;
  const startedAt = new Date(clock.nowMs()).toISOString();
  const { snapshots: place } = options;
  const snapshots = place
    ? createSnapshots({
        ...place,
        code: foldCode(),
        epoch: () => follower.opening()?.epoch ?? null,
        log,
        clock,
        logger,
        discards: () => follower.discards(),
      })
    : null;
  const follower = follow({
    log,
    clock,
    logger,
    passed: (events) => snapshots?.passed(follower.views, events),
    doubted: () => void onReplaced(),
    ...(snapshots ? { nearest: (position: number) => snapshots.nearest(position, 0) } : {}),
  });
  const { views } = follower;
  follower.caughtUp.then(() => snapshots?.live(views.position)).catch(() => {}); // `closed` says why to everyone
  const gate = createGate(READS_AT_ONCE_MAX, READS_WAITING_MAX);

  const status = async (): Promise<object> => {
    // A server that is away must not hide what is known here.
    const head = await log.last().catch(() => null);
    const reason = follower.failure();
    return {
      state: reason !== null ? 'stopped' : follower.isLive() ? 'live' : 'starting',
      reason,
      position: views.position,
      head,
      lag: head === null ? null : Math.max(0, head - views.position),
      startedAt,
      realm: follower.opening()?.realm ?? null,
      epoch: follower.opening()?.epoch ?? null,
      putAway: putAwayOf(follower.segment()),
      snapshots: (await snapshots?.status()) ?? null,
      views: Object.fromEntries(viewNames.map((view) => [view, views.rows[view].size])),
    };
  };
  const discards = () => follower.discards();
  const past = createPast({ log, live: views, gate, snapshots, discards });
  const onReplaced = async (): Promise<void> => {
    past.clear();
    await snapshots?.clear();
    void snapshots?.live(views.position);
  };
  const rebuilder = new Rebuilder({ log, live: views, ledger: follower.memory.ledger, clock, onReplaced, discards });
  const bytesMax = options.answerBytesMax ?? ANSWER_BYTES_MAX;
  const answering: AnswerDeps = { log, clock, follower, past, gate, status, bytesMax };
  const answer = async (name: string, body: string): Promise<string> =>
    bodyOf(await answerQuery(answering, name, parseQuery(body)));

  return {
    caughtUp: follower.caughtUp,
    closed: follower.closed,
    answer,
    query: async (name, query = {}) => JSON.parse(await answer(name, JSON.stringify(query))) as QueryAnswer,
    rebuild: (rebuilding) => rebuilder.rebuild(rebuilding),
    rollback: () => rebuilder.rollback(),
    remembered: () => follower.memory.size(),
    look: () => lookAt(follower),
    letGo: () => follower.letGo(),
    rows: () => viewNames.map((view) => [view, views.rows[view].size]),
    load: () => ({ capacity: views.rows.capacity.values(), quotas: views.rows.quotas.values() }),
    stop: async () => {
      await follower.stop();
      await snapshots?.stop();
    },
  };
};
