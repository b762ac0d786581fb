/** Chance that a seed decides: the same seed rolls the same, on every machine. */

/** FNV-1a, 32 bits. */
const hashOf = (text: string): number => {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash >>> 0;
};

const letters = '0123456789abcdefghijklmnopqrstuvwxyz';

/** mulberry32: 32 bits of state pass every test that matters here, and it is quick. */
export class Dice {
  #state: number;
  readonly #seed: number;

  constructor(seed: number) {
    this.#seed = seed >>> 0;
    this.#state = this.#seed;
  }

  /** Dice of their own for whoever is called that: what one rolls changes nothing for another. */
  fork(name: string): Dice {
    return new Dice(Math.imul(this.#seed ^ hashOf(name), 0x9e3779b1) ^ hashOf(`${name}/${this.#seed}`));
  }

  /** At least 0, below 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** Whole, at least 0, below `end`. */
  below(end: number): number {
    return Math.floor(this.next() * end);
  }

  between(from: number, to: number): number {
    return from + this.next() * (to - from);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<Item>(items: readonly Item[]): Item {
    if (items.length === 0) throw new Error('dice: nothing to pick from');
    return items[this.below(items.length)] as Item;
  }

  /** One of the names, each as often as its weight says. */
  weighed<Name extends string>(weights: Readonly<Record<Name, number>>): Name {
    const all = Object.entries(weights) as [Name, number][];
    let left = this.next() * all.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [name, weight] of all) {
      left -= weight;
      if (left < 0) return name;
    }
    return (all.at(-1) as [Name, number])[0];
  }

  /** Some of the items, at least one, in their order. */
  some<Item>(items: readonly Item[]): readonly Item[] {
    const taken = items.filter(() => this.chance(0.4));
    return taken.length > 0 ? taken : [this.pick(items)];
  }

  text(length: number): string {
    return Array.from({ length }, () => letters[this.below(letters.length)]).join('');
  }
}
