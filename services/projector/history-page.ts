/** Query `history`: what was done to a thing and by whom, one row for each command, read by the index. */
import { type Event, UnreadableCommit } from '../../events/envelope.ts';
import { formatIp, parseIp } from '../../events/ip.ts';
import { subjects } from '../../events/names.ts';
import type { HistoryRow } from '../../events/past-queries.ts';
import type { Query } from '../../events/queries.ts';
import { createMatcher, type EventFilter, emptyMemory } from '../../projections/event-filter.ts';
import { candidates, looksBack } from '../../projections/event-index.ts';
import { parsePort } from '../../projections/event-ports.ts';
import { isBehind } from '../../projections/event-position.ts';
import { commandsToldBy, historyRows, type Placed, Records } from '../../projections/history.ts';
import { originOf } from '../../projections/origin.ts';
import { bareAddress } from '../../projections/projection.ts';
import { placedEvents } from '../lib/commit.ts';
import { recordedOf } from '../lib/recorded.ts';
import type { Message } from '../lib/stream.ts';
import { commitsAt } from './commits-at.ts';
import type { Memory } from './memory.ts';
import { type Page, pageOf } from './page.ts';
import { QueryFault } from './query-fault.ts';
import { knownIds, parseSince, parseTypes, type RecordedDeps, singlesOf } from './recorded.ts';

export interface HistoryDeps extends RecordedDeps {
  readonly memory: Memory;
}

/** A history is of at least one of these. */
const historyKeys = [
  'network',
  'endpoint',
  'sandbox',
  'address',
  'mac',
  'port',
  'host',
  'commandid',
  'command',
  'actor',
  'correlationid',
] as const;

/** So many events are a page that nobody reads: narrow it down. */
const EVENTS_MAX = 50_000;

/** Commits that a question keeps so that it reads each of them once; decoded they take some five times as much. */
const READ_BYTES_MAX = 16 * 1024 * 1024;

const malformed = (detail: string): QueryFault => new QueryFault('QUERY_MALFORMED', detail);

/** As events spell it; a prefix behind it, as kernels and events show it, is no part of it. @throws QueryFault */
export const addressOf = (text: string): string => {
  const ip = parseIp(bareAddress(text));
  if (!ip) throw malformed(`no address: ${text}`);
  return formatIp(ip.family, ip.value);
};

/** @throws QueryFault */
export const macOf = (text: string): string => {
  if (/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) return text.toLowerCase();
  throw malformed(`no MAC address: ${text}`);
};

/** Spelled as events spell it. */
const spell = (name: string, text: string): string => {
  if (name === 'mac') return macOf(text);
  if (name === 'port' && parsePort(text) === null)
    throw malformed(`no port: ${text}; write PORT, PROTO/PORT or HOST/PROTO/PORT`);
  if (name !== 'address') return text;
  return addressOf(text);
};

const parseFilter = (asked: Readonly<Record<string, string>>): EventFilter => {
  const { type, since: _since, ...keys } = asked;
  const known: readonly string[] = historyKeys;
  const unknown = Object.keys(keys).filter((name) => !known.includes(name));
  if (unknown.length > 0)
    throw malformed(`history is not of ${unknown.join(', ')}, only of ${historyKeys.join(', ')}; with type, since`);
  const given = Object.entries(keys);
  if (given.length === 0) throw malformed(`history of what? One of ${historyKeys.join(', ')}`);
  const empty = given.find(([, text]) => text === '');
  if (empty) throw malformed(`${empty[0]} is empty`);
  const spelled = Object.fromEntries(given.map(([name, text]) => [name, spell(name, text)]));
  return { ...spelled, ...(type === undefined ? {} : { types: parseTypes(type) }) };
};

/** What a host has decided and reported is found by its subjects. */
const ofHost = async (
  { log }: HistoryDeps,
  host: string,
  range: { readonly from: number; readonly until: number },
  take: (message: Message) => void,
): Promise<void> => {
  if (range.from > range.until) return;
  const filter = [subjects.host(host), subjects.outcome(host)];
  const reader = log.read({ ...range, subjects: filter }, (message) => {
    if (message.position <= range.until) take(message);
  });
  reader.closed.catch(() => {});
  try {
    await reader.caughtUp;
  } finally {
    await reader.stop();
  }
};

