/** The last commit on a subject: what the next one there is guarded by and chained to. */
import { chainHash } from './hash.ts';
import type { Message } from './stream.ts';

export interface CommitHead {
  /** 0: it lies before the segment that the log begins with, where a guard finds nothing. */
  readonly position: number;
  /** Of the commit, as its writer named it; empty for one from before the segment. */
  readonly id: string;
  /** Its `chainHash`. */
  readonly hash: string;
}

/** The `chainHash` of a stored message, made once for all who share the message. */
export const hashOf = (message: Message): string => {
  message.hashed ??= chainHash(message);
  return message.hashed;
};

class StoredHead implements CommitHead {
  readonly #message: Message;

  constructor(message: Message) {
    this.#message = message;
  }

  get position(): number {
    return this.#message.position;
  }

  get id(): string {
    return this.#message.header('Nats-Msg-Id');
  }

  get hash(): string {
    return hashOf(this.#message);
  }
}

export const headOf = (message: Message): CommitHead => new StoredHead(message);

/** From before the segment. */
export const headBefore = (hash: string): CommitHead => ({ position: 0, id: '', hash });
