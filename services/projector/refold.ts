/**
 * Views folded anew beside the live ones, and put in their place: where an event turned out to be poison when a part of it was folded, and
 * where it was decided about a parked one. What waited is then folded in its place in the log.
 */
import { type CommitPart, type Event, isMalformed } from '../../events/envelope.ts';
import { subjects } from '../../events/names.ts';
import { viewNames } from '../../events/queries.ts';
import { type Discard, discardOf } from '../../projections/discards.ts';
import { Ledger } from '../../projections/ledger.ts';
import { createViews, replaceRows, type Views } from '../../projections/views.ts';
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

export interface RefoldDeps {
  readonly log: Stream;
  readonly discards: readonly Discard[];
  readonly until: number;
  /** Told of each message, of those that were told before as well. */
  readonly note: (message: Message, parts: readonly CommitPart[]) => void;
}

export interface Refolded {
  readonly views: Views;
  /** Observer of these. */
  readonly ledger: Ledger;
}

/** Folds the log from its opening. @throws UnreadableCommit */
export const refold = async ({ log, discards, until, note }: RefoldDeps): Promise<Refolded> => {
  let ledger = new Ledger();
  const views = await foldAgain(parkingUntil(discards, until), async (parking) => {
    ledger = new Ledger();
    const begun = createViews(ledger);
    await foldUntil(log, begun, until, { parking, note });
    return begun;
  });
  return { views, ledger };
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
