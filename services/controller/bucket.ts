/** A bucket of tokens, one a command: it fills with time, and whoever finds it empty has sent more than its share. */

export interface Rate {
  /** Tokens that come in a second. */
  readonly perSecond: number;
  /** Tokens that it holds at most. */
  readonly burst: number;
}

export class Bucket {
  #level = Number.POSITIVE_INFINITY;
  #atMs = 0;

  /** How full it is, from 0 to 1, as of the last `take`. */
  fullness({ burst }: Rate): number {
    return Math.min(1, this.#level / burst);
  }

  /** @returns whether there was a token, which is gone now. A clock that goes back fills nothing. */
  take(nowMs: number, { perSecond, burst }: Rate): boolean {
    const elapsedMs = Math.max(0, nowMs - this.#atMs);
    this.#atMs = Math.max(this.#atMs, nowMs);
    this.#level = Math.min(burst, this.#level + (elapsedMs * perSecond) / 1_000);
    if (this.#level < 1) return false;
    this.#level -= 1;
    return true;
  }
}
