/** What was released and may be given again, least recently released first: the memory behind quarantine. */
import { type Journal, Queue, Table } from './table.ts';

export interface Release {
  readonly key: bigint;
  readonly atMs: number;
}

export class Releases {
  readonly #rows: Table<bigint, Release>;
  /** May hold rows that `#rows` no longer has: they are skipped, and dropped as soon as they reach the head. */
  readonly #queue: Queue<Release>;

  constructor(journal: Journal) {
    this.#rows = new Table(journal);
    this.#queue = new Queue(journal);
  }

  get size(): number {
    return this.#rows.size;
  }

  has(key: bigint): boolean {
    return this.#rows.has(key);
  }

  get(key: bigint): Release | undefined {
    return this.#rows.get(key);
  }

  /** The least recently released, in O(1). */
  oldest(): Release | undefined {
    return this.#queue.at(0);
  }

  *oldestFirst(): Iterable<Release> {
    for (let index = 0; index < this.#queue.length; index++) {
      const row = this.#queue.at(index);
      if (row !== undefined && this.#rows.get(row.key) === row) yield row;
    }
  }

  add(key: bigint, atMs: number): void {
    const row = { key, atMs };
    this.#rows.set(key, row);
    this.#queue.push(row);
    this.#dropStale();
  }

  delete(key: bigint): void {
    if (!this.#rows.has(key)) return;
    this.#rows.delete(key);
    this.#dropStale();
  }

  /** Keeps the head valid, and the queue at most about twice as long as what it stands for. Amortised O(1). */
  #dropStale(): void {
    for (let row = this.#queue.at(0); row !== undefined && this.#rows.get(row.key) !== row; row = this.#queue.at(0)) {
      this.#queue.shift();
    }
    if (this.#queue.length <= 64 + 2 * this.#rows.size) return;
    for (let left = this.#queue.length; left > 0; left--) {
      const row = this.#queue.shift();
      if (row !== undefined && this.#rows.get(row.key) === row) this.#queue.push(row);
    }
  }
}
