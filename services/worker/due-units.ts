/** What can be executed now, by who has asked for it: actors take turns, so that whoever has asked for much waits behind itself alone. */
export class DueUnits<T extends { readonly actor: string }> {
  /** In the order of turns: whoever was served last is last. */
  readonly #lines = new Map<string, Set<T>>();

  /** Once, however often. */
  add(unit: T): void {
    const line = this.#lines.get(unit.actor);
    if (line) line.add(unit);
    else this.#lines.set(unit.actor, new Set([unit]));
  }

  delete(unit: T): void {
    const line = this.#lines.get(unit.actor);
    line?.delete(unit);
    if (line?.size === 0) this.#lines.delete(unit.actor);
  }

  /** Takes the next one out. O(1) */
  next(): T | undefined {
    for (const [actor, line] of this.#lines) {
      this.#lines.delete(actor);
      for (const unit of line) {
        line.delete(unit);
        if (line.size > 0) this.#lines.set(actor, line);
        return unit;
      }
    }
    return undefined;
  }
}
