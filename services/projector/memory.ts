/** What a projector keeps of the past beside the views: where something stands about what, and who held what. Made anew at every start. */
import type { Event } from '../../events/envelope.ts';
import type { HistoryRow } from '../../events/past-queries.ts';
import { EventIndex } from '../../projections/event-index.ts';
import { Ledger } from '../../projections/ledger.ts';

/** Histories that are read page by page. */
const HISTORIES_MAX = 4;

export class Memory {
  readonly index = new EventIndex();
  /** Observer of the live views. */
  readonly ledger = new Ledger();
  /** By what was asked for, the least recently used first. */
  readonly #histories = new Map<string, readonly HistoryRow[]>();

  /** Takes up one commit; called once for each, in log order. */
  note(events: readonly Event[], position: number): void {
    for (const event of events) this.index.add(event, position);
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
