/** Which position of the log a moment means. */
import type { Query } from '../../events/queries.ts';
import { positionRecordedAt } from '../lib/recorded.ts';
import type { Stream } from '../lib/stream.ts';
import type { Follower } from './follower.ts';
import { QueryFault } from './query-fault.ts';

/**
 * The position that a moment names, a position that the log holds or the last one recorded at that time, once the views hold it too; the
 * one that they are at for undefined. @throws QueryFault
 */
export const positionOf = async (
  { log, follower }: { readonly log: Stream; readonly follower: Follower },
  moment: Query['asOf'],
  timeoutMs: number,
): Promise<number> => {
  if (moment === undefined) return follower.views.position;
  const isTime = typeof moment === 'string';
  const position = isTime ? (await positionRecordedAt(log, Date.parse(moment) + 1)) - 1 : moment;
  if (position <= follower.views.position) return position;
  const last = isTime ? position : await log.last();
  if (position > last) {
    throw new QueryFault('QUERY_POSITION_UNKNOWN', `the log ends at position ${last}, before ${position}`);
  }
  await follower.reached(position, timeoutMs);
  return position;
};
