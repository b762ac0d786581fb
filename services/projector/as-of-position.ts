/** Which position of the log a moment means. */
import type { Query } from '../../events/queries.ts';
import { parsePosition } from '../../projections/event-position.ts';
import type { Clock } from '../lib/clock.ts';
import { openedThrough, type SegmentData } from '../lib/opening.ts';
import { positionRecordedAt, recordedOf } from '../lib/recorded.ts';
import type { Stream } from '../lib/stream.ts';
import type { Follower } from './follower.ts';
import { QueryFault } from './query-fault.ts';

/** Clocks of callers may be ahead of ours. */
const AHEAD_MS = 60_000;

/** Why nothing is known of a position. */
const putAway = ({ segment, first, previous }: SegmentData, position: number): QueryFault => {
  const where = `${previous.file}, sha256 ${previous.sha256}`;
  const detail = `position ${position} lies before ${first}, where segment ${segment} begins: positions ${previous.first} to ${previous.last} were put away as ${where}`;
  return new QueryFault('QUERY_POSITION_UNKNOWN', detail);
};

/** Refuses what is asked for since before the segment that the log begins with. @throws QueryFault */
export const refusePutAway = async (
  { log, follower }: { readonly log: Stream; readonly follower: Follower },
  since: string | undefined,
): Promise<void> => {
  const segment = follower.segment();
  if (segment === null || since === undefined) return;
  const named = parsePosition(since);
  if (named && named.position < segment.first) throw putAway(segment, named.position);
  if (named || Number.isNaN(Date.parse(since))) return;
  const opened = await log.get(segment.first);
  if (opened && Date.parse(since) < recordedOf(opened)) throw putAway(segment, segment.first - 1);
};

/**
 * The position that a moment names, a position that the log holds or the last one recorded at that time, once the views hold it too; the
 * one that they are at for undefined. @throws QueryFault
 */
export const positionOf = async (
  { log, follower, clock }: { readonly log: Stream; readonly follower: Follower; readonly clock: Clock },
  moment: Query['asOf'],
  timeoutMs: number,
): Promise<number> => {
  if (moment === undefined) return follower.views.position;
  const isTime = typeof moment === 'string';
  // What will be then nobody knows.
  if (isTime && Date.parse(moment) > clock.nowMs() + AHEAD_MS)
    throw new QueryFault('QUERY_POSITION_UNKNOWN', `${moment} is still to come`);
  const position = isTime ? (await positionRecordedAt(log, Date.parse(moment) + 1)) - 1 : moment;
  const segment = follower.segment();
  if (segment && position < segment.first) throw putAway(segment, position);
  // What the segment begins with is one state.
  if (segment && position < openedThrough(segment)) return openedThrough(segment);
  if (position <= follower.views.position) return position;
  const last = isTime ? position : await log.last();
  if (position > last) {
    throw new QueryFault('QUERY_POSITION_UNKNOWN', `the log ends at position ${last}, before ${position}`);
  }
  await follower.reached(position, timeoutMs);
  return position;
};
