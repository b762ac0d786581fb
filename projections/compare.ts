/** Views as text, and what differs between two sets of them: how a rebuilt view is held against the live one. */
import { type ViewName, viewNames } from '../events/queries.ts';
import { rowsOf, type Views } from './views.ts';

/** A view as text, a line per row: equal texts are equal views. */
export const linesOf = function* (views: Views, view: ViewName): Generator<string> {
  for (const [key, row] of rowsOf(views, view)) yield `${key}\t${JSON.stringify(row)}\n`;
};

export interface ViewDifference {
  readonly view: ViewName;
  readonly rows: number;
  /** Keys of rows that only one of them has, or that differ; the first few. */
  readonly different: readonly string[];
}

const DIFFERENCES_MAX = 20;

/** Row by row, what differs between two sets of views; empty when they are equal byte for byte. */
export const compareViews = (one: Views, other: Views): readonly ViewDifference[] =>
  viewNames.flatMap((view): readonly ViewDifference[] => {
    const left = rowsOf(one, view);
    const right = rowsOf(other, view);
    const different: string[] = [];
    for (const key of new Set([...left.keys(), ...right.keys()])) {
      const equal = JSON.stringify(left.get(key)) === JSON.stringify(right.get(key));
      if (!equal && different.push(key) >= DIFFERENCES_MAX) break;
    }
    const sameOrder = [...left.keys()].join('\n') === [...right.keys()].join('\n');
    return different.length > 0 || !sameOrder ? [{ view, rows: left.size, different }] : [];
  });
