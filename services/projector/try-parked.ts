/** What would become of a parked event, tried in this process on the whole log: with the folds of this version, and nothing is written. */

import { isChunk } from '../../events/names.ts';
import type { Change } from '../../events/past-queries.ts';
import { diffViews, shownViews } from '../../projections/diff.ts';
import { commitOf } from '../../projections/discards.ts';
import { Ledger } from '../../projections/ledger.ts';
import type { ParkedRow } from '../../projections/parked.ts';
import type { Parking } from '../../projections/parking.ts';
import { copyViews, createViews, type Views } from '../../projections/views.ts';
import type { Stream } from '../lib/stream.ts';
import { foldAgain, foldUntil, parkingUntil } from './fold.ts';
import { discardsBetween, refold } from './refold.ts';

export interface Trial {
  /** How far the log was folded. */
  readonly position: number;
  /** Why this version cannot fold the event; null when it can. */
  readonly reason: string | null;
  /** What is parked once it is discarded and was not before: it waits behind the event now. */
  readonly parked: readonly ParkedRow[];
  /** What discarding it changes in the views. */
  readonly changes: readonly Change[];
}

const parkedAt = ({ rows }: Views, event: string): ParkedRow | undefined =>
  [...rows.parked.values()].find(({ position }) => position === event);

/** Views up to the commit before one, as all that is decided leaves them; empty ones where the log, or the segment, begins with it. */
const viewsBefore = async (log: Stream, commit: number, parking: Parking): Promise<Views> => {
  const message = await log.get(commit);
  if (message === null || isChunk(message.subject) || commit <= (await log.first())) return createViews();
  return foldAgain(parking, async () => {
    const views = createViews();
    await foldUntil(log, views, commit - 1, { parking });
    return views;
  });
};

/** @param event `SEQ.INDEX`. Complexity: the log is folded once, and what stands behind the event once more. */
export const tryParked = async (log: Stream, event: string): Promise<Trial> => {
  const until = await log.last();
  const discards = await discardsBetween(log, 0, until);
  const before = await viewsBefore(log, commitOf(event), parkingUntil(discards, until));
  const note = (): void => {};
  const start = () => ({ views: copyViews(before), ledger: new Ledger() });
  const now = await refold({ log, discards, until, note, start });
  const row = parkedAt(now.views, event);
  if (!row) return { position: until, reason: null, parked: [], changes: [] };
  const discard = { event, position: commitOf(event), at: until };
  const then = await refold({ log, discards: [...discards, discard], until, note, start });
  const known = new Set([...now.views.rows.parked.values()].map(({ position }) => position));
  const parked = [...then.views.rows.parked.values()].filter(({ position }) => !known.has(position));
  const changes = [...diffViews(now.views, then.views, { views: shownViews })];
  return { position: until, reason: row.reason, parked, changes };
};
