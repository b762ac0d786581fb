/** What a sandbox's UDP and TCP sockets have in common. */

/** Answers one message: a reply, later or at once, or null where there is nothing to answer. */
export type Responder = (message: Buffer) => Buffer | null | Promise<Buffer | null>;

/** An open socket. */
export interface Listener {
  /** Resolves when the descriptor is closed, and those of its connections. */
  close(): Promise<void>;
}
