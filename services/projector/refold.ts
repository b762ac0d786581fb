/**
 * Views folded anew beside the live ones, and put in their place: where an event turned out to be poison when a part of it was folded, and
 * where it was decided about a parked one. What waited is then folded in its place in the log.
 */
import { type CommitPart, type Event, isMalformed } from '../../events/envelope.ts';
import { subjects } from '../../events/names.ts';
import { viewNames } from '../../events/queries.ts';
import { type Discard, discardOf } from '../../projections/discards.ts';
import { Ledger } from '../../projections/ledger.ts';
import { commandsAsOf } from '../../projections/past-commands.ts';
import { copyViews, createViews, replaceRows, type Views } from '../../projections/views.ts';
import { placedEvents } from '../lib/commit.ts';
import type { Message, Stream } from '../lib/stream.ts';
import { foldAgain, foldUntil, parkingUntil } from './fold.ts';

/** What was discarded behind one position up to another. */
export const discardsBetween = async (log: Stream, from: number, until: number): Promise<readonly Discard[]> => {
  const found: Discard[] = [];
  const reader = log.read({ from: from + 1, until, subjects: [subjects.realm] }, (message) => {
    if (message.position > until) return;
    for (const [, event] of placedEvents(message)) {
      const discard = discardOf(event, message.position);
      if (discard) found.push(discard);
    }
  });
  try {
    await Promise.race([reader.caughtUp, reader.closed]);
  } finally {
    await reader.stop();
  }
  return found;
};

/** Views as of an earlier position and what their observer was told up to there, made anew for each that asks. */
export type RefoldStart = () => Refolded;

export interface RefoldDeps {
  readonly log: Stream;
  readonly discards: readonly Discard[];
  readonly until: number;
  /** Told of each message, of those that were told before as well. */
  readonly note: (message: Message, parts: readonly CommitPart[]) => void;
  /** What to go on from; the opening of the log when left out. */
  readonly start?: RefoldStart;
}

export interface Refolded {
  readonly views: Views;
  /** Observer of these. */
  readonly ledger: Ledger;
}

const opening: RefoldStart = () => {
  const ledger = new Ledger();
  return { views: createViews(ledger), ledger };
};

/** Folds the log up to a position. @throws UnreadableCommit */
export const refold = async ({ log, discards, until, note, start = opening }: RefoldDeps): Promise<Refolded> => {
  let begun = start();
  await foldAgain(parkingUntil(discards, until), async (parking) => {
    begun = start();
    await foldUntil(log, begun.views, until, { parking, note });
    return begun.views;
  });
  return begun;
};

/** Kept states of views: the nearest one not behind a position, without ended commands; null for none. */
export type Nearest = (position: number) => Promise<Views | null>;

/**
 * What a fold can go on from that leaves out, or tries again, what was parked at a position or behind it: a state from before that, with the
 * commands that have ended since, and with what the ledger was told by then. Null: only the opening of the log.
 */
export const startBefore = async (
  position: number,
  { live, told, nearest }: { readonly live: Views; readonly told: Ledger; readonly nearest: Nearest },
): Promise<RefoldStart | null> => {
  const kept = await nearest(position - 1);
  if (kept === null) return null;
  const { position: at, rows } = kept;
  const whole = { ...kept, forgottenAt: live.forgottenAt };
  // What was forgotten since, which is what is oldest, is forgotten again on the same day.
  const forgotten = [...rows.commands].filter(([key, { actor }]) => live.rows.commands.get(key)?.actor !== actor);
  return () => {
    const ledger = told.asOf(at, rows);
    const commands = new Map([...forgotten, ...commandsAsOf(live.rows.commands, rows.commands, at)]);
    return { views: copyViews(whole, commands, ledger), ledger };
  };
};

/** Puts all that was folded anew in the place of the live views and of what their ledger was told. */
export const adopt = (live: Views, told: Ledger, { views, ledger }: Refolded): void => {
  live.position = views.position;
  live.day = views.day;
  live.forgottenAt = views.forgottenAt;
  replaceRows(live, views, viewNames);
  told.exchange(ledger, viewNames);
};

/** Events of a commit as far as they can be read. */
export const readableOf = (parts: readonly CommitPart[]): readonly Event[] =>
  parts.filter((part): part is Event => !isMalformed(part));

/** Whether two sets of views have parked the same. */
export const parksSame = (one: Views, other: Views): boolean => {
  const [a, b] = [one.rows.parked, other.rows.parked];
  return a.size === b.size && [...a].every(([key, { position }]) => b.get(key)?.position === position);
};
