/** The events of a stored message. */
import {
  type CommitPart,
  decodeCommit,
  decodeParts,
  type Event,
  isMalformed,
  UnreadableCommit,
} from '../../events/envelope.ts';
import type { Message } from './stream.ts';

/** Decodes a commit, once for all who are handed the same message. @throws UnreadableCommit for what this version cannot read */
export const eventsOf = (message: Message): readonly Event[] => {
  message.decoded ??= decodeCommit(message.body, message.subject);
  return message.decoded;
};

const orParts = (message: Message, decode: (message: Message) => readonly Event[]): readonly CommitPart[] => {
  try {
    return decode(message);
  } catch (error) {
    if (error instanceof UnreadableCommit && error.kind === 'malformed')
      return decodeParts(message.body, message.subject);
    throw error;
  }
};

/** The same, with what nobody can read in its place. @throws UnreadableCommit for what is newer than this version */
export const partsOf = (message: Message): readonly CommitPart[] => orParts(message, eventsOf);

/** The same, and nothing is kept with the message. */
export const decodedParts = (message: Message): readonly CommitPart[] =>
  orParts(message, ({ body, subject }) => decodeCommit(body, subject));

/** The events that can be read, each with its place in the commit. @throws UnreadableCommit for what is newer than this version */
export const placedEvents = (message: Message): readonly (readonly [index: number, event: Event])[] => {
  const parts = partsOf(message);
  return parts.flatMap((part, index) => (isMalformed(part) ? [] : [[index, part] as const]));
};
