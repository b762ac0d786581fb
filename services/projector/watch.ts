/** Watching: what is, then everything that happens to it, without gap or duplicate. Runs at the caller, over the two ports. */
import type { EventType } from '../../events/events.ts';
import { type QueryAnswer, type ViewName, viewNames } from '../../events/queries.ts';
import { type EventFilter, emptyMemory, type FilterMemory } from '../../projections/event-filter.ts';
import type { EventPosition } from '../../projections/event-position.ts';
import { filterNames } from '../../projections/filter.ts';
import { QueryFailed } from '../client/errors.ts';
import { type Clock, systemClock } from '../lib/clock.ts';
import type { Stream } from '../lib/stream.ts';
import { EventFeed, type WatchedEvent, type WatchedPassing } from './event-feed.ts';
import { type Ask, allRows } from './rows.ts';
import { knownAt, type Meant } from './watch-memory.ts';
import { assertHeld, commitIdOf, formatCursor, parseCursor } from './watch-position.ts';

export interface WatchDeps {
  readonly query: Ask;
  readonly log: Stream;
  readonly clock?: Clock;
}

export interface WatchOptions {
  /** The view whose rows come first; none when left out. */
  readonly view?: ViewName;
  /** Name, HOST/NAME or id. */
  readonly network?: string;
  readonly host?: string;
  /**
   * `KEY` or `KEY=VALUE`, of several all: only events of networks and endpoints that have them before or after the event. An endpoint
   * has its own labels, not those of its network.
   */
  readonly label?: string | readonly string[];
  readonly types?: readonly EventType[];
  /**
   * Go on behind this position, without a snapshot: the `cursor` of the last item seen, or its `position`. A cursor is refused where the
   * log is another one; a position means what it says in whichever log it is.
   */
  readonly from?: string | number;
  /** How many events may wait for the caller before the log is read no further. */
  readonly bufferMax?: number;
  /**
   * After so many commits of which nothing passes the filters, say so: an item `passing`, with a cursor. For whoever keeps the cursor, and
   * would otherwise read all of them again, or find them put away. Of a host the others' commits are counted every ten seconds.
   */
  readonly passingEvery?: number;
}

export type WatchItem =
  | {
      readonly kind: 'snapshot';
      readonly position: number;
      /** Where to go on behind it: `from` of a later watch. */
      readonly cursor: string;
      readonly rows: QueryAnswer['rows'];
    }
  | WatchedEvent
  | WatchedPassing;

const BUFFER_MAX = 4_096;

interface Start {
  readonly snapshot: WatchItem | null;
  /** Events behind this one are handed out. */
  readonly behind: EventPosition;
  /** Read from here, to learn of networks on the way. */
  readonly readFrom: number;
  readonly memory: FilterMemory;
}

const meantBy = ({ network, label = [] }: WatchOptions): Meant => ({
  ...(network === undefined ? {} : { network }),
  labels: typeof label === 'string' ? [label] : label,
});

const resume = async (deps: WatchDeps, options: WatchOptions, from: string | number): Promise<Start> => {
  const cursor = parseCursor(String(from));
  if (!cursor) throw new RangeError(`not a position: ${from}`);
  await assertHeld(deps.log, cursor);
  const { position, index } = cursor.at;
  const readFrom = Number.isFinite(index) ? position : position + 1;
  const known = await knownAt(deps.query, meantBy(options), readFrom - 1);
  return { snapshot: null, behind: cursor.at, readFrom, memory: known?.memory ?? emptyMemory() };
};

/** Views whose rows have labels. */
export const labelledViews: readonly ViewName[] = viewNames.filter((view) => filterNames(view).includes('label'));

/** What a view's rows cannot be asked for, such as the network of a host, narrows its events alone. */
const viewFilter = (view: ViewName, options: WatchOptions): Readonly<Record<string, string | string[]>> => {
  const { network, labels } = meantBy(options);
  const names = filterNames(view);
  if (labels.length > 0 && !labelledViews.includes(view))
    throw new QueryFailed('QUERY_MALFORMED', `${view} have no labels: there are ${labelledViews.join(', ')}`);
  const asked = { network, host: options.host, label: labels.length === 0 ? undefined : [...labels] };
  return Object.fromEntries(
    Object.entries(asked).flatMap(([name, value]) =>
      value === undefined || !names.includes(name) ? [] : [[name, value] as const],
    ),
  );
};

const begin = async (deps: WatchDeps, options: WatchOptions): Promise<Start> => {
  const { view } = options;
  const known = await knownAt(deps.query, meantBy(options));
  const { position, rows } = view
    ? await allRows(deps.query, view, { filter: viewFilter(view, options), atLeast: known?.position ?? 0 })
    : { position: known?.position ?? (await deps.log.last()), rows: [] };
  const behind = { position, index: Number.POSITIVE_INFINITY };
  const last = await deps.log.get(position);
  const cursor = formatCursor(behind, last === null ? '' : commitIdOf(last));
  return {
    snapshot: { kind: 'snapshot', position, cursor, rows },
    behind,
    readFrom: (known?.position ?? position) + 1,
    memory: known?.memory ?? emptyMemory(),
  };
};

/**
 * First the snapshot, then every event behind it that passes the filters, for ever. To go on after a break, give `from` the cursor of
 * the last item. A slow caller stops the reading, never the other way round. Ends at `return()` (leaving the loop), which may be called
 * while an event is being waited for; throws when the log cannot be read.
 *
 * @throws QueryFailed from the first `next()`: QUERY_POSITION_UNKNOWN where it cannot go on at `from` without a gap, QUERY_MALFORMED for
 * labels of a view that has none
 */
export const watch = (deps: WatchDeps, options: WatchOptions = {}): AsyncIterableIterator<WatchItem> => {
  const { network, host, types, from, bufferMax = BUFFER_MAX, passingEvery = null } = options;
  const filter: EventFilter = {
    ...(network === undefined ? {} : { network }),
    ...(host === undefined ? {} : { host }),
    ...(types === undefined ? {} : { types: new Set(types) }),
  };
  let started = false;
  let ended = false;
  let feed: EventFeed | null = null;

  const start = async (): Promise<WatchItem | null> => {
    const { snapshot, behind, readFrom, memory } = await (from === undefined
      ? begin(deps, options)
      : resume(deps, options, from));
    const { log, clock = systemClock } = deps;
    if (!ended) feed = new EventFeed(log, { filter, memory, behind, readFrom, bufferMax, passingEvery, clock });
    return snapshot;
  };
  const done = { done: true, value: undefined } as const;
  return {
    next: async () => {
      if (ended) return done;
      if (!started) {
        started = true;
        const snapshot = await start();
        if (snapshot && !ended) return { done: false, value: snapshot };
      }
      const item = await feed?.take();
      return item ? { done: false, value: item } : done;
    },
    return: async () => {
      ended = true;
      await feed?.close();
      return done;
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
};
