/** The messages that a segment begins with, made of the export of the one before. */
import { createHash, type KeyObject, sign } from 'node:crypto';
import { batchType, commitHeaders, encodeCommit, eventVersions } from '../../events/envelope.ts';
import { commandId, isChunk, subjects } from '../../events/names.ts';
import { signedText } from '../../events/segment-event.ts';
import { Poisoned } from '../../projections/parked.ts';
import type { Parking } from '../../projections/parking.ts';
import type { Clock } from '../lib/clock.ts';
import type { SegmentData } from '../lib/opening.ts';
import { packText } from '../lib/state-text.ts';
import type { Append } from '../lib/stream.ts';
import { parkingUntil } from '../projector/fold.ts';
import { discardsBetween } from '../projector/refold.ts';
import { readHeads, type WrittenHeads } from './chain.ts';
import { keyIdOf } from './keys.ts';
import type { Export } from './open-export.ts';
import { SegmentFault } from './segment-fault.ts';
import { WholeLog } from './segment-state.ts';

/** Of a part of the state, bytes of text, which packed are about a tenth; more where there would be too many parts. */
const CHUNK_BYTES = 1024 * 1024;
const CHUNK_BYTES_MOST = 4 * CHUNK_BYTES;
/** What every server takes as one message (services/nats/streams.ts), and as one batch with what opens the segment. */
const CHUNK_BYTES_MAX = 448 * 1024;
const CHUNKS_MAX = 999;

export interface OpeningOf {
  readonly opened: Export;
  readonly file: string;
  /** SHA-256 of the file, base64url. */
  readonly sha256: string;
  readonly key: KeyObject;
  readonly clock: Clock;
  /** Bytes of text of a part of the state at most. */
  readonly chunkBytes?: number;
}

/** Null when an event turned out to be one that cannot be folded, when a part of it was. */
const readAll = async (opened: Export, parking: Parking): Promise<WholeLog | null> => {
  const whole = new WholeLog(parking);
  try {
    for await (const entries of opened.entries())
      for (const entry of entries) if (entry.kind === 'message') whole.take(entry.message);
    return whole;
  } catch (error) {
    if (error instanceof Poisoned) return null;
    throw error;
  }
};

/** All that the log in an export adds up to. @throws SegmentFault SEGMENT_BUSY, LEGAL_HOLD */
const wholeLogOf = async (opened: Export): Promise<WholeLog> => {
  // What was discarded of events that nobody can fold is left out from the beginning.
  const last = await opened.last();
  const parking = parkingUntil(await discardsBetween(opened, 0, last), last);
  let whole = await readAll(opened, parking);
  while (whole === null) whole = await readAll(opened, parking);
  const holds = [...whole.realm.shared.holds.values()].map(({ name, reason }) => `${name} (${reason})`);
  if (holds.length > 0) throw new SegmentFault('LEGAL_HOLD', `the log is held: ${holds.join(', ')}`);
  const busy = whole.busy();
  if (busy.length > 0) throw new SegmentFault('SEGMENT_BUSY', `not everything is done: ${busy.join('; ')}`);
  const places = whole.places();
  for await (const entries of opened.entries())
    for (const entry of entries)
      if (entry.kind === 'message' && places.has(entry.message.position)) whole.tell(entry.message);
  return whole;
};

/** Packed, in two where one is too large for a message. */
const packed = (lines: readonly string[]): readonly Uint8Array[] => {
  const body = packText(lines.join(''));
  if (body.length <= CHUNK_BYTES_MAX || lines.length === 1) return [body];
  const half = lines.length >> 1;
  return [...packed(lines.slice(0, half)), ...packed(lines.slice(half))];
};

/** The first is the format alone, as it is: whoever cannot read the others knows it from that. */
const bodiesOf = (whole: WholeLog, bytesMax: number): readonly Uint8Array[] => {
  const bodies: Uint8Array[] = [];
  let lines: string[] = [];
  let bytes = 0;
  for (const line of whole.lines()) {
    const text = `${JSON.stringify(line)}\n`;
    if (bodies.length === 0) {
      bodies.push(Buffer.from(text));
      continue;
    }
    const size = Buffer.byteLength(text);
    if (bytes > 0 && bytes + size > bytesMax) {
      bodies.push(...packed(lines));
      [lines, bytes] = [[], 0];
    }
    lines.push(text);
    bytes += size;
  }
  if (lines.length > 0) bodies.push(...packed(lines));
  return bodies;
};

