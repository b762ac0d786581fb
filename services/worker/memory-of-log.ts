/** What a worker remembers of the log beyond its own life, and whether the log still holds it. */
import { answered } from '../lib/answered.ts';
import type { Clock } from '../lib/clock.ts';
import { hashOf } from '../lib/commit-head.ts';
import type { Realm } from '../lib/realm.ts';
import type { Message, Stream } from '../lib/stream.ts';
import type { Journal, Mark } from './journal.ts';

/** The log is an older copy, or another log. */
export interface Regress {
  readonly seen: { readonly epoch: string; readonly position: number };
  readonly found: { readonly epoch: string; readonly position: number };
}

/** Commits of others are put down together: so much of what was read last may be unknown after a crash. */
const everyMs = 20;

export interface MemoryOfLogOptions {
  /** Null: nothing is remembered. */
  readonly journal: Journal | null;
  readonly clock: Clock;
}

export class MemoryOfLog {
  readonly #options: MemoryOfLogOptions;
  /** Of the log that is read; empty before its opening. */
  #epoch = '';
  #last: Message | null = null;
  #isLive = false;
  #cancel: (() => void) | null = null;

  constructor(options: MemoryOfLogOptions) {
    this.#options = options;
  }

  opened(epoch: string): void {
    this.#epoch = epoch;
  }

  /** A commit is folded in. `isOwn`: it is a report of this host, which stands for something in the kernel. */
  folded(message: Message, isOwn: boolean): void {
    this.#last = message;
    if (!this.#isLive || this.#options.journal === null) return;
    if (isOwn) this.#write();
    else this.#cancel ??= this.#options.clock.after(everyMs, () => this.#write());
  }

  /**
   * The log is read to its end: whether it holds what was read before. Null: it does, or nothing is known of before. A server that is away
   * meanwhile is waited for: nothing can be done without the answer, and it is no reason to end.
   */
  async compare(log: Stream, realm: Realm): Promise<Regress | null> {
    const mark = this.#options.journal?.read() ?? null;
    if (mark === null || (await this.#isThere(mark, log, realm))) return null;
    const { epoch, position } = mark;
    return {
      seen: { epoch, position },
      found: { epoch: this.#epoch, position: await answered(this.#options.clock, () => log.last()) },
    };
  }

  /** From here on what is read is remembered. */
  live(): void {
    this.#isLive = true;
    this.#write();
  }

  close(): void {
    if (this.#cancel) this.#write();
    this.#isLive = false;
    this.#options.journal?.close();
  }

  async #isThere({ epoch, position, hash }: Mark, log: Stream, { segment }: Realm): Promise<boolean> {
    const message = await answered(this.#options.clock, () => log.get(position));
    if (message !== null) return hashOf(message) === hash;
    // Put away in order, as far as that went.
    return segment !== null && segment.epoch === epoch && position < segment.first && position <= segment.previous.last;
  }

  #write(): void {
    this.#cancel?.();
    this.#cancel = null;
    if (this.#last === null) return;
    const { position } = this.#last;
    this.#options.journal?.write({ epoch: this.#epoch, position, hash: hashOf(this.#last) });
  }
}
