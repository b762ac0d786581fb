/**
 * The state of a fold: maps of immutable rows that can be tried on and taken back.
 *
 * A controller decides commands that wait together one after another, each on the state that the one before leaves, and only then
 * appends them as one commit. When the append meets a conflict, all of it must be undone: `Journal.rollback` does that in
 * time proportional to what was changed, so the state never has to be copied or folded anew (docs/adr/0002).
 */

export class Journal {
  #undo: (() => void)[] | null = null;
  #later: (() => void)[] = [];

  /** From here on changes can be taken back. */
  begin(): void {
    if (this.#undo) throw new Error('journal: begin inside begin');
    this.#undo = [];
  }

  commit(): void {
    this.#undo = null;
    const later = this.#later;
    if (later.length === 0) return;
    this.#later = [];
    for (const run of later) run();
  }

  /** Runs once nothing can be taken back any more; not at all when it is. */
  later(run: () => void): void {
    if (this.#undo) this.#later.push(run);
    else run();
  }

  rollback(): void {
    const undo = this.#undo ?? [];
    this.#undo = null;
    this.#later = [];
    for (let i = undo.length - 1; i >= 0; i--) undo[i]?.();
  }

  /** Registers how to take a change back; costs one comparison when nobody tries anything on. */
  record(undo: () => void): void {
    this.#undo?.push(undo);
  }

  get active(): boolean {
    return this.#undo !== null;
  }
}

/** A map with rows that are replaced, never changed in place. Iteration order is unspecified after a rollback. */
export class Table<K, V> implements Iterable<readonly [K, V]> {
  readonly #rows = new Map<K, V>();
  readonly #journal: Journal;

  constructor(journal: Journal) {
    this.#journal = journal;
  }

  get size(): number {
    return this.#rows.size;
  }

  get(key: K): V | undefined {
    return this.#rows.get(key);
  }

  has(key: K): boolean {
    return this.#rows.has(key);
  }

  set(key: K, row: V): void {
    if (this.#journal.active) this.#remember(key);
    this.#rows.set(key, row);
  }

  delete(key: K): void {
    if (this.#journal.active) this.#remember(key);
    this.#rows.delete(key);
  }

  values(): Iterable<V> {
    return this.#rows.values();
  }

  keys(): Iterable<K> {
    return this.#rows.keys();
  }

  [Symbol.iterator](): Iterator<readonly [K, V]> {
    return this.#rows.entries();
  }

  #remember(key: K): void {
    const before = this.#rows.get(key);
    const had = this.#rows.has(key);
    this.#journal.record(() => {
      if (had) this.#rows.set(key, before as V);
      else this.#rows.delete(key);
    });
  }
}

/** A first-in first-out list with the same possibility of taking back. Amortised O(1). */
export class Queue<V> {
  #items: V[] = [];
  #head = 0;
  readonly #journal: Journal;

  constructor(journal: Journal) {
    this.#journal = journal;
  }

  get length(): number {
    return this.#items.length - this.#head;
  }

  /** The item at `index` counted from the oldest. */
  at(index: number): V | undefined {
    return this.#items[this.#head + index];
  }

  push(item: V): void {
    this.#items.push(item);
    this.#journal.record(() => this.#items.pop());
  }

  shift(): V | undefined {
    const item = this.#items[this.#head];
    if (item === undefined) return undefined;
    this.#head += 1;
    this.#journal.record(() => {
      this.#head -= 1;
    });
    if (this.#head > 64 && this.#head * 2 > this.#items.length) this.#journal.later(() => this.#compact());
    return item;
  }

  #compact(): void {
    if (this.#head === 0) return;
    this.#items = this.#items.slice(this.#head);
    this.#head = 0;
  }
}
