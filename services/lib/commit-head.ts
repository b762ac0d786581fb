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

/** The same without its message. A header's value may be a view of the text of all headers, so the id is copied. */
const settled = (head: CommitHead): CommitHead =>
  head instanceof StoredHead ? { position: head.position, id: Buffer.from(head.id).toString(), hash: head.hash } : head;

export interface HeadBearer {
  head: CommitHead | null;
  outcomeHead: CommitHead | null;
}

/** Messages between two looks at the heads: by then the next commit has replaced those of whoever is busy. */
const LOOK_EVERY = 1_024;

/**
 * Which heads still hold their message, with its events and the memory of the network read that it came in. Of most nobody asks for the hash before
 * they are replaced, so it is made only of those that no commit has followed for some time: there is one for each host and each network that ever was.
 */
export class YoungHeads {
  readonly #bearers = new Set<HeadBearer>();
  #untilLook = LOOK_EVERY;
  /** Of the log, at the last look. */
  #lookedAt = 0;

  /** A bearer's head is about to change. @param position that all other heads are at, or before */
  note(bearer: HeadBearer, position: number): void {
    if (--this.#untilLook === 0) this.#look(position);
    this.#bearers.add(bearer);
  }

  #look(position: number): void {
    const before = this.#lookedAt;
    for (const bearer of this.#bearers) {
      const { head, outcomeHead } = bearer;
      const isOld = head === null || head.position <= before;
      const isOutcomeOld = outcomeHead === null || outcomeHead.position <= before;
      if (head && isOld) bearer.head = settled(head);
      if (outcomeHead && isOutcomeOld) bearer.outcomeHead = settled(outcomeHead);
      if (isOld && isOutcomeOld) this.#bearers.delete(bearer);
    }
    this.#lookedAt = position;
    this.#untilLook = LOOK_EVERY;
  }
}
