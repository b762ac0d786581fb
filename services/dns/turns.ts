/**
 * A limited number of places, given in turns: who has many waiting gets no more of them than who has one. Those beyond a key's own limit
 * are turned away at once.
 */
export interface TurnsOptions {
  /** Places in all, and of one key. */
  readonly placesMax: number;
  readonly placesPerKeyMax: number;
  /** Once so many are taken, the others are for keys that have fewer than `ownPlaces`: whoever waits for what never comes holds his places for long. */
  readonly sharedPlaces: number;
  readonly ownPlaces: number;
  /** Of one key: in a place, or waiting for one. */
  readonly perKeyMax: number;
}

export interface Turns {
  /** Calls `start` now or when its turn comes, with what gives the place back. @returns false when the key has too many: it is never called */
  take(key: string, start: (done: () => void) => void): boolean;
  /** Drops what waits of a key. */
  forget(key: string): void;
  readonly taken: number;
}

interface Line {
  taken: number;
  readonly waiting: ((done: () => void) => void)[];
}

class RoundRobin implements Turns {
  readonly #options: TurnsOptions;
  readonly #lines = new Map<string, Line>();
  /** Keys with somebody waiting whom a place would help; the first is next. */
  readonly #ready = new Set<string>();
  taken = 0;

  constructor(options: TurnsOptions) {
    this.#options = options;
  }

  take(key: string, start: (done: () => void) => void): boolean {
    const line = this.#lines.get(key) ?? { taken: 0, waiting: [] };
    if (line.taken + line.waiting.length >= this.#options.perKeyMax) return false;
    this.#lines.set(key, line);
    line.waiting.push(start);
    this.#mark(key, line);
    this.#next();
    return true;
  }

  forget(key: string): void {
    const line = this.#lines.get(key);
    if (!line) return;
    line.waiting.length = 0;
    this.#mark(key, line);
  }

  /** Puts a key in line, or takes it out, as it has become. */
  #mark(key: string, line: Line): void {
    if (line.waiting.length > 0 && line.taken < this.#options.placesPerKeyMax) this.#ready.add(key);
    else this.#ready.delete(key);
    if (line.taken + line.waiting.length === 0) this.#lines.delete(key);
  }

  #next(): void {
    for (const key of this.#ready) {
      if (this.taken >= this.#options.placesMax) return;
      const line = this.#lines.get(key);
      if (line && this.#isForOthers(line)) continue;
      const start = line?.waiting.shift();
      // To the end of the line.
      this.#ready.delete(key);
      if (!line || !start) continue;
      line.taken += 1;
      this.taken += 1;
      this.#mark(key, line);
      start(this.#giveBack(key, line));
    }
  }

  /** Whether the places that are left are for those who have few. */
  #isForOthers({ taken }: Line): boolean {
    return this.taken >= this.#options.sharedPlaces && taken >= this.#options.ownPlaces;
  }

  #giveBack(key: string, line: Line): () => void {
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      line.taken -= 1;
      this.taken -= 1;
      this.#mark(key, line);
      this.#next();
    };
  }
}

export const createTurns = (options: TurnsOptions): Turns => new RoundRobin(options);
