/** The events of a stored message. */
import { decodeCommit, type Event } from '../../events/envelope.ts';
import type { Message } from './stream.ts';

/** The message that was decoded last: where several services of a process share a feed, each gets the same one in turn. */
let last: { readonly message: Message; readonly events: readonly Event[] } | null = null;

/** Decodes a commit, once for all who are handed the same message. @throws UnreadableCommit for what this version cannot read */
export const eventsOf = (message: Message): readonly Event[] => {
  if (last?.message !== message) last = { message, events: decodeCommit(message.body) };
  return last.events;
};
