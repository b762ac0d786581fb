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

  /** Made when it is asked for: of most commits nobody does. */
  get hash(): string {
    return chainHash(this.#message);
  }
}

export const headOf = (message: Message): CommitHead => new StoredHead(message);

/** From before the segment. */
export const headBefore = (hash: string): CommitHead => ({ position: 0, id: '', hash });
