/** A stretch of the log as the lines of an export (export-format.ts). */
import type { EventData } from '../../events/events.ts';
import { subjects } from '../../events/names.ts';
import { placedEvents } from '../lib/commit.ts';
import { type SegmentData, segmentIn } from '../lib/opening.ts';
import { readRange } from '../lib/read-range.ts';
import type { Message, Stream } from '../lib/stream.ts';
import { Chain, type ChainState, chainBefore, writeHeads } from './chain.ts';
import {
  checkpointLine,
  ExportFault,
  type ExportHeader,
  endLine,
  exportVersion,
  headerLine,
  type SignedCheckpoint,
  writeMessage,
} from './export-format.ts';
import { Piece } from './piece.ts';

export interface ExportOptions {
  /** First position; where the log begins when left out. What comes before is read all the same, for digest and heads. */
  readonly from?: number;
  /** Last position; the last that is stored now when left out. */
  readonly until?: number;
  /** Goes on behind this, in an export that is already written so far: no header line. Given instead of `from`. */
  readonly resume?: ChainState & { readonly messages: number };
  /** Each stands behind the message at its position; ascending. */
  readonly checkpoints?: readonly (SignedCheckpoint & { readonly position: number })[];
}

/** Lines are handed on in pieces of about this many bytes. */
const PIECE_BYTES = 256 * 1024;

/** Whose log it is: the first commit of the realm says so. Null while it is not opened. */
export const openingOf = async (log: Stream): Promise<EventData<'RealmOpened'> | null> => {
  const { promise: found, resolve } = Promise.withResolvers<Message>();
  const reader = log.read({ from: 1, subjects: [subjects.realm] }, (message) => resolve(message));
  try {
    const message = await Promise.race([found, reader.caughtUp.then(() => null)]);
    if (message === null) return null;
    for (const [, { type, data }] of placedEvents(message))
      if (type === 'RealmOpened' || type === 'SegmentOpened') return { realm: data.realm, epoch: data.epoch };
    return null;
  } finally {
    await reader.stop();
  }
};

/** The segment that a log which begins at this position begins with; null for one from its opening on. */
export const openedAt = async (log: Stream, first: number): Promise<SegmentData | null> => {
  const message = first > 1 ? await log.get(first) : null;
  return message && segmentIn(message);
};

/** Adds up what comes before `from`. Complexity: all of that is read. */
export const chainUpTo = async (log: Stream, from: number): Promise<Chain> => {
  const first = await log.first();
  const segment = await openedAt(log, first);
  const chain = segment ? new Chain(chainBefore(segment)) : new Chain();
  for await (const batch of readRange(log, first, from - 1)) for (const message of batch) chain.take(message);
  return chain;
};

const startOf = async (
  log: Stream,
  from: number,
): Promise<{ readonly chain: Chain; readonly header: ExportHeader }> => {
  const chain = await chainUpTo(log, from);
  const opening = await openingOf(log);
  const header: ExportHeader = {
    cnm: 'export',
    version: exportVersion,
    realm: opening?.realm ?? '',
    epoch: opening?.epoch ?? '',
    first: from,
    digest: chain.digest,
    heads: writeHeads(chain.heads),
    filter: null,
  };
  return { chain, header };
};

/**
 * The lines of an export as bytes in UTF-8, several whole ones at a time; each piece is good until the next is asked for. The log must be read as it is stored: a feed that hands out what was just appended
 * (services/nats/shared-reads.ts `acting`) does not know when that was recorded.
 */
export const exportBytes = async function* (
  log: Stream,
  options: ExportOptions = {},
): AsyncGenerator<Uint8Array, void, void> {
  const { resume } = options;
  const from = resume ? resume.position + 1 : (options.from ?? (await log.first()));
  const last = await log.last();
  const until = options.until ?? last;
  // Whatever is not stored yet would be waited for.
  const beyond = until > last ? until : from > last + 1 ? from : null;
  if (beyond !== null) throw new ExportFault('EXPORT_RANGE', `the log ends at position ${last}, before ${beyond}`);
  if (!resume && options.until !== undefined && until < from)
    throw new ExportFault('EXPORT_RANGE', `from position ${from} up to ${until} there is nothing`);
  const start = resume ? { chain: new Chain(resume), header: null } : await startOf(log, from);
  const { chain, header } = start;
  let messages = resume?.messages ?? 0;
  // Where an export is gone on with, one may stand behind its last message that was not made yet, or not written.
  const signed = (options.checkpoints ?? []).filter(({ position }) => position >= (resume?.position ?? from)).values();
  let due = signed.next().value;
  const piece = new Piece();
  if (header) piece.text(headerLine(header));
  for (; resume && due?.position === resume.position; due = signed.next().value) piece.text(checkpointLine(due));
  for await (const batch of readRange(log, from, until)) {
    for (const message of batch) {
      chain.take(message);
      messages += 1;
      writeMessage(message, piece);
      for (; due && due.position <= message.position; due = signed.next().value) piece.text(checkpointLine(due));
      if (piece.length >= PIECE_BYTES) yield piece.take();
    }
  }
  const { position, digest, heads } = chain;
  piece.text(endLine({ last: position, messages, digest, heads: writeHeads(heads) }));
  yield piece.take();
};

const decoder = new TextDecoder();

/** The same as text. */
export const exportLines = async function* (
  log: Stream,
  options: ExportOptions = {},
): AsyncGenerator<string, void, void> {
  for await (const piece of exportBytes(log, options)) yield decoder.decode(piece);
};
