/** The events of a stored message. */
import { decodeCommit, type Event } from '../../events/envelope.ts';
import type { Message } from './stream.ts';

/** Decodes a commit, once for all who are handed the same message. @throws UnreadableCommit for what this version cannot read */
export const eventsOf = (message: Message): readonly Event[] => {
  message.decoded ??= decodeCommit(message.body, message.subject);
  return message.decoded;
};
