/** When a message was recorded first, which an import does not change. */
import type { Message } from './stream.ts';

/** Header of a message that was imported: when it was recorded where it comes from, RFC 3339 with milliseconds. */
export const recordedHeader = 'Cnm-Recorded';

/** Milliseconds since 1970. Of an imported message the time of its first recording, else when this server stored it. */
export const recordedOf = (message: Pick<Message, 'header' | 'recordedMs'>): number => {
  const first = message.header(recordedHeader);
  if (first === '') return message.recordedMs;
  const ms = Date.parse(first);
  return Number.isNaN(ms) ? message.recordedMs : ms;
};
