/**
 * Commands of the past. All other views have about as many rows as there are things; this one has all commands of a month, so what is kept
 * of past moments leaves most of them out, and takes them from the live view when somebody asks.
 */
import { isCutShort } from '../events/cut-short.ts';
import type { CommandRow } from './commands.ts';

type Rows = ReadonlyMap<string, CommandRow>;

/** Whether folding on can ask for it: it may still end, or it was cut short (projection.ts `isLate`). */
export const isNeeded = (status: CommandRow['status']): boolean => status === 'accepted' || isCutShort(status);

/** The commands that folding on needs, in a map of their own. Complexity: the number of commands. */
export const neededCommands = (rows: Rows): Map<string, CommandRow> => {
  const needed = new Map<string, CommandRow>();
  for (const [key, row] of rows) if (isNeeded(row.status)) needed.set(key, row);
  return needed;
};

/** The row of a command where others may be missing: the same id may stand for another actor's then, or be the shorter key. */
const rowIn = (rows: Rows, { actor, commandid }: CommandRow): CommandRow | undefined => {
  const row = rows.get(commandid);
  return row?.actor === actor ? row : rows.get(`${actor} ${commandid}`);
};

/**
 * The view `commands` as of a position. A command's row never changes behind its end, so one that had ended before is the live row.
 * @param live of views that have forgotten none since that position
 * @param past as of the position; commands that had ended may be missing
 */
export const commandsAsOf = (live: Rows, past: Rows, position: number): Map<string, CommandRow> => {
  const commands = new Map<string, CommandRow>();
  for (const [key, row] of live) {
    if (row.position <= position) commands.set(key, rowIn(past, row) ?? row);
  }
  return commands;
};
