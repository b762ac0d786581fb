/** Reading the log into views. */
import type { CommitPart } from '../../events/envelope.ts';
import { isChunk } from '../../events/names.ts';
import { type Discard, discardedBy } from '../../projections/discards.ts';
import { Poisoned } from '../../projections/parked.ts';
import { Parking } from '../../projections/parking.ts';
import type { Views } from '../../projections/views.ts';
import { decodedParts } from '../lib/commit.ts';
import { recordedOf } from '../lib/recorded.ts';
import type { Message, Stream } from '../lib/stream.ts';
import { noteSegment, takeChunk } from './segment-views.ts';

/** The parking of a fold up to a position: what is left out is what was discarded by then. */
export const parkingUntil = (discards: readonly Discard[], until: number): Parking => {
  const discarded = discardedBy(discards, until);
  return new Parking({ isDiscarded: (event) => discarded.has(event) });
};

/** Folds one stored message in. @throws UnreadableCommit for what is newer than this version; Poisoned (projections/parking.ts) */
export const foldMessage = (
  views: Views,
  message: Message,
  parking = new Parking(),
  parts: readonly CommitPart[] = decodedParts(message),
): void => {
  const { subject, position } = message;
  if (isChunk(subject)) {
    takeChunk(views, message);
    return;
  }
  noteSegment(views, parts);
  parking.fold(views, { subject, position, recordedMs: () => recordedOf(message), parts });
};

export interface FoldOptions {
  readonly parking?: Parking;
  /** Told of each message before it is folded. */
  readonly note?: (message: Message, parts: readonly CommitPart[]) => void;
}

/**
 * Folds the log into views up to and including a position that it holds. The reader hands messages out as they come from the server,
 * some dozens in a turn of the event loop, so other work goes on meanwhile.
 */
export const foldUntil = async (
  log: Stream,
  views: Views,
  position: number,
  { parking = new Parking(), note }: FoldOptions = {},
): Promise<void> => {
  if (views.position >= position) return;
  const { promise: reached, resolve } = Promise.withResolvers<void>();
  const reader = log.read({ from: views.position + 1, until: position }, (message) => {
    if (message.position > position) return;
    const parts = decodedParts(message);
    note?.(message, parts);
    foldMessage(views, message, parking, parts);
    if (message.position === position) resolve();
  });
  try {
    await Promise.race([reached, reader.closed]);
  } finally {
    await reader.stop();
  }
};

/** Folds from a start, and from it again under the same parking whenever an event turns out to be poison: once for each. */
export const foldAgain = async (parking: Parking, fold: (parking: Parking) => Promise<Views>): Promise<Views> => {
  for (;;) {
    try {
      return await fold(parking);
    } catch (error) {
      if (!(error instanceof Poisoned)) throw error;
    }
  }
};
