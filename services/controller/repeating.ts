/** The answers to a command that was decided before: read from the log, so that the same id gets the same answer. */
import { type CommandRecord, foldCommand } from '../../events/command-record.ts';
import type { Answer } from '../../events/queries.ts';
import { commandKey } from '../../events/state.ts';
import { placedEvents } from '../lib/commit.ts';
import type { Boundary } from '../lib/realm.ts';
import type { Stream } from '../lib/stream.ts';
import { answersOf, endedAnswer } from './answers.ts';
import { carriedOf } from './carried.ts';

type Segment = Parameters<typeof carriedOf>[1];

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

/**
 * What was answered to a command, from the decision on; empty where the boundary does not know it.
 * @param segment the one that the log begins with
 */
export const repeatedAnswers = async (
  log: Stream,
  segment: Segment | null,
  { state }: Boundary,
  key: string,
): Promise<readonly Answer[]> => {
  const row = state.commands.get(key);
  if (!row) return [];
  const carried = segment && row.decidedAt < segment.first ? await carriedOf(log, segment, key) : null;
  // The first answer is what the decision alone said, however far the command has come since.
  const decided = carried ? carried.decided : await recordOf(log, key, row.decidedAt, row.decidedAt);
  const first = decided ? answersOf(decided) : [];
  const isEndedLater = row.endedAt !== null && row.endedAt > row.decidedAt;
  const ended = carried || !isEndedLater ? carried?.ended : await recordOf(log, key, row.decidedAt, row.endedAt ?? 0);
  const last = ended && endedAnswer(ended);
  return last ? [...first, last] : first;
};
