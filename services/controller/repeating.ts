/** The answers to a command that was decided before, read from the log: from the decision on. */
import { type CommandRecord, foldCommand } from '../../events/command-record.ts';
import type { Answer } from '../../events/queries.ts';
import { commandKey } from '../../events/state.ts';
import { placedEvents } from '../lib/commit.ts';
import type { SegmentData } from '../lib/opening.ts';
import type { Stream } from '../lib/stream.ts';
import { answersOf, endedAnswer } from './answers.ts';
import { carriedOf } from './carried.ts';

/** Positions. */
interface Course {
  readonly decidedAt: number;
  readonly endedAt: number | null;
}

/** @param key `commandKey`. Empty where the log does not say. @throws NatsFault when it cannot be read */
export const answersAgain = async (
  log: Stream,
  segment: SegmentData | null,
  key: string,
  { decidedAt, endedAt }: Course,
): Promise<readonly Answer[]> => {
  const carried = segment && decidedAt < segment.first ? await carriedOf(log, segment, key) : null;
  // The first answer is what the decision alone said, however far the command has come since.
  const decided = carried ? carried.decided : await recordOf(log, key, decidedAt, decidedAt);
  const first = decided ? answersOf(decided) : [];
  const isEndedLater = endedAt !== null && endedAt > decidedAt;
  const ended = carried || !isEndedLater ? carried?.ended : await recordOf(log, key, decidedAt, endedAt);
  const last = ended && endedAnswer(ended);
  return last ? [...first, last] : first;
};

const recordOf = async (
  log: Stream,
  key: string,
  from: number,
  through: number,
): Promise<CommandRecord | undefined> => {
  let record: CommandRecord | undefined;
  for (let position = from; position <= through; position++) {
    const message = await log.get(position);
    for (const [, event] of message ? placedEvents(message) : []) {
      const isExpiry = event.type === 'CommandTimedOut' && commandKey(event.data.actor, event.data.commandId) === key;
      if (isExpiry || commandKey(event.meta.actor, event.meta.commandid) === key)
        record = foldCommand(record, event, position);
    }
  }
  return record;
};
