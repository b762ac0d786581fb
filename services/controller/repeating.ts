/** The answers to a command that was decided before, read from the log: from the decision on. */
import { type CommandRecord, foldCommand } from '../../events/command-record.ts';
import { cutsShort } from '../../events/cut-short.ts';
import type { Answer } from '../../events/queries.ts';
import { commandKey } from '../../events/state.ts';
import { placedEvents } from '../lib/commit.ts';
import type { SegmentData } from '../lib/opening.ts';
import type { Stream } from '../lib/stream.ts';
import { answersOf, endedAnswer } from './answers.ts';
import { carriedOf } from './carried.ts';

interface Course {
  /** Of the boundary that has decided it. */
  readonly subject: string;
  /** Position of its decision. */
  readonly decidedAt: number;
  /** Position of what has ended it. */
  readonly endedAt: number | null;
}

/** @param key `commandKey`. Empty where the log does not say. @throws NatsFault when it cannot be read */
export const answersAgain = async (
  log: Stream,
  segment: SegmentData | null,
  key: string,
  { subject, decidedAt, endedAt }: Course,
): Promise<readonly Answer[]> => {
  const carried = segment && decidedAt < segment.first ? await carriedOf(log, segment, key) : null;
  // The first answer is what the decision alone said, however far the command has come since.
  const decided = carried ? carried.decided : await recordOf(log, key, subject, [decidedAt, decidedAt]);
  const first = decided ? answersOf(decided) : [];
  const isEndedLater = endedAt !== null && endedAt > decidedAt;
  const ended = carried || !isEndedLater ? carried?.ended : await recordOf(log, key, subject, [decidedAt, endedAt]);
  const last = ended && endedAnswer(ended);
  return last ? [...first, last] : first;
};

const recordOf = async (
  log: Stream,
  key: string,
  subject: string,
  [from, through]: readonly [number, number],
): Promise<CommandRecord | undefined> => {
  let record: CommandRecord | undefined;
  for (let position = from; position <= through; position++) {
    const message = await log.get(position);
    for (const [, event] of message ? placedEvents(message) : []) {
      const isCut = cutsShort(event) && commandKey(event.data.actor, event.data.commandId) === key;
      // Another one on the way says nothing of it: with that the worker had come back.
      const isLost = event.type === 'HostLost' && message?.subject === subject && position === through;
      if (isCut || isLost || commandKey(event.meta.actor, event.meta.commandid) === key)
        record = foldCommand(record, event, position);
    }
  }
  return record;
};

/** Answers that wait to be repeated at most; whoever gets none finds it in the `commands` view. Design value. */
const repeatsMax = 1_024;

/** Repeats answers one after another, beside what is decided: a command may have taken long, and then its course is long to read. */
export class Repeats {
  #waiting: (() => Promise<void>)[] = [];
  #isRunning = false;

  /** @param repeat does not reject */
  add(repeat: () => Promise<void>): void {
    if (this.#waiting.length >= repeatsMax) return;
    this.#waiting.push(repeat);
    if (!this.#isRunning) void this.#run();
  }

  /** Whoever ends does not read on. */
  clear(): void {
    this.#waiting = [];
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    for (let next = this.#waiting.shift(); next; next = this.#waiting.shift()) await next();
    this.#isRunning = false;
  }
}
