/**
 * Folding a log with poison in it: an event that nobody can read, or that a fold throws at, is parked; later events about the same thing
 * wait behind it, and all others are folded. So the views are those of the log without these events, and once it is decided that one is left
 * out, those of the log without that one alone: in both cases a plain fold, in log order.
 */
import { type CommitPart, type Event, isMalformed } from '../events/envelope.ts';
import { fits } from '../events/fits.ts';
import { subjects } from '../events/names.ts';
import { formatPosition } from './event-position.ts';
import { originOf } from './origin.ts';
import { BEHIND_MAX, type ParkedRow, Poisoned } from './parked.ts';
import { applyCommit, copyViews, type Views } from './views.ts';

/** A commit as it is folded. */
export interface ParkableCommit {
  readonly subject: string;
  readonly position: number;
  /** When it was recorded first, milliseconds since 1970. Asked where something is parked alone. */
  readonly recordedMs: () => number;
  readonly parts: readonly CommitPart[];
}

export interface ParkingOptions {
  /** Whether an event that cannot be folded is left out, with nothing behind it that waits. */
  readonly isDiscarded?: (event: string) => boolean;
  /** Tries events that do not fit their schema on a copy first, so that they do no harm. A few microseconds for every event. */
  readonly careful?: boolean;
}

/** What decides about a parked event never waits itself. */
const neverWaits = ({ type }: Event): boolean => type === 'ParkedRetried' || type === 'ParkedDiscarded';

/** Where a commit cannot be read, or does not say what it is about: all that its writers write of the host, or under its subject. */
const boundaryKeys = (subject: string): readonly string[] => {
  const { host } = originOf(subject);
  return host === null ? [subject] : [subjects.host(host), subjects.outcome(host)];
};

/** One fold of a log from a start: what it has found to be poison on the way. */
export class Parking {
  readonly #options: ParkingOptions;
  /** Why an event could not be folded, by `SEQ.INDEX`. */
  readonly #faults = new Map<string, string>();
  #careful: boolean;

  constructor(options: ParkingOptions = {}) {
    this.#options = options;
    this.#careful = options.careful ?? false;
  }

  /** From here on nothing that does not fit is folded untried. */
  beCareful(): void {
    this.#careful = true;
  }

  /**
   * Folds a commit in. @throws Poisoned when an event could not be folded that nothing was wrong with before: the views are not to be
   * used any more, and are folded anew from where they were begun with, under this same parking, which now knows of it
   */
  fold(views: Views, commit: ParkableCommit): void {
    const { subject, position, parts } = commit;
    if (position <= views.position) return;
    const isPlain = !this.#careful && this.#faults.size === 0 && views.rows.parked.size === 0;
    if (isPlain && !parts.some(isMalformed)) this.#apply(views, subject, position, parts as readonly Event[]);
    else this.#sift(views, commit);
  }

  #apply(views: Views, subject: string, position: number, events: readonly (Event | null)[]): void {
    try {
      applyCommit(views, subject, position, events);
    } catch (error) {
      if (error instanceof Poisoned) {
        this.#faults.set(formatPosition(error), error.message);
        this.#careful = true;
      }
      throw error;
    }
  }

  /** Folds what can be folded and need not wait. */
  #sift(views: Views, commit: ParkableCommit): void {
    const { subject, position, parts } = commit;
    const parked = new Map<string, ParkedRow>();
    const rowOf = (key: string): ParkedRow | undefined => parked.get(key) ?? views.rows.parked.get(key);
    const folded: (Event | null)[] = [];
    for (const [index, part] of parts.entries()) {
      const event = formatPosition({ position, index });
      const mayWait = (parked.size > 0 || views.rows.parked.size > 0) && (isMalformed(part) || !neverWaits(part));
      const row = mayWait ? blockerOf(part, subject, rowOf) : undefined;
      const fault = row ? null : this.#faultOf(views, subject, position, [...folded, part]);
      folded.push(row || fault !== null || isMalformed(part) ? null : part);
      if (row) parked.set(row.key, behind(row, event));
      else if (fault !== null && this.#options.isDiscarded?.(event) !== true) {
        const made = parkedRow(part, commit, event, fault);
        parked.set(made.key, made);
      }
    }
    this.#apply(views, subject, position, folded);
    for (const [key, row] of parked) views.rows.parked.set(key, row);
  }

  /** Why the last of these cannot be folded behind the others; null when it can, as far as is known before it is. */
  #faultOf(views: Views, subject: string, position: number, parts: readonly (CommitPart | null)[]): string | null {
    const part = parts.at(-1);
    if (!part) return null;
    if (isMalformed(part)) return part.malformed;
    const event = formatPosition({ position, index: parts.length - 1 });
    const known = this.#faults.get(event);
    if (known !== undefined || !this.#careful || fits(part)) return known ?? null;
    try {
      applyCommit(copyViews(views), subject, position, parts as readonly (Event | null)[]);
      return null;
    } catch (error) {
      if (!(error instanceof Poisoned)) throw error;
      this.#faults.set(event, error.message);
      return error.message;
    }
  }
}

/** What an event waits behind: something about the same thing, or all of its boundary. */
const blockerOf = (
  part: CommitPart,
  subject: string,
  rowOf: (key: string) => ParkedRow | undefined,
): ParkedRow | undefined => {
  const about = isMalformed(part) ? part.subject : part.meta.subject;
  for (const key of [about, subject, ...boundaryKeys(subject)]) {
    const row = key === '' ? undefined : rowOf(key);
    if (row) return row;
  }
  return undefined;
};

const parkedRow = (part: CommitPart, commit: ParkableCommit, position: string, reason: string): ParkedRow => {
  const { subject, recordedMs } = commit;
  const about = isMalformed(part) ? part.subject : part.meta.subject;
  return {
    position,
    key: about === '' ? subject : about,
    type: isMalformed(part) ? part.type : `cnm.${part.type}.v${part.version}`,
    reason,
    since: new Date(recordedMs()).toISOString(),
    waiting: 0,
    behind: [],
    host: originOf(subject).host,
  };
};

const behind = (row: ParkedRow, event: string): ParkedRow => ({
  ...row,
  waiting: row.waiting + 1,
  behind: row.waiting < BEHIND_MAX ? [...row.behind, event] : row.behind,
});