/** Reads what may pass, and what the matcher learns from. */
const matchedEvents = async (
  deps: HistoryDeps,
  filter: EventFilter,
  since: string | undefined,
  until: number,
  read: Map<number, Message>,
): Promise<readonly Placed[]> => {
  const networkIds = knownIds(deps.networks, filter.network);
  const matches = createMatcher(filter, { ...emptyMemory(), networkIds });
  const from = await parseSince(deps.log, since);
  const matched: Placed[] = [];
  const take = (message: Message): void => {
    const { host } = originOf(message.subject);
    for (const [index, event] of placedEvents(message)) {
      if (!matches(event, host) || !isBehind(from, message.position, index)) continue;
      matched.push({ event, host, at: { position: message.position, index }, recordedMs: recordedOf(message) });
    }
    if (matched.length > EVENTS_MAX)
      throw malformed(`more than ${EVENTS_MAX} events: narrow it down with since, type or asOf`);
  };
  const positions = candidates(deps.memory.index, filter, networkIds);
  if (positions === null) {
    await ofHost(deps, filter.host ?? '', { from: Math.max(1, from.position), until }, take);
    return matched;
  }
  const first = looksBack(filter) ? 1 : from.position;
  const wanted = positions.filter((position) => position >= first && position <= until);
  let bytes = 0;
  for await (const message of commitsAt(deps.log, wanted)) {
    take(message);
    bytes += message.body.length;
    if (bytes <= READ_BYTES_MAX) read.set(message.position, message);
  }
  return matched;
};

/** What became of the commands behind these events, as of `until`. `read`: what was read already, for the same commits mostly. */
const recordsOf = async (
  { log, memory }: HistoryDeps,
  events: readonly Event[],
  until: number,
  read: ReadonlyMap<number, Message>,
): Promise<Records> => {
  const ids = new Set(events.map(({ meta }) => meta.commandid).filter((id) => id !== ''));
  const records = new Records(new Set(events.flatMap(commandsToldBy)));
  const positions = new Set<number>();
  for (const id of ids) for (const position of memory.index.positions('c', id)) positions.add(position);
  const past = [...positions].filter((position) => position <= until).sort((a, b) => a - b);
  const missing = new Map<number, Message>();
  for await (const message of commitsAt(
    log,
    past.filter((position) => !read.has(position)),
  ))
    missing.set(message.position, message);
  for (const position of past) {
    const message = read.get(position) ?? missing.get(position);
    for (const [, event] of message ? placedEvents(message) : []) records.take(event, position);
  }
  return records;
};

const rowsOf = async (
  deps: HistoryDeps,
  asked: Readonly<Record<string, string>>,
  until: number,
): Promise<readonly HistoryRow[]> => {
  const read = new Map<number, Message>();
  const matched = await matchedEvents(deps, parseFilter(asked), asked.since, until, read);
  const records = await recordsOf(
    deps,
    matched.map(({ event }) => event),
    until,
    read,
  );
  return historyRows(matched, records);
};

/** A page of a history up to the position `until`. @throws QueryFault */
export const historyPage = async (deps: HistoryDeps, query: Query, until: number): Promise<Page> => {
  const asked = singlesOf('history', query.filter);
  const key = JSON.stringify([until, asked]);
  try {
    const rows = deps.memory.history(key) ?? (await rowsOf(deps, asked, until));
    const limits = { limit: query.limit, bytesMax: deps.bytesMax };
    const page = pageOf(
      until,
      rows.map((row) => [row.position, row] as const),
      query.after,
      limits,
    );
    if (page.next !== undefined) deps.memory.keepHistory(key, rows);
    return page;
  } catch (error) {
    if (error instanceof UnreadableCommit) throw new QueryFault('LOG_UNREADABLE', error.message);
    throw error;
  }
};
