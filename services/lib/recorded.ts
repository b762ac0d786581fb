/** When a message was recorded first, which an import does not change. */
import type { Message, Stream } from './stream.ts';

/** Header of a message that was imported: when it was recorded where it comes from, RFC 3339 with milliseconds. */
export const recordedHeader = 'Cnm-Recorded';

/** Milliseconds since 1970. Of an imported message the time of its first recording, else when this server stored it. */
export const recordedOf = (message: Pick<Message, 'header' | 'recordedMs'>): number => {
  const first = message.header(recordedHeader);
  if (first === '') return message.recordedMs;
  const ms = Date.parse(first);
  return Number.isNaN(ms) ? message.recordedMs : ms;
};

/**
 * Position of the first message that was recorded first at or after this time; last + 1 when there is none. Where nothing was imported
 * that is what the stream says; else the imported messages are searched, whose times the stream does not know: some 20 look-ups.
 */
export const positionRecordedAt = async (
  stream: Pick<Stream, 'positionAt' | 'get' | 'last'>,
  timeMs: number,
): Promise<number> => {
  const stored = await stream.positionAt(timeMs);
  const found = await stream.get(stored);
  if (found === null || found.header(recordedHeader) === '' || recordedOf(found) >= timeMs) return stored;
  let [before, at] = [stored, (await stream.last()) + 1];
  while (at - before > 1) {
    const middle = Math.floor((before + at) / 2);
    const message = await stream.get(middle);
    if (message !== null && recordedOf(message) < timeMs) before = middle;
    else at = middle;
  }
  return at;
};
