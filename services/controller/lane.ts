/** The commands of one actor that wait to be decided, in the order in which they were published. */
import type { Message } from '../lib/stream.ts';
import { Bucket, type Rate } from './bucket.ts';

/**
 * What one actor has in memory at most. What comes behind stays on the stream, and is read again when there is room. `own`: what each may have
 * beside others who have much, as long as there is any room.
 */
export const laneLimits = {
  messagesMax: 1_024,
  bytesMax: 4 * 1024 * 1024,
  own: { messages: 16, bytes: 256 * 1024 },
} as const;

export class Lane {
  /** The actor as it stands in the subject. */
  readonly token: string;
  readonly actor: string;
  /** Of our own services: never limited, never held back. */
  readonly isService: boolean;
  #waiting: Message[] = [];
  #head = 0;
  #bytes = 0;
  /** The first message that is not in memory; null: all that went by are. */
  behindFrom: number | null = null;
  /** The last message that went by while others of its actor were not in memory. */
  passedAt = 0;
  /** The last message that was taken up: it is so once, whoever reads it. */
  through = 0;
  /** When the last one was taken to be decided, on the monotonic clock. */
  takenMs = Number.NEGATIVE_INFINITY;
  /** When the last one was recorded. */
  recordedMs = 0;
  /** It publishes more than its fair rate, and will do so until it has paused as long as it takes to earn half a burst. */
  isFlooding = false;
  readonly #fair = new Bucket();
  readonly #quota = new Bucket();

  constructor(token: string, actor: string, isService: boolean) {
    this.token = token;
    this.actor = actor;
    this.isService = isService;
  }

  get length(): number {
    return this.#waiting.length - this.#head;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Position of the oldest command that is not taken; infinite where there is none. */
  get oldest(): number {
    return this.#waiting[this.#head]?.position ?? this.behindFrom ?? Number.POSITIVE_INFINITY;
  }

  /** Counts a message by when the server stored it: how long it waits for us is no fault of its sender. */
  meter(recordedMs: number, fair: Rate): void {
    this.recordedMs = recordedMs;
    if (!this.#fair.take(recordedMs, fair)) this.isFlooding = !this.isService;
    else if (this.isFlooding) this.isFlooding = this.#fair.fullness(fair) < 0.5;
  }

  /** @returns whether the quota lets another one in that was recorded then */
  admits(recordedMs: number, quota: Rate): boolean {
    return this.isService || this.#quota.take(recordedMs, quota);
  }

  push(message: Message): void {
    this.#waiting.push(message);
    this.#bytes += message.body.length;
  }

  shift(): Message | undefined {
    const message = this.#waiting[this.#head];
    if (message === undefined) return undefined;
    this.#head += 1;
    this.#bytes -= message.body.length;
    if (this.#head > 64 && this.#head * 2 > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#head);
      this.#head = 0;
    }
    return message;
  }
}
