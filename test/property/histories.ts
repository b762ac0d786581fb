/** Random histories as properties ask for them, and the views that they add up to. */
import fc from 'fast-check';
import { viewNames } from '../../events/queries.ts';
import { linesOf } from '../../projections/compare.ts';
import { applyCommit, createViews, type Views } from '../../projections/views.ts';
import type { RandomCommit, Roll } from '../support/random-history.ts';

/** Even, so that every move is made about as often as the history lists it. */
export const unit = fc.noBias(fc.nat({ max: 9_999 })).map((n) => n / 10_000);

export const rollsOf = (length: {
  readonly minLength?: number;
  readonly maxLength: number;
}): fc.Arbitrary<readonly Roll[]> => fc.array(fc.tuple(unit, unit, unit, unit), { ...length, size: 'max' });

export const rolls = rollsOf({ maxLength: 250 });

/** Goes on from these views. */
export const fold = (commits: readonly RandomCommit[], views: Views = createViews()): Views => {
  for (const { subject, position, events } of commits) applyCommit(views, subject, position, events);
  return views;
};

/** All rows of all views, byte for byte. */
export const textOf = (views: Views): string =>
  viewNames.map((view) => [...linesOf(views, view)].join('')).join('--\n');
