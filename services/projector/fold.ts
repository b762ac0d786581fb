/** Reading the log into views. */
import { decodeCommit } from '../../events/envelope.ts';
import type { Views } from '../../projections/views.ts';
import type { Message, Stream } from '../lib/stream.ts';
import { foldStored } from './segment-views.ts';

/** Folds one stored message in. @throws UnreadableCommit for what this version cannot read */
export const foldMessage = (views: Views, message: Message): void =>
  foldStored(views, message, decodeCommit(message.body, message.subject));

/**
 * Folds the log into views up to and including a position that it holds. The reader hands messages out as they come from the server,
 * some dozens in a turn of the event loop, so other work goes on meanwhile.
 */
export const foldUntil = async (log: Stream, views: Views, position: number): Promise<void> => {
  if (views.position >= position) return;
  const { promise: reached, resolve } = Promise.withResolvers<void>();
  const reader = log.read({ from: views.position + 1 }, (message) => {
    if (message.position > position) return;
    foldMessage(views, message);
    if (message.position === position) resolve();
  });
  try {
    await Promise.race([reached, reader.closed]);
  } finally {
    await reader.stop();
  }
};
