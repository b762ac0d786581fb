/** Signed checkpoints: what the log adds up to at a position, so that nothing up to there can be changed by anybody without the key. */
import { hash, type KeyObject, sign, verify } from 'node:crypto';
import { z } from 'zod';
import type { Message } from '../lib/stream.ts';
import { type ChainState, writeHeads } from './chain.ts';
import type { SignedCheckpoint } from './export-format.ts';
import { keyIdOf } from './keys.ts';

/** The subject that they are on, in a stream of their own. */
export const checkpointSubject = 'cnm.checkpoint';
/** Header of the message: Ed25519 over the bytes of its body, base64url. */
export const signatureHeader = 'Cnm-Signature';

const checkpointVersion = 1;

/** The body, one line of JSON in this order. */
export const Checkpoint = z.object({
  version: z.literal(checkpointVersion),
  realm: z.string(),
  epoch: z.string(),
  /** The last message that it covers. */
  position: z.int().min(1),
  /** When it was made, RFC 3339. */
  recorded: z.iso.datetime(),
  /** Rolling digest (chain.ts) from the log's first message up to `position`, base64url. */
  digest: z.string(),
  /** The last message of each subject: position and hash. Null when they are too many to be written. */
  heads: z.record(z.string(), z.tuple([z.int(), z.string()]).readonly()).nullable(),
  /** SHA-256 of the body of the checkpoint before, base64url; empty for the first. */
  previous: z.string(),
  /** Id of the key (keys.ts). */
  key: z.string(),
});
export type Checkpoint = z.infer<typeof Checkpoint>;

/** A message of more would be too much for a server with ordinary limits; the digest covers what heads would. */
const HEADS_BYTES_MAX = 256 * 1024;

export const bodyHash = (body: string): string => hash('sha256', body, 'base64url');

export interface CheckpointOf {
  readonly realm: string;
  readonly epoch: string;
  readonly chain: ChainState;
  readonly nowMs: number;
  /** Body of the checkpoint before; empty text for the first. */
  readonly before: string;
}

export const signCheckpoint = (of: CheckpointOf, key: KeyObject): SignedCheckpoint => {
  const { realm, epoch, chain, nowMs, before } = of;
  const heads = writeHeads(chain.heads);
  const checkpoint: Checkpoint = {
    version: checkpointVersion,
    realm,
    epoch,
    position: chain.position,
    recorded: new Date(nowMs).toISOString(),
    digest: chain.digest,
    heads: JSON.stringify(heads).length > HEADS_BYTES_MAX ? null : heads,
    previous: before === '' ? '' : bodyHash(before),
    key: keyIdOf(key),
  };
  const body = JSON.stringify(checkpoint);
  return { checkpoint: body, signature: sign(null, Buffer.from(body), key).toString('base64url') };
};

export const isSignedBy = ({ checkpoint, signature }: SignedCheckpoint, key: KeyObject): boolean => {
  const bytes = Buffer.from(signature, 'base64url');
  // Its text has one form, as everything that is vouched for.
  return bytes.toString('base64url') === signature && verify(null, Buffer.from(checkpoint), key, bytes);
};

/** What a body says; null when it is no checkpoint. */
export const parseCheckpoint = (body: string): Checkpoint | null => {
  try {
    return Checkpoint.safeParse(JSON.parse(body)).data ?? null;
  } catch {
    return null;
  }
};

/** The checkpoint of a stored message. */
export const signedIn = (message: Pick<Message, 'body' | 'header'>): SignedCheckpoint => ({
  checkpoint: new TextDecoder().decode(message.body),
  signature: message.header(signatureHeader),
});
