/** What a projector keeps of the past beside the views: where something stands about what, and who held what. Made anew at every start. */
import type { Event } from '../../events/envelope.ts';
import { fits } from '../../events/fits.ts';
import type { HistoryRow } from '../../events/past-queries.ts';
import { EventIndex } from '../../projections/event-index.ts';
import { Ledger } from '../../projections/ledger.ts';

/** Histories that are read page by page. */
const HISTORIES_MAX = 4;

export class Memory {
  readonly index = new EventIndex();
  /** Observer of the live views. */
  readonly ledger = new Ledger();
  /** Position of the last commit that was taken up. */
  #noted = 0;
  /** By what was asked for, the least recently used first. */
  readonly #histories = new Map<string, readonly HistoryRow[]>();

  /** Takes up one commit, in log order. Whoever folds the log again says it again, which changes nothing. */
  note(events: readonly Event[], position: number): void {
    if (position <= this.#noted) return;
    this.#noted = position;
    for (const event of events) this.#add(event, position);
  }

  /** What lacks the data of its type is found by its command alone. */
  #add(event: Event, position: number): void {
    try {
      this.index.add(event, position);
    } catch (error) {
      if (fits(event)) throw error;
    }
  }

  size(): { readonly index: ReturnType<EventIndex['size']>; readonly ledger: ReturnType<Ledger['size']> } {
    return { index: this.index.size(), ledger: this.ledger.size() };
  }

  /** The rows of a history that is being read. */
  history(asked: string): readonly HistoryRow[] | null {
    const rows = this.#histories.get(asked);
    if (!rows) return null;
    this.keepHistory(asked, rows);
    return rows;
  }

  keepHistory(asked: string, rows: readonly HistoryRow[]): void {
    this.#histories.delete(asked);
    this.#histories.set(asked, rows);
    const [oldest] = this.#histories.keys();
    if (this.#histories.size > HISTORIES_MAX && oldest !== undefined) this.#histories.delete(oldest);
  }
}
