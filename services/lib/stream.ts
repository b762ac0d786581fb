/**
 * The port to one durable, totally ordered stream of messages. Two adapters: JetStream (services/nats) and memory (test/support);
 * one contract suite holds for both.
 */

import type { Event } from '../../events/envelope.ts';

/** A stored message. Headers and body are decoded only when they are read. */
export interface Message {
  /** Sequence in the stream, from 1, no gaps: the position. */
  readonly position: number;
  /** When the server stored it, milliseconds since 1970. */
  readonly recordedMs: number;
  readonly subject: string;
  /** Value of a header, or empty text. Names as they were written. */
  header(name: string): string;
  /** All headers in stored order, for export and hashing. */
  headers(): readonly (readonly [name: string, value: string])[];
  readonly body: Uint8Array;
  /** Room for what the body was decoded to, so that readers who share a message decode it once (services/lib/commit.ts). */
  decoded?: readonly Event[];
  /** Likewise for its `chainHash`, which is made when somebody asks for it: of most messages nobody does (services/lib/commit-head.ts). */
  hashed?: string;
  /** How many stored messages were behind this one when it was sent to us; 0 = caught up. */
  readonly pending: number;
}

/** Headers that messages of an atomic batch are stored with (ADR-50 of NATS); `commit` has the last one alone. */
export const batchHeaders = {
  id: 'Nats-Batch-Id',
  sequence: 'Nats-Batch-Sequence',
  commit: 'Nats-Batch-Commit',
} as const;

export interface Append {
  readonly subject: string;
  readonly body: Uint8Array | string;
  /** `Nats-Msg-Id`: the commit's or command's id. An optimisation of the server, never the truth. */
  readonly id: string;
  /** Position of the last message on exactly this subject, 0 for none: the guard. Left out: unguarded. */
  readonly expectedLast?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * `conflict`: the guard did not hold (JetStream errors 10071, 10164), nothing was stored.
 * `unknown`: no answer came (timeout, no responder, disconnect); it may be stored or not, so read what is new and look for the id.
 */
export type Appended =
  | { readonly kind: 'appended'; readonly position: number }
  | { readonly kind: 'conflict' }
  | { readonly kind: 'unknown'; readonly cause: string };

/** `positions`: of each message, contiguous and in the order given. What `conflict` and `unknown` say holds for all of them. */
export type AppendedAll =
  | { readonly kind: 'appended'; readonly positions: readonly number[] }
  | Exclude<Appended, { readonly kind: 'appended' }>;

export interface ReadOptions {
  /** First position to deliver, 1 = from the opening. */
  readonly from: number;
  /** Subject filters (NATS wildcards); all subjects when left out. */
  readonly subjects?: readonly string[];
  /**
   * The last position that is wanted. A server is asked for nothing behind it; what is handed out behind it all the same is the caller's to
   * pass over.
   */
  readonly until?: number;
  /** How many messages the server may send ahead of what is handed out: for a read that will soon be stopped. Some thousand when left out. */
  readonly ahead?: number;
}

/** A running read: never skips, never repeats, never reorders; survives reconnects and server restarts. */
export interface Reader {
  /** Resolves when all that was stored at the start of the read, or all that is wanted of it, has been delivered. */
  readonly caughtUp: Promise<void>;
  /** Resolves at `stop()`; rejects when the callback threw or the stream is gone for good. */
  readonly closed: Promise<void>;
  stop(): Promise<void>;
}

export interface Stream {
  readonly name: string;
  append(message: Append): Promise<Appended>;
  /** All or nothing. At least one message, at most one on each subject and 1,000 in all, each with an id that was never used. */
  appendAll(messages: readonly Append[]): Promise<AppendedAll>;
  /** `onMessage` is synchronous; what it throws ends the read. */
  read(options: ReadOptions, onMessage: (message: Message) => void): Reader;
  /** The first position that it holds; last + 1 when empty. */
  first(): Promise<number>;
  /** The last position, 0 when empty. */
  last(): Promise<number>;
  /** The last message on exactly this subject, or null. */
  lastOn(subject: string): Promise<Message | null>;
  get(position: number): Promise<Message | null>;
  /** Position of the first message recorded at or after this time; last + 1 when there is none. */
  positionAt(timeMs: number): Promise<number>;
}

/** A stream that does some things in another way, and everything else as the one behind it. */
export const inFrontOf = (stream: Stream, other: Partial<Omit<Stream, 'name'>>): Stream => ({
  name: stream.name,
  append: (message) => stream.append(message),
  appendAll: (messages) => stream.appendAll(messages),
  read: (options, onMessage) => stream.read(options, onMessage),
  first: () => stream.first(),
  last: () => stream.last(),
  lastOn: (subject) => stream.lastOn(subject),
  get: (position) => stream.get(position),
  positionAt: (timeMs) => stream.positionAt(timeMs),
  ...other,
});
