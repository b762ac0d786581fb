/** The stored messages at chosen positions. */

import { readRange } from '../lib/read-range.ts';
import type { Message, Stream } from '../lib/stream.ts';

/** Asked for at once, one by one. */
const AT_ONCE = 128;
/** Where so many are wanted, and one of every so many, reading the stretch is quicker than asking for each. */
const STRETCH_MIN = 256;
const STRETCH_SPARSE = 8;

const isDense = (positions: readonly number[]): boolean => {
  const span = (positions.at(-1) ?? 0) - (positions[0] ?? 0) + 1;
  return positions.length >= STRETCH_MIN && span <= positions.length * STRETCH_SPARSE;
};

const stretch = async function* (log: Stream, positions: readonly number[]): AsyncGenerator<Message> {
  const wanted = new Set(positions);
  for await (const batch of readRange(log, positions[0] ?? 1, positions.at(-1) ?? 0)) {
    for (const message of batch) if (wanted.has(message.position)) yield message;
  }
};

/** Messages at ascending positions that the log holds, in order; positions without a message are left out. */
export const commitsAt = async function* (log: Stream, positions: readonly number[]): AsyncGenerator<Message> {
  if (isDense(positions)) {
    yield* stretch(log, positions);
    return;
  }
  for (let first = 0; first < positions.length; first += AT_ONCE) {
    const slice = positions.slice(first, first + AT_ONCE);
    const messages = await Promise.all(slice.map((position) => log.get(position)));
    for (const message of messages) if (message) yield message;
  }
};
