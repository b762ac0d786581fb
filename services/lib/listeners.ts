/** Who is told of something, until they have ended. */
export class Listeners<A extends readonly unknown[]> {
  readonly #all = new Set<(...about: A) => void>();

  /** @param signal from when on it is told nothing any more */
  add(run: (...about: A) => void, signal?: AbortSignal): void {
    if (signal?.aborted) return;
    this.#all.add(run);
    signal?.addEventListener('abort', () => this.#all.delete(run), { once: true });
  }

  tell(...about: A): void {
    for (const run of this.#all) run(...about);
  }
}
