/** Keys with due times, the earliest first: a binary heap that knows where each key stands, so that changes cost O(log n). */

interface Entry {
  readonly key: string;
  readonly dueMs: number;
}

export class Schedule {
  readonly #heap: Entry[] = [];
  readonly #places = new Map<string, number>();

  get size(): number {
    return this.#heap.length;
  }

  /** What is due first; of several due at once, whichever. */
  earliest(): Entry | undefined {
    return this.#heap[0];
  }

  set(key: string, dueMs: number): void {
    const place = this.#places.get(key) ?? this.#heap.length;
    this.#settle({ key, dueMs }, place);
  }

  delete(key: string): void {
    const place = this.#places.get(key);
    if (place === undefined) return;
    this.#places.delete(key);
    const last = this.#heap.pop();
    if (last !== undefined && last.key !== key) this.#settle(last, place);
  }

  /** Puts an entry where it belongs, beginning at a place that is free or its own. */
  #settle(entry: Entry, from: number): void {
    let place = from;
    while (place > 0) {
      const above = (place - 1) >> 1;
      const parent = this.#heap[above];
      if (parent === undefined || parent.dueMs <= entry.dueMs) break;
      this.#put(parent, place);
      place = above;
    }
    for (;;) {
      const left = 2 * place + 1;
      const [a, b] = [this.#heap[left], this.#heap[left + 1]];
      const child = b !== undefined && a !== undefined && b.dueMs < a.dueMs ? b : a;
      if (child === undefined || child.dueMs >= entry.dueMs) break;
      const below = child === b ? left + 1 : left;
      this.#put(child, place);
      place = below;
    }
    this.#put(entry, place);
  }

  #put(entry: Entry, place: number): void {
    this.#heap[place] = entry;
    this.#places.set(entry.key, place);
  }
}
