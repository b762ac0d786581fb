/** Whoever wants to know how rows of the live views change, and not just what they are (the ledger of who held what). */
import type { Moment } from '../events/past-queries.ts';
import type { Interval } from './ledger.ts';
import type { ViewRows } from './views.ts';

/** Views whose rows can be watched: those that say who holds what. */
export const observedViews = ['endpoints', 'addresses', 'names', 'ports'] as const;
export type ObservedView = (typeof observedViews)[number];

/** A row before and after; undefined where there is none. A row may change more than once within one event. */
export type RowChange = {
  [View in ObservedView]: {
    readonly view: View;
    readonly key: string;
    readonly before: ViewRows[View] | undefined;
    readonly after: ViewRows[View] | undefined;
  };
}[ObservedView];

export interface ViewObserver {
  /** Changes from here on come of the event at this place in the commit at this position. */
  at(position: number, index: number): void;
  changed(change: RowChange): void;
  /** What is held since before the segment that the log begins with. Told before the rows that say so. */
  carry?(held: Interval, from: Moment): void;
}

type Tell<Row> = (key: string, before: Row | undefined, after: Row | undefined) => void;

/** Tells of each row that is put in, in place of another or not, or taken out; not of those that it is made with. */
export class ObservedMap<Row> extends Map<string, Row> {
  readonly #tell: Tell<Row>;

  constructor(rows: Iterable<readonly [string, Row]>, tell: Tell<Row>) {
    super();
    for (const [key, row] of rows) super.set(key, row);
    this.#tell = tell;
  }

  override set(key: string, row: Row): this {
    const before = this.get(key);
    super.set(key, row);
    if (row !== before) this.#tell(key, before, row);
    return this;
  }

  override delete(key: string): boolean {
    const before = this.get(key);
    const was = super.delete(key);
    if (was) this.#tell(key, before, undefined);
    return was;
  }
}
