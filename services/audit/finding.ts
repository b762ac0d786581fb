/** What a verification finds wrong. */

export type FindingKind =
  /** A position is not there. */
  | 'gap'
  /** A message does not stand where it was appended. */
  | 'order'
  /** A message is not what was stored. */
  | 'altered'
  /** A message is gone that others name. */
  | 'removed'
  /** A message is there that nobody of ours appended. */
  | 'forged'
  /** A message cannot be read. */
  | 'unreadable'
  /** A checkpoint is not what was signed, or not the next one. */
  | 'checkpoint'
  /** It ends before it should. */
  | 'cut';

export interface Finding {
  readonly position: number;
  readonly kind: FindingKind;
  /** Of the message; empty where it concerns none. */
  readonly subject: string;
  readonly detail: string;
}

const SHOWN_MAX = 100;

const inOrder = (a: Finding, b: Finding): number => a.position - b.position;

/** Keeps the first hundred by position, one of each kind at a position. */
export class Findings {
  #kept: Finding[] = [];
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(finding: Finding): void {
    const { position, kind } = finding;
    if (this.#kept.some((known) => known.position === position && known.kind === kind)) return;
    this.#count += 1;
    this.#kept.push(finding);
    if (this.#kept.length > 2 * SHOWN_MAX) this.#kept = this.list().slice(0, SHOWN_MAX);
  }

  /** Whether anything is found from `first` to `last`, both included. */
  within(first: number, last: number): boolean {
    return this.#kept.some(({ position }) => position >= first && position <= last);
  }

  /** Lowest position first. */
  list(): Finding[] {
    return this.#kept.toSorted(inOrder).slice(0, SHOWN_MAX);
  }
}

/**
 * What of the findings counts where somebody answers for some positions, such as that of a stray message that was discarded. Everything
 * does where it is not only these messages that are odd: what all adds up to is another thing than what was signed, or some are not named.
 */
export const counting = (
  {
    found,
    findings,
    differs,
  }: { readonly found: number; readonly findings: readonly Finding[]; readonly differs: boolean },
  accepted: ReadonlySet<number>,
): readonly Finding[] =>
  differs || found > findings.length ? findings : findings.filter(({ position }) => !accepted.has(position));
