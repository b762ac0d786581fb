/**
 * View `commands`: what became of each command, as long as its id is remembered. Key: the command's id, and for a command whose id another
 * actor has used before, `ACTOR COMMANDID`. Nearly every event looks its command up, and a text that is there already costs a fraction of
 * one that is put together.
 */
import { type CommandRecord, commandStep, openCommand } from '../events/command-record.ts';
import { cutsShort } from '../events/cut-short.ts';
import type { Event } from '../events/envelope.ts';
import { decisionTypes, isTerminal, outcomeTypes } from '../events/events.ts';
import { memoryMsMost } from '../events/names.ts';
import type { At, Projection } from './projection.ts';

export interface CommandRow extends CommandRecord {
  /** Whose boundary decided it; null for a refusal that reached no host. */
  readonly host: string | null;
}

type Rows = Map<string, CommandRow>;

/** The command that was looked up last in a commit: its events mostly follow each other, and looking it up is dear. */
export interface CommandCursor {
  key: string;
  row: CommandRow | undefined;
  /** The row was made in this commit. Nobody reads views before its end, so until then the row is changed in place. */
  isNew: boolean;
}

/** As every commit begins. */
export const noCommand = (): CommandCursor => ({ key: '', row: undefined, isNew: false });

/** The key of an actor's command, or the one that it would get. */
const keyIn = (rows: ReadonlyMap<string, CommandRow>, actor: string, commandid: string): string => {
  const row = rows.get(commandid);
  if (row?.actor === actor) return commandid;
  const own = `${actor} ${commandid}`;
  return row || rows.has(own) ? own : commandid;
};

/**
 * Moves on to an actor's command.
 * @param decides it is decided now: a command's stand in one commit, so where its id has no row, the longer key has none either
 */
const seek = (cursor: CommandCursor, rows: Rows, actor: string, commandid: string, decides: boolean): void => {
  const { row: last } = cursor;
  if (last?.commandid === commandid && last.actor === actor) return;
  const row = rows.get(commandid);
  const found = row ? row.actor === actor : decides;
  cursor.key = found ? commandid : keyIn(rows, actor, commandid);
  cursor.row = found ? row : rows.get(cursor.key);
  cursor.isNew = false;
};

/** Field by field, since all later rows are copies of it: with a field put on behind, each would be two objects. */
const opened = (event: Event, { host, position }: At): CommandRow => {
  const record = openCommand(event, position);
  return {
    host,
    actor: record.actor,
    commandid: record.commandid,
    correlationid: record.correlationid,
    command: record.command,
    status: record.status,
    position: record.position,
    decidedAt: record.decidedAt,
    endedPosition: record.endedPosition,
    endedAt: record.endedAt,
    deadline: record.deadline,
    open: record.open,
    network: record.network,
    endpoints: record.endpoints,
    sandbox: record.sandbox,
    refusal: record.refusal,
    fault: record.fault,
  };
};

/** Folds an event into the command that the cursor stands on. */
const fold = (rows: Rows, cursor: CommandCursor, event: Event, at: At): void => {
  const { row: before } = cursor;
  const step = commandStep(before, event);
  if (!step) return;
  const row = before === undefined ? opened(event, at) : cursor.isNew ? before : { ...before };
  step(row, event, at.position);
  if (row === before) return;
  rows.set(cursor.key, row);
  cursor.row = row;
  cursor.isNew = true;
};

/**
 * Drops ended commands that were decided longer ago than ids are remembered, so that the view stays bounded. Called when a new day
 * begins in the log's own time: a view rebuilt later forgets at the same positions.
 * @param day the new day, `YYYY-MM-DD`
 * @returns how many were dropped
 */
export const forgetCommands = (rows: Rows, day: string): number => {
  const oldest = new Date(Date.parse(day) - memoryMsMost).toISOString();
  let dropped = 0;
  for (const [key, row] of rows) {
    if (row.decidedAt >= oldest) break;
    if (row.status !== 'accepted' && rows.delete(key)) dropped++;
  }
  return dropped;
};

export const commands: Projection<CommandRow> = {
  name: 'commands',
  version: 1,
  handles: [
    ...decisionTypes.filter(
      (type) => type !== 'RealmOpened' && type !== 'EndpointAdmitted' && type !== 'PeersForgotten',
    ),
    ...outcomeTypes.filter(isTerminal),
  ],
  apply: (rows, event, at) => {
    const { actor, commandid, commandseq } = event.meta;
    const { command: cursor } = at;
    if (cutsShort(event)) {
      seek(cursor, rows, event.data.actor, event.data.commandId, false);
      if (cursor.row) fold(rows, cursor, event, at);
    }
    seek(cursor, rows, actor, commandid, commandseq !== undefined);
    // A command begins with its decision. An outcome of one that is not known any more, or that nobody sent, begins none.
    if (!cursor.row && commandseq === undefined) return;
    // For the command that asked for it, a timeout is one more decision; only the first of a command opens its record.
    if (cursor.row && cutsShort(event)) return;
    fold(rows, cursor, event, at);
  },
  fields: ['actor', 'commandid', 'correlationid', 'command', 'status', 'host'],
  references: ['network', 'endpoint', 'sandbox'],
  refer: (row, reference) => {
    if (reference === 'network') {
      const ids = row.endpoints.map(({ networkId }) => networkId);
      return row.network ? [row.network.name, row.network.id, ...ids] : ids;
    }
    if (reference === 'endpoint') return row.endpoints.flatMap(({ id, name }) => [name, id]);
    return [row.sandbox?.id ?? ''];
  },
  keyOf: ({ actor, commandid }, rows) =>
    actor === undefined || commandid === undefined ? undefined : keyIn(rows, actor, commandid),
};
