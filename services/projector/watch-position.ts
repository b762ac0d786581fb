/** Where a watch goes on: a place in the log, and of which log. */
import { type EventPosition, formatPosition, parsePosition } from '../../projections/event-position.ts';
import { QueryFailed } from '../client/errors.ts';
import type { Message, Stream } from '../lib/stream.ts';

/** A commit's id, unique among all commits of all logs: which commit it is that stands at a position. */
export const commitIdOf = (message: Message): string => message.header('Nats-Msg-Id');

/** `SEQ.INDEX@COMMIT`: a position, and the id of the commit that stands there. */
export const formatCursor = (at: EventPosition, commit: string): string =>
  commit === '' ? formatPosition(at) : `${formatPosition(at)}@${commit}`;

export interface Cursor {
  /** What stands behind it is handed out. */
  readonly at: EventPosition;
  /** Null: whichever commit stands there. */
  readonly commit: string | null;
}

/** Of `SEQ`, `SEQ.INDEX` or either with `@COMMIT`; null for anything else. */
export const parseCursor = (text: string): Cursor | null => {
  const sign = text.indexOf('@');
  const at = parsePosition(sign < 0 ? text : text.slice(0, sign));
  const commit = sign < 0 ? null : text.slice(sign + 1);
  return at === null || commit === '' ? null : { at, commit };
};

const unknown = (detail: string): QueryFailed => new QueryFailed('QUERY_POSITION_UNKNOWN', detail);

/**
 * Refuses to go on where something would be missing: before the first commit that the log holds, behind its last one, or in another log
 * than the one that the cursor was taken from. @throws QueryFailed QUERY_POSITION_UNKNOWN
 */
export const assertHeld = async (log: Stream, { at: { position, index }, commit }: Cursor): Promise<void> => {
  const message = await log.get(position);
  if (message !== null) {
    const found = commitIdOf(message);
    if (commit === null || commit === found) return;
    const detail = `at position ${position} stands commit ${found || 'of no id'}, not ${commit}`;
    throw unknown(`another log than the one watched before: ${detail}`);
  }
  const [first, last] = await Promise.all([log.first(), log.last()]);
  if (position > last) {
    const why = commit === null ? '' : ': it is shorter than the one watched before';
    throw unknown(`the log ends at position ${last}, before ${position}${why}`);
  }
  // Of a commit that was handed out in part, the rest is wanted too.
  const wanted = Number.isFinite(index) ? position : position + 1;
  if (wanted < first)
    throw unknown(`the log begins at position ${first}, behind ${position}: what was between is not in it`);
};
