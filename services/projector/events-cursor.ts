/** Where a page of recorded events ends, as text that the next request hands back. */
import type { FilterMemory } from '../../projections/event-filter.ts';
import { type EventPosition, formatPosition, parsePosition } from '../../projections/event-position.ts';
import { QueryFault } from './query-fault.ts';

export interface EventsCursor {
  readonly from: EventPosition;
  readonly holders: readonly string[];
  readonly meant: readonly string[];
}

/** `POSITION~ID~=ID`: ids of endpoints that hold the address asked for, and with `=` of what is meant by name, as they were there. */
export const parseEventsCursor = (text: string): EventsCursor => {
  const [position = '', ...ids] = text.split('~');
  const from = parsePosition(position);
  if (!from) throw new QueryFault('QUERY_MALFORMED', `not a position: ${text}`);
  const meant = ids.filter((id) => id.startsWith('=')).map((id) => id.slice(1));
  return { from, holders: ids.filter((id) => !id.startsWith('=')), meant };
};

export const formatEventsCursor = (from: EventPosition, { holders, meant }: FilterMemory): string =>
  [formatPosition(from), ...holders, ...[...meant].map((id) => `=${id}`)].join('~');
