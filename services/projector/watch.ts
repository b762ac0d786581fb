/** Watching: what is, then everything that happens to it, without gap or duplicate. Runs at the caller, over the two ports. */
import type { EventType } from '../../events/events.ts';
import type { QueryAnswer, ViewName } from '../../events/queries.ts';
import { type EventFilter, emptyMemory, type FilterMemory } from '../../projections/event-filter.ts';
import { LabelMemory } from '../../projections/event-labels.ts';
import { type EventPosition, parsePosition } from '../../projections/event-position.ts';
import type { Stream } from '../lib/stream.ts';
import { EventFeed, type WatchedEvent } from './event-feed.ts';
import { type Ask, allRows } from './rows.ts';

export interface WatchDeps {
  readonly query: Ask;
  readonly log: Stream;
}

export interface WatchOptions {
  /** The view whose rows come first; none when left out. */
  readonly view?: ViewName;
  /** Name, HOST/NAME or id. */
  readonly network?: string;
  readonly host?: string;
  readonly types?: readonly EventType[];
  /** `KEY` or `KEY=VALUE`: only networks and endpoints that have it. Endpoints of such a network need it themselves. */
  readonly label?: string;
  /** Go on behind this position, `SEQ.INDEX` of the last item seen or `SEQ` of a snapshot, without a snapshot. */
  readonly from?: string | number;
  /** How many events may wait for the caller before the log is read no further. */
  readonly bufferMax?: number;
}

export type WatchItem =
  | { readonly kind: 'snapshot'; readonly position: number; readonly rows: QueryAnswer['rows'] }
  | WatchedEvent;

const BUFFER_MAX = 4_096;
/** Views whose rows are not in one network each. */
const outsideNetworks: ReadonlySet<ViewName> = new Set(['hosts', 'drivers']);
/** Views whose rows have labels. */
export const labelledViews: ReadonlySet<ViewName> = new Set(['networks', 'endpoints']);

interface Start {
  readonly snapshot: WatchItem | null;
  /** Events behind this one are handed out. */
  readonly behind: EventPosition;
  /** Read from here, to learn of networks on the way. */
  readonly readFrom: number;
  readonly memory: FilterMemory;
  readonly labels: LabelMemory | null;
}

/** Ids of all networks that were ever meant, gone ones too: events of endpoints name their network by id alone, and may come late. */
const networksMeant = async (
  { query }: WatchDeps,
  network: string,
  atLeast: number,
): Promise<{ readonly memory: FilterMemory; readonly position: number }> => {
  const { position, rows } = await allRows(query, 'incarnations', { filter: { network }, atLeast });
  return { position, memory: { ...emptyMemory(), networkIds: new Set(rows.map(({ id }) => String(id))) } };
};

/** What has the label at a position. */
const labelsAt = async ({ query }: WatchDeps, label: string | undefined, asOf: number): Promise<LabelMemory | null> => {
  if (label === undefined) return null;
  const views = await Promise.all(
    [...labelledViews].map((view) => allRows(query, view, { filter: { label }, asOf, atLeast: asOf })),
  );
  return new LabelMemory(
    label,
    views.flatMap(({ rows }) => rows.map(({ id }) => String(id))),
  );
};

const resume = async (deps: WatchDeps, { network, label }: WatchOptions, from: string | number): Promise<Start> => {
  const behind = parsePosition(String(from));
  if (!behind) throw new RangeError(`not a position: ${from}`);
  const { position, index } = behind;
  const readFrom = Number.isFinite(index) ? position : position + 1;
  const memory = network === undefined ? emptyMemory() : (await networksMeant(deps, network, position)).memory;
  return { snapshot: null, behind, readFrom, memory, labels: await labelsAt(deps, label, Math.max(0, readFrom - 1)) };
};

const begin = async (deps: WatchDeps, options: WatchOptions): Promise<Start> => {
  const { view, network, host, label } = options;
  if (view && label !== undefined && !labelledViews.has(view)) throw new RangeError(`${view} have no labels`);
  const known = network === undefined ? null : await networksMeant(deps, network, 0);
  const filter = {
    ...(network === undefined || (view && outsideNetworks.has(view)) ? {} : { network }),
    ...(host === undefined ? {} : { host }),
    ...(label === undefined ? {} : { label }),
  };
  const atLeast = known?.position ?? 0;
  const { position, rows } = view
    ? await allRows(deps.query, view, { filter, atLeast })
    : { position: known?.position ?? (await deps.log.last()), rows: [] };
  const readFrom = (known?.position ?? position) + 1;
  return {
    snapshot: { kind: 'snapshot', position, rows },
    behind: { position, index: Number.POSITIVE_INFINITY },
    readFrom,
    memory: known?.memory ?? emptyMemory(),
    labels: await labelsAt(deps, label, readFrom - 1),
  };
};

/**
 * First the snapshot, then every event behind it that passes the filters, for ever. To go on after a break, give `from` the position of
 * the last item. A slow caller stops the reading, never the other way round. Ends at `return()` (leaving the loop), which may be called
 * while an event is being waited for; throws when the log cannot be read.
 */
export const watch = (deps: WatchDeps, options: WatchOptions = {}): AsyncIterableIterator<WatchItem> => {
  const { network, host, types, from, bufferMax = BUFFER_MAX } = options;
  const filter: EventFilter = {
    ...(network === undefined ? {} : { network }),
    ...(host === undefined ? {} : { host }),
    ...(types === undefined ? {} : { types: new Set(types) }),
  };
  let started = false;
  let ended = false;
  let feed: EventFeed | null = null;

  const start = async (): Promise<WatchItem | null> => {
    const { snapshot, behind, readFrom, memory, labels } = await (from === undefined
      ? begin(deps, options)
      : resume(deps, options, from));
    if (!ended) feed = new EventFeed(deps.log, { filter, memory, labels, behind, readFrom, bufferMax });
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
