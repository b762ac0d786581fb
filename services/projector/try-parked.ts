/** What would become of a parked event, tried in this process on the whole log: with the folds of this version, and nothing is written. */
import type { Change } from '../../events/past-queries.ts';
import { diffViews, shownViews } from '../../projections/diff.ts';
import { commitOf } from '../../projections/discards.ts';
import type { ParkedRow } from '../../projections/parked.ts';
import type { Views } from '../../projections/views.ts';
import type { Stream } from '../lib/stream.ts';
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

/** @param event `SEQ.INDEX`. Complexity: the log is folded twice. */
export const tryParked = async (log: Stream, event: string): Promise<Trial> => {
  const until = await log.last();
  const discards = await discardsBetween(log, 0, until);
  const note = (): void => {};
  const now = await refold({ log, discards, until, note });
  const row = parkedAt(now.views, event);
  if (!row) return { position: until, reason: null, parked: [], changes: [] };
  const discard = { event, position: commitOf(event), at: until };
  const then = await refold({ log, discards: [...discards, discard], until, note });
  const before = new Set([...now.views.rows.parked.values()].map(({ position }) => position));
  const parked = [...then.views.rows.parked.values()].filter(({ position }) => !before.has(position));
  const changes = [...diffViews(now.views, then.views, { views: shownViews })];
  return { position: until, reason: row.reason, parked, changes };
};
