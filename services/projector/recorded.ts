/** Query `events`: the recorded events themselves, filtered, read from the log a stretch at a time. */
import { type Event, eventVersions, UnreadableCommit } from '../../events/envelope.ts';
import type { EventType } from '../../events/events.ts';
import type { Query } from '../../events/queries.ts';
import { createMatcher, type EventFilter, type FilterMemory } from '../../projections/event-filter.ts';
import { type EventPosition, isBehind, parsePosition } from '../../projections/event-position.ts';
import { type Filter, isNetwork } from '../../projections/filter.ts';
import { Labelled } from '../../projections/labelled.ts';
import { originOf } from '../../projections/origin.ts';
import type { Views } from '../../projections/views.ts';
import { placedEvents } from '../lib/commit.ts';
import { positionRecordedAt, recordedOf } from '../lib/recorded.ts';
import type { Message, ReadOptions, Stream } from '../lib/stream.ts';
import { type EventsCursor, formatEventsCursor, parseEventsCursor } from './events-cursor.ts';
import { readOf } from './filter-subjects.ts';
import type { KnownNetwork } from './follower.ts';
import type { Gate } from './gate.ts';
import { type Page, PageBuilder } from './page.ts';
import { QueryFault } from './query-fault.ts';

export interface RecordedDeps {
  readonly log: Stream;
  readonly networks: ReadonlyMap<string, KnownNetwork>;
  readonly bytesMax: number;
}

export interface EventsDeps extends RecordedDeps {
  /** For the reading alone: what is asked of the past goes through it too. */
  readonly gate: Gate;
  /** The views as of a position. */
  readonly viewsAt: (position: number) => Promise<Views>;
}

/** One request reads at most so many commits, about a tenth of a second; then it answers with what it has and how to go on. */
const COMMITS_MAX = 20_000;

const texts = [
  'host',
  'network',
  'endpoint',
  'sandbox',
  'address',
  'mac',
  'port',
  'commandid',
  'command',
  'actor',
  'correlationid',
] as const;
/** Names that a filter over events knows. */
export const eventFilterNames = ['type', 'since', 'label', ...texts] as const;

/** @throws QueryFault */
export const parseTypes = (text: string): ReadonlySet<EventType> => {
  const types = text.split(',').map((type) => type.trim());
  const unknown = types.filter((type) => !(type in eventVersions));
  if (unknown.length > 0) throw new QueryFault('QUERY_MALFORMED', `no event types: ${unknown.join(', ')}`);
  return new Set(types as EventType[]);
};

type Singles = Readonly<Record<string, string>>;

/** Recorded events and incarnations take one value for each name. @throws QueryFault */
export const singlesOf = (name: string, filter: Filter): Singles => {
  const lists = Object.entries(filter).flatMap(([field, value]) => (typeof value === 'string' ? [] : [field]));
  if (lists.length === 0) return filter as Singles;
  throw new QueryFault('QUERY_MALFORMED', `${name} take one value of ${lists.join(', ')}, not a list`);
};

const parseFilter = (filter: Singles): EventFilter => {
  const known: readonly string[] = eventFilterNames;
  const unknown = Object.keys(filter).filter((name) => !known.includes(name));
  if (unknown.length > 0) {
    const detail = `events cannot be filtered by ${unknown.join(', ')}, only by ${eventFilterNames.join(', ')}`;
    throw new QueryFault('QUERY_MALFORMED', detail);
  }
  const { type, since: _since, label: _label, ...rest } = filter;
  return { ...rest, ...(type === undefined ? {} : { types: parseTypes(type) }) };
};

/** `since` takes in the position or time that it names; the answer is what comes right before. */
export const parseSince = async (log: Stream, since: string | undefined): Promise<EventPosition> => {
  const end = Number.POSITIVE_INFINITY;
  if (since === undefined) return { position: 0, index: end };
  const named = parsePosition(since);
  if (named && Number.isFinite(named.index) && named.index > 0) return { ...named, index: named.index - 1 };
  if (named) return { position: named.position - 1, index: end };
  const timeMs = Date.parse(since);
  if (Number.isNaN(timeMs)) throw new QueryFault('QUERY_MALFORMED', `neither a position nor a time: ${since}`);
  return { position: (await positionRecordedAt(log, timeMs)) - 1, index: end };
};

/** A recorded event as a row: the CloudEvent in its current version, and where and when it was stored. */
const rowOf = (event: Event, message: Message, index: number): object => ({
  ...event.meta,
  type: `cnm.${event.type}.v${event.version}`,
  data: event.data,
  position: `${message.position}.${index}`,
  host: originOf(message.subject).host,
  recordedtime: new Date(recordedOf(message)).toISOString(),
});

