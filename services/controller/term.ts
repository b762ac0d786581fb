/**
 * Which controller decides. Where a command is decided follows from the state of all hosts, and a guard is that of one subject: two
 * controllers at work at once could decide the same command on two. So a controller begins a term before it decides: it states a larger
 * number than all before on the subject of no host, and then on every other subject, with a commit without events. What was decided in an
 * earlier term cannot be stored behind that any more, and is known where it was stored before (docs/adr/0022).
 */
import type { Clock } from '../lib/clock.ts';
import { type Boundary, boundaryOf, networkBoundary, type Realm } from '../lib/realm.ts';
import type { Stream } from '../lib/stream.ts';
import { fenceOf } from './commits.ts';

export interface TermOptions {
  readonly realm: Realm;
  readonly log: Stream;
  readonly clock: Clock;
  /** Resolves when the commit at this position is folded in. */
  readonly reached: (position: number) => Promise<void>;
}

export class Term {
  readonly #options: TermOptions;
  /** 0: none of ours. */
  #own = 0;
  /** It is stated wherever it has to be. */
  #hasBegun = false;

  constructor(options: TermOptions) {
    this.#options = options;
  }

  /** Whether what is decided now, on what is folded in, can only be stored if nobody else has begun to decide. */
  get holds(): boolean {
    return this.#hasBegun && this.#first.term === this.#own;
  }

  /** Somebody else has begun a term behind ours. */
  get isReplaced(): boolean {
    return this.#own > 0 && this.#first.term > this.#own;
  }

  /** The realm was opened with a commit of ours, so nobody has decided anything. */
  opened(): void {
    this.#own = 1;
    this.#hasBegun = true;
  }

  /** Nobody knows what became of a commit of ours: it may come yet, unless another term begins. */
  end(): void {
    this.#own = 0;
    this.#hasBegun = false;
  }

  /** There may be boundaries that nobody knew of: what is not stated yet is before anything more is decided. */
  doubt(): void {
    this.#hasBegun = false;
  }

  /** @returns false when somebody or something was in the way: it is to be tried again, on what the log holds then */
  async begin(): Promise<boolean> {
    if (this.holds) return true;
    if (this.#first.term !== this.#own || this.#own === 0) {
      this.end();
      const term = this.#first.term + 1;
      // Of two with the same number one is stored, since both are guarded by the same commit.
      if (!(await this.#state([this.#first], term))) return false;
      this.#own = term;
    }
    for (let left = this.#unstated(); left.length > 0; left = this.#unstated())
      if (!(await this.#state(left, this.#own)) || this.#first.term !== this.#own) return false;
    this.#hasBegun = true;
    return true;
  }

  get #first(): Boundary {
    return boundaryOf(this.#options.realm, null);
  }

  /** Who comes behind the last statement is known to nobody who has not read the first. A network that is gone went with a commit on its own subject. */
  #unstated(): readonly Boundary[] {
    const { realm } = this.#options;
    const networks = [...realm.shared.networks.keys()].map((id) => networkBoundary(realm, id));
    return [...realm.boundaries.values(), ...networks].filter(({ term }) => term < this.#own);
  }

  async #state(boundaries: readonly Boundary[], term: number): Promise<boolean> {
    const { log, clock, reached } = this.#options;
    const appended = await Promise.all(
      boundaries.map((boundary) => log.append(fenceOf(boundary, clock.randomId(12), term))),
    );
    const positions = appended.flatMap((one) => (one.kind === 'appended' ? [one.position] : []));
    if (positions.length > 0) await reached(Math.max(...positions));
    return positions.length === boundaries.length;
  }
}
