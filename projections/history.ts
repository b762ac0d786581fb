/** What became of the commands behind some events: the rows of a history. */
import { type CommandRecord, commandStep, foldCommand } from '../events/command-record.ts';
import { cutsShort } from '../events/cut-short.ts';
import type { Event } from '../events/envelope.ts';
import { fits } from '../events/fits.ts';
import type { HistoryRow } from '../events/past-queries.ts';
import { type EventPosition, formatPosition } from './event-position.ts';

/** An event, and where and when it was stored. */
export interface Placed {
  readonly event: Event;
  readonly host: string | null;
  readonly at: EventPosition;
  readonly recordedMs: number;
}

/** Of one actor's command; equal ids of two actors are two commands. */
export const commandKey = (actor: string, commandid: string): string => `${actor} ${commandid}`;

/** The commands that an event tells something of: the one that led to it, and those that it ends. */
export const commandsToldBy = (event: Event): readonly string[] => {
  const { meta } = event;
  const own = meta.commandid === '' ? [] : [commandKey(meta.actor, meta.commandid)];
  if (event.type === 'HostLost')
    return [...own, ...event.data.commands.map(({ actor, commandId }) => commandKey(actor, commandId))];
  return cutsShort(event) ? [...own, commandKey(event.data.actor, event.data.commandId)] : own;
};

/**
 * Folds an event into the record of a command that it tells of. A command begins with its decision: an outcome of one that nobody has
 * decided begins none. A timeout is one more decision of the command that asked for it.
 */
const foldInto = (
  before: CommandRecord | undefined,
  key: string,
  event: Event,
  position: number,
): CommandRecord | undefined => {
  const isOwn = key === commandKey(event.meta.actor, event.meta.commandid);
  if (before === undefined && (!isOwn || event.meta.commandseq === undefined)) return before;
  if (before !== undefined && isOwn && cutsShort(event)) return before;
  return commandStep(before, event) === null ? before : foldCommand(before, event, position);
};

/** Records of the commands that are wanted, by key. Fed in log order with all commits in which something stands about them. */
export class Records {
  readonly #wanted: ReadonlySet<string>;
  readonly #records = new Map<string, CommandRecord>();

  constructor(wanted: ReadonlySet<string>) {
    this.#wanted = wanted;
  }

  take(event: Event, position: number): void {
    for (const key of commandsToldBy(event)) {
      // What lacks the data of its type moves nothing on.
      if (!this.#wanted.has(key) || !fits(event)) continue;
      const record = foldInto(this.#records.get(key), key, event, position);
      if (record) this.#records.set(key, record);
    }
  }

  get(key: string): CommandRecord | undefined {
    return this.#records.get(key);
  }
}

type Draft = Omit<HistoryRow, 'events'> & { readonly events: HistoryRow['events'][number][] };

const durationOf = ({ decidedAt, endedAt }: CommandRecord): number | null =>
  endedAt === null ? null : Date.parse(endedAt) - Date.parse(decidedAt);

const begin = ({ event, host, at, recordedMs }: Placed, record: CommandRecord | undefined): Draft => {
  const { meta } = event;
  return {
    position: formatPosition(at),
    time: meta.time,
    recordedtime: new Date(recordedMs).toISOString(),
    host,
    actor: meta.actor,
    actorproof: meta.actorproof ?? null,
    command: record?.command ?? meta.commandtype ?? '',
    commandid: meta.commandid,
    correlationid: meta.correlationid,
    traceparent: meta.traceparent ?? null,
    status: record?.status ?? '',
    code: record?.refusal?.code ?? record?.fault?.code ?? null,
    detail: record?.refusal?.detail ?? record?.fault?.text ?? null,
    endedPosition: record?.endedPosition ?? null,
    endedAt: record?.endedAt ?? null,
    tookMs: record ? durationOf(record) : null,
    events: [],
  };
};

/** One row for each command, in the order of their first events here; an event without a command is a row of its own. */
export const historyRows = (matched: Iterable<Placed>, records: Records): readonly HistoryRow[] => {
  const rows: Draft[] = [];
  const byCommand = new Map<string, Draft>();
  for (const placed of matched) {
    const { event, at } = placed;
    const { actor, commandid, time, subject } = event.meta;
    const key = commandKey(actor, commandid);
    let row = commandid === '' ? undefined : byCommand.get(key);
    if (!row) {
      row = begin(placed, records.get(key));
      rows.push(row);
      if (commandid !== '') byCommand.set(key, row);
    }
    row.events.push({ position: formatPosition(at), type: event.type, time, about: subject });
  }
  return rows;
};
