/**
 * View `commands`: what became of each command, as long as its id is remembered. Key: the command's id, and for a command whose id another
 * actor has used before, `ACTOR COMMANDID`. Nearly every event looks its command up, and a text that is there already costs a fraction of
 * one that is put together.
 */
import { type CommandRecord, foldCommand } from '../events/command-record.ts';
import type { Event } from '../events/envelope.ts';
import { decisionTypes, isTerminal, outcomeTypes } from '../events/events.ts';
import { memoryMs } from '../events/evolve.ts';
import type { At, Projection } from './projection.ts';

export interface CommandRow extends CommandRecord {
  /** Whose boundary decided it; null for a refusal that reached no host. */
  readonly host: string | null;
}

type Rows = Map<string, CommandRow>;

/**
 * The key of an actor's command, or the one that it would get.
 * @param decides the event is a decision: a command's stand in one commit, so where its id has no row, the longer key has none either
 */
const keyIn = (rows: ReadonlyMap<string, CommandRow>, actor: string, commandid: string, decides = false): string => {
  const row = rows.get(commandid);
  if (row ? row.actor === actor : decides) return commandid;
  const own = `${actor} ${commandid}`;
  return row || rows.has(own) ? own : commandid;
};

/** Field by field, since all later rows are copies of it: with a field put on behind, each would be two objects. */
const opened = (record: CommandRecord, host: string | null): CommandRow => ({
  host,
  actor: record.actor,
  commandid: record.commandid,
  // Mostly the same text: kept once.
  correlationid: record.correlationid === record.commandid ? record.commandid : record.correlationid,
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
});

const fold = (rows: Rows, key: string, before: CommandRow | undefined, event: Event, at: At): void => {
  const record = foldCommand(before, event, at.position);
  if (record === before) return;
  // The fold copies a record with whatever it carries besides, so the host is put on once.
  const row = before ? (record as CommandRow) : opened(record, at.host);
  rows.set(key, row);
  at.lastCommand.key = key;
  at.lastCommand.row = row;
};

/**
 * Drops ended commands that were decided longer ago than ids are remembered, so that the view stays bounded. Called when a new day
 * begins in the log's own time: a view rebuilt later forgets at the same positions.
 * @param day the new day, `YYYY-MM-DD`
 */
export const forgetCommands = (rows: Rows, day: string): void => {
  const oldest = new Date(Date.parse(day) - memoryMs).toISOString();
  for (const [key, row] of rows) {
    if (row.decidedAt >= oldest) return;
    if (row.status !== 'accepted') rows.delete(key);
  }
};

export const commands: Projection<CommandRow> = {
  name: 'commands',
  version: 1,
  handles: [
    ...decisionTypes.filter((type) => type !== 'RealmOpened' && type !== 'EndpointAdmitted'),
    ...outcomeTypes.filter(isTerminal),
  ],
  apply: (rows, event, at) => {
    const { actor, commandid, commandseq } = event.meta;
    if (event.type === 'CommandTimedOut') {
      const ended = keyIn(rows, event.data.actor, event.data.commandId);
      const before = rows.get(ended);
      if (before) fold(rows, ended, before, event, at);
    }
    const { lastCommand: last } = at;
    const again = last.row?.commandid === commandid && last.row.actor === actor;
    const key = again ? last.key : keyIn(rows, actor, commandid, commandseq !== undefined);
    const before = again ? last.row : rows.get(key);
    // A command begins with its decision. An outcome of one that is not known any more, or that nobody sent, begins none.
    if (!before && commandseq === undefined) return;
    // For the command that asked for it, a timeout is one more decision; only the first of a command opens its record.
    if (before && event.type === 'CommandTimedOut') return;
    fold(rows, key, before, event, at);
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
