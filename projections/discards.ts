/**
 * What was decided about parked events: the log says from where on which of them are left out. Only an event that cannot be folded is;
 * of any other a discard says nothing. Positions are of commits.
 */
import type { Event } from '../events/envelope.ts';
import { formatPosition, parsePosition } from './event-position.ts';

/** An event that is to be left out of whatever is folded up to `at` or further. */
export interface Discard {
  /** `SEQ.INDEX` of the event. */
  readonly event: string;
  /** Of the commit that holds the event. */
  readonly position: number;
  /** Of the commit that says so. */
  readonly at: number;
}

/** What an event says of a parked one, at the position of its commit: null for most. Nothing can be said ahead. */
export const discardOf = (event: Event, at: number): Discard | null => {
  if (event.type !== 'ParkedDiscarded') return null;
  const { position, index } = event.data;
  return position < at ? { event: formatPosition({ position, index }), position, at } : null;
};

/** Which events are left out as of a position. */
export const discardedBy = (discards: readonly Discard[], until: number): ReadonlySet<string> =>
  new Set(discards.filter(({ at }) => at <= until).map(({ event }) => event));

/**
 * Whether what was folded up to one position is of no use to go on from to another: in between something was discarded that stands before
 * the first, so that folded up to the second it is left out.
 */
export const isOutdated = (discards: readonly Discard[], from: number, until: number): boolean =>
  discards.some(({ position, at }) => position <= from && from < at && at <= until);

/** Whether an event names this row of the view `parked`: it is to be tried again, or left out. */
export const settlesParked = (event: Event): string | null =>
  event.type === 'ParkedRetried' || event.type === 'ParkedDiscarded'
    ? formatPosition({ position: event.data.position, index: event.data.index })
    : null;

/** The commit of `SEQ.INDEX`. */
export const commitOf = (event: string): number => parsePosition(event)?.position ?? 0;
