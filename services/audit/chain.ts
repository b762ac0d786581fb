/** What a stretch of the log adds up to: one digest over order, positions and times, and the last message of each subject. */
import { hash } from 'node:crypto';
import { chainHash } from '../lib/hash.ts';
import type { SegmentData } from '../lib/opening.ts';
import { recordedOf } from '../lib/recorded.ts';
import type { Message } from '../lib/stream.ts';

/** The last message of a subject, and its `chainHash`. */
export interface Head {
  readonly position: number;
  readonly hash: string;
}

/** How heads are written: subject to position and hash. */
export type WrittenHeads = Readonly<Record<string, readonly [position: number, hash: string]>>;

const DIGEST_BYTES = 32;
const NUMBER_BYTES = 8;

const scratch = Buffer.alloc(2 * DIGEST_BYTES + 2 * NUMBER_BYTES);

/** 64 bits, big-endian; what was tampered with may be negative. */
const writeNumber = (number: number, offset: number): void => {
  scratch.writeUInt32BE(Math.floor(number / 2 ** 32) >>> 0, offset);
  scratch.writeUInt32BE(number >>> 0, offset + NUMBER_BYTES / 2);
};

/** Of a log before its first message: base64url of 32 zero bytes. */
export const emptyDigest = Buffer.alloc(DIGEST_BYTES).toString('base64url');

/** Whether somebody wrote as many bytes as a digest has. */
export const isDigest = (text: string): boolean => Buffer.from(text, 'base64url').length === DIGEST_BYTES;

/**
 * SHA-256 over: the digest before (32 bytes), position and time of recording in milliseconds since 1970 (64 bits each, big-endian), the
 * bytes of the message's `chainHash` (32). Digests are base64url without padding; one that somebody wrote may be of any length.
 */
export const rollingDigest = (before: string, position: number, recordedMs: number, hashed: string): string => {
  const written = scratch.write(before, 0, DIGEST_BYTES, 'base64url');
  if (written < DIGEST_BYTES) scratch.fill(0, written, DIGEST_BYTES);
  writeNumber(position, DIGEST_BYTES);
  writeNumber(recordedMs, DIGEST_BYTES + NUMBER_BYTES);
  scratch.write(hashed, DIGEST_BYTES + 2 * NUMBER_BYTES, 'base64url');
  return hash('sha256', scratch, 'base64url');
};

/** Where a stretch of the log ends: what the next one goes on from. */
export interface ChainState {
  /** Of the last message; 0 before the first. */
  readonly position: number;
  /** Rolling, base64url. */
  readonly digest: string;
  readonly heads: ReadonlyMap<string, Head>;
}

/** Adds messages up in log order. Checks nothing (services/audit/verifier.ts does). */
export class Chain implements ChainState {
  position: number;
  digest: string;
  readonly heads: Map<string, Head>;

  constructor(from: ChainState = { position: 0, digest: emptyDigest, heads: new Map() }) {
    this.position = from.position;
    this.digest = from.digest;
    this.heads = new Map(from.heads);
  }

  /** @returns its `chainHash` */
  take(message: Message): string {
    const { position, subject } = message;
    const hashed = chainHash(message);
    this.digest = rollingDigest(this.digest, position, recordedOf(message), hashed);
    this.heads.set(subject, { position, hash: hashed });
    this.position = position;
    return hashed;
  }
}

/** In the order of their subjects, so that equal heads are equal texts. */
export const writeHeads = (heads: ReadonlyMap<string, Head>): WrittenHeads =>
  Object.fromEntries(
    [...heads].sort(([a], [b]) => (a < b ? -1 : 1)).map(([subject, head]) => [subject, [head.position, head.hash]]),
  );

export const readHeads = (written: WrittenHeads): ReadonlyMap<string, Head> =>
  new Map(Object.entries(written).map(([subject, [position, hashed]]) => [subject, { position, hash: hashed }]));

/** What comes before a segment that the log begins with, as that says. */
export const chainBefore = ({ previous }: SegmentData): ChainState => ({
  position: previous.last,
  digest: previous.digest,
  heads: new Map(Object.entries(previous.heads)),
});