/** Ids of all networks there ever were that are meant. */
export const knownIds = (networks: ReadonlyMap<string, KnownNetwork>, wanted: string | undefined): Set<string> => {
  const ids = new Set<string>();
  if (wanted === undefined) return ids;
  for (const [id, { name, host }] of networks) if (isNetwork(wanted, [name, id], host)) ids.add(id);
  return ids;
};

/** The things with a label as the views have them, and what becomes of them from there on. */
const labelledIn = (label: string, { rows: { networks, endpoints, commands } }: Views): Labelled => {
  return new Labelled([label], {
    networks: [...networks.values()],
    endpoints: [...endpoints.values()],
    commands: [...commands.values()],
  });
};

/** One read of the log: fills a page until it is full, the stretch is over or there is nothing more. */
class Scan {
  readonly page: PageBuilder;
  /** The last event looked at. */
  at: EventPosition;
  private commits = 0;
  private readonly until: number;
  private readonly memory: FilterMemory;
  private readonly matches: (event: Event, host: string | null) => boolean;

  constructor(page: PageBuilder, cursor: EventsCursor, until: number, filter: EventFilter, memory: FilterMemory) {
    this.page = page;
    this.at = cursor.from;
    this.until = until;
    this.memory = memory;
    this.matches = createMatcher(filter, memory);
  }

  /** Whether to go on: `end` when the last wanted commit was passed, `cut` when there may be more. */
  take(message: Message): 'on' | 'end' | 'cut' {
    const { position } = message;
    if (position > this.until) return 'end';
    const { host } = originOf(message.subject);
    for (const [index, event] of placedEvents(message)) {
      if (!isBehind(this.at, position, index)) {
        // What the rest of the memory knows of it stands in the cursor.
        this.memory.labelled?.concerns(event);
        continue;
      }
      if (this.matches(event, host) && !this.page.add(rowOf(event, message, index))) return 'cut';
      this.at = { position, index };
    }
    this.at = { position, index: Number.POSITIVE_INFINITY };
    if (position === this.until) return 'end';
    return ++this.commits >= COMMITS_MAX ? 'cut' : 'on';
  }
}

/**
 * A page of recorded events up to the position `until`. An answer without `next` is complete up to its position; one with `next` may
 * have few rows or none, when nothing in its stretch of the log passed the filter.
 */
export const recordedEvents = async (deps: EventsDeps, query: Query, until: number): Promise<Page> => {
  const asked = singlesOf('events', query.filter);
  const filter = parseFilter(asked);
  const since = await parseSince(deps.log, asked.since);
  const cursor = query.after === undefined ? { from: since, holders: [], meant: [] } : parseEventsCursor(query.after);
  const first = Number.isFinite(cursor.from.index) ? cursor.from.position : cursor.from.position + 1;
  if (first > until) return { position: until, rows: [] };
  const labelled = asked.label === undefined ? null : labelledIn(asked.label, await deps.viewsAt(first - 1));
  const memory: FilterMemory = {
    ...(labelled === null ? {} : { labelled }),
    networkIds: knownIds(deps.networks, filter.network),
    holders: new Set(cursor.holders),
    meant: new Set(cursor.meant),
  };
  const page = new PageBuilder({ limit: query.limit, bytesMax: deps.bytesMax });
  const scan = new Scan(page, cursor, until, filter, memory);
  const outcome = await deps.gate(() => readOn(deps.log, { from: first, until, ...readOf(filter, memory) }, scan));
  if (outcome === 'end') return { position: until, rows: page.rows };
  return { position: scan.at.position, rows: page.rows, next: formatEventsCursor(scan.at, memory) };
};

const readOn = async (log: Stream, options: ReadOptions, scan: Scan): Promise<'end' | 'cut'> => {
  const { promise: done, resolve } = Promise.withResolvers<'end' | 'cut'>();
  let over = false;
  const reader = log.read(options, (message) => {
    if (over) return;
    const outcome = scan.take(message);
    if (outcome === 'on') return;
    over = true;
    resolve(outcome);
  });
  try {
    // With a filter the last wanted commit may never come, but then all that was stored has.
    return await Promise.race([done, reader.caughtUp.then(() => 'end' as const)]);
  } catch (error) {
    if (error instanceof UnreadableCommit) throw new QueryFault('LOG_UNREADABLE', error.message);
    throw error;
  } finally {
    reader.closed.catch(() => {});
    await reader.stop();
  }
};
