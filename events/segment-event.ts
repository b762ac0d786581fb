/** Data of the event that opens a segment of the log, and what of it is signed. */
import { z } from 'zod';
import { Id, RealmName } from './names.ts';

/** The log goes on where an export has put away what was before; the state from there follows in as many messages as `chunks` says. */
export const Segment = z.object({
  realm: RealmName,
  epoch: Id,
  /** Counts segments; the first, which is opened by RealmOpened, is 1. */
  segment: z.int(),
  /** Position of this event's commit. */
  first: z.int(),
  chunks: z.int(),
  /** SHA-256 over the bodies of the chunks, base64url. */
  state: z.string(),
  previous: z.object({
    first: z.int(),
    last: z.int(),
    /** Rolling digest at `last`, and the last message of each subject that may be written to again: position and hash. */
    digest: z.string(),
    heads: z.record(z.string(), z.object({ position: z.int(), hash: z.string() })),
    /** The export that holds it, as it was named, and the SHA-256 of its bytes, base64url. */
    file: z.string(),
    sha256: z.string(),
  }),
  /** Ed25519 over the fields before, as JSON in their order, base64url; and the id of the key. */
  key: z.string(),
  signature: z.string(),
});
export type Segment = z.infer<typeof Segment>;

/** The text that is signed. */
export const signedText = ({ realm, epoch, segment, first, chunks, state, previous }: Segment): string =>
  JSON.stringify({ realm, epoch, segment, first, chunks, state, previous });
