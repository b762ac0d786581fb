/**
 * How a segment of the log begins: SegmentOpened, and behind it the state in messages of lines. Whoever folds the log takes them up and puts
 * the state in place with the last of them.
 */
import { createHash } from 'node:crypto';
import { UnreadableCommit } from '../../events/envelope.ts';
import type { EventData } from '../../events/events.ts';
import { subjects } from '../../events/names.ts';
import { eventsOf } from './commit.ts';
import { formatOf, upcastLine } from './state-format.ts';
import { stateText } from './state-text.ts';
import type { Message } from './stream.ts';

export type SegmentData = EventData<'SegmentOpened'>;

/** What opens a segment, if this message does. */
export const segmentIn = (message: Message): SegmentData | null => {
  if (message.subject !== subjects.realm) return null;
  for (const event of eventsOf(message)) if (event.type === 'SegmentOpened') return event.data;
  return null;
};

export class Opening {
  readonly data: SegmentData;
  readonly #hash = createHash('sha256');
  readonly #bodies: Uint8Array[] = [];
  #taken = 0;

  constructor(data: SegmentData) {
    this.data = data;
  }

  /** The next part of the state. @returns whether that was the last. @throws UnreadableCommit for what is not what was signed */
  take({ subject, body, position }: Message): boolean {
    const { first, chunks, state } = this.data;
    if (position !== first + 1 + this.#taken || subject !== subjects.segment(this.#taken) || this.#taken >= chunks)
      throw new UnreadableCommit(
        `${subject} at ${position} is no part of the state that the segment begins with`,
        'newer',
      );
    this.#taken += 1;
    this.#hash.update(body);
    this.#bodies.push(body);
    if (this.#taken < chunks) return false;
    if (this.#hash.digest('base64url') !== state)
      throw new UnreadableCommit('the state that the segment begins with is not the one that was signed', 'newer');
    return true;
  }

  /** As this version writes them. @throws UnreadableCommit for a format that is newer */
  *lines(): Generator<readonly unknown[]> {
    let format = 0;
    for (const line of this.#written()) {
      if (format === 0) format = formatOf(line);
      else yield* upcastLine(format, line);
    }
  }

  *#written(): Generator<readonly unknown[]> {
    for (const body of this.#bodies)
      for (const line of stateText(body).split('\n')) if (line !== '') yield JSON.parse(line) as readonly unknown[];
  }
}

/** Position of the last message that a segment begins with: what is known of it is known from there on. */
export const openedThrough = ({ first, chunks }: SegmentData): number => first + chunks;