/** Of networks that are gone nobody writes to the subject again. */
const livingHeads = (heads: WrittenHeads, { realm }: WholeLog): WrittenHeads =>
  Object.fromEntries(
    Object.entries(heads).filter(([subject]) => {
      const [, , kind, id = ''] = subject.split('.');
      return kind !== 'realm' || subject === subjects.realm || realm.shared.networks.has(id);
    }),
  );

const numberOf = ({ realm }: WholeLog): number => (realm.segment?.segment ?? 1) + 1;

/** What opens the segment comes first, and all of it is appended at once or not at all. @throws SegmentFault */
export const openingOf = async (of: OpeningOf): Promise<readonly Append[]> => {
  const { opened, file, sha256, key, clock } = of;
  const { header, end } = opened;
  if (end === null) throw new SegmentFault('SEGMENT_DAMAGED', `${file} is not written to its end`);
  const whole = await wholeLogOf(opened);
  let bodies = bodiesOf(whole, of.chunkBytes ?? CHUNK_BYTES);
  if (bodies.length > CHUNKS_MAX) bodies = bodiesOf(whole, CHUNK_BYTES_MOST);
  const heads = livingHeads(end.heads, whole);
  const state = createHash('sha256');
  for (const body of bodies) state.update(body);
  const first = end.last + 1;
  const unsigned: SegmentData = {
    realm: header.realm,
    epoch: header.epoch,
    segment: numberOf(whole),
    first,
    chunks: bodies.length,
    state: state.digest('base64url'),
    previous: {
      first: header.first,
      last: end.last,
      digest: end.digest,
      heads: Object.fromEntries(readHeads(heads)),
      file,
      sha256,
    },
    key: keyIdOf(key),
    signature: '',
  };
  const signature = sign(null, Buffer.from(signedText(unsigned)), key).toString('base64url');
  const opening = openingCommit({ ...unsigned, signature }, clock, heads);
  const isTooLarge = [Buffer.from(opening.body), ...bodies].some(({ length }) => length > CHUNK_BYTES_MAX);
  if (bodies.length > CHUNKS_MAX || isTooLarge)
    throw new SegmentFault(
      'SEGMENT_TOO_LARGE',
      `the state takes ${bodies.length} messages, or one of them too many bytes`,
    );
  return [
    opening,
    ...bodies.map((body, index): Append => {
      const subject = subjects.segment(index);
      return { subject, body, id: `${opening.id}-${index}`, expectedLast: 0, headers: headersOf(heads, subject) };
    }),
  ];
};

const typeOf = (subject: string): string => {
  if (!isChunk(subject)) return batchType;
  return subject === subjects.segment(0) ? 'application/x-ndjson' : 'application/gzip';
};

const headersOf = (heads: WrittenHeads, subject: string): Readonly<Record<string, string>> => {
  const head = Object.hasOwn(heads, subject) ? heads[subject] : undefined;
  return {
    [commitHeaders.contentType]: typeOf(subject),
    ...(head ? { [commitHeaders.prevHash]: head[1] } : {}),
  };
};

const openingCommit = (data: SegmentData, clock: Clock, heads: WrittenHeads): Append & { readonly body: string } => {
  const id = clock.randomId(12);
  const nowMs = clock.nowMs();
  const meta = {
    id: `${id}.0`,
    source: `/cnm/${data.realm}/segment`,
    subject: `segment/${data.segment}`,
    time: new Date(nowMs).toISOString(),
    actor: '',
    commandid: commandId(nowMs, 'segment'),
    correlationid: 'segment',
    causationid: 'segment',
  };
  const body = encodeCommit([{ type: 'SegmentOpened', version: eventVersions.SegmentOpened, data, meta }]);
  return { subject: subjects.realm, body, id, expectedLast: 0, headers: headersOf(heads, subjects.realm) };
};
