/**
 * Refusals that would flood the log if each were recorded: those by rate, and those by quota beyond a few a second. They are summed by
 * actor and second into one event, and answered once that is stored, so that no answer is given that the log does not know.
 */
import type { Fact } from '../../events/events.ts';
import type { Refusal } from '../../events/refusals.ts';
import type { Message } from '../lib/stream.ts';
import type { Intake } from './intake.ts';
import { senderOf } from './intake.ts';

/** Refusals of an actor that are recorded one by one in a second; more are summed. Design value. */
const singleMax = 10;
const windowMs = 1_000;
/** Sums are written before their second is over when they are as large as this. */
const sumMax = 1_000;
/** So many are recorded in one commit: some 200 KiB. What is left is due at once. */
const sumsAtOnceMax = 256;
/** Beyond so many, actors of whom nothing was refused for a second are forgotten. */
const rememberedMax = 1_024;
/** Refused commands whose answers wait in memory at most; beyond it no command is read. */
export const unansweredMax = 8_192;

/** Who is told, and of what: all that is kept of a refused command. */
export type Sender = Pick<Intake, 'sequence' | 'actor' | 'id' | 'correlationid' | 'type'>;

export interface Sum {
  readonly actor: string;
  readonly refusal: Refusal;
  readonly senders: Sender[];
}

interface Second {
  /** When it began, on the monotonic clock. */
  readonly sinceMs: number;
  single: number;
}

export class Refusals {
  readonly #sums = new Map<string, Sum>();
  /** When something of an actor was summed last, by actor and code. */
  readonly #writtenMs = new Map<string, number>();
  readonly #seconds = new Map<string, Second>();
  #unanswered = 0;

  get isFull(): boolean {
    return this.#unanswered >= unansweredMax;
  }

  /** Position of the oldest command that is refused and not recorded; infinite where there is none. */
  get oldest(): number {
    let oldest = Number.POSITIVE_INFINITY;
    for (const { senders } of this.#sums.values())
      for (const { sequence } of senders) oldest = Math.min(oldest, sequence);
    return oldest;
  }

  /** Whether another refusal of this actor may be recorded by itself in this second. */
  mayRecord(actor: string, nowMs: number): boolean {
    const known = this.#seconds.get(actor);
    if (this.#seconds.size > rememberedMax) this.#forget(nowMs);
    const second = known && nowMs - known.sinceMs < windowMs ? known : { sinceMs: nowMs, single: 0 };
    second.single += 1;
    this.#seconds.set(actor, second);
    return second.single <= singleMax;
  }

  /** A message of which only the sender is looked at. @returns as `add` */
  refuse(message: Message, actor: string, refusal: Refusal): boolean {
    return this.add(senderOf(message, actor), refusal);
  }

  /** @returns whether a sum is due sooner than it was: a new one, and one that has become large */
  add(sender: Sender, refusal: Refusal): boolean {
    const key = `${sender.actor} ${refusal.code}`;
    const sum = this.#sums.get(key);
    if (sum) sum.senders.push(sender);
    else this.#sums.set(key, { actor: sender.actor, refusal, senders: [sender] });
    this.#unanswered += 1;
    return sum === undefined || sum.senders.length === sumMax;
  }

  /** Sums that are to be recorded now: the first of an actor at once, others when a second has gone by, or when they are large. */
  due(nowMs: number): readonly Sum[] {
    const due = [...this.#sums].flatMap(([key, sum]) => (this.#waitMs(key, sum, nowMs) <= 0 ? [sum] : []));
    return due.slice(0, sumsAtOnceMax);
  }

  /** How long until one is due; null: there is none. */
  pauseMs(nowMs: number): number | null {
    if (this.#sums.size === 0) return null;
    return Math.max(1, Math.min(...[...this.#sums].map(([key, sum]) => this.#waitMs(key, sum, nowMs))));
  }

  /** A sum is on the log, and answered; what has come to it since stays. @param count how many of its senders */
  recorded({ actor, refusal }: Sum, count: number, nowMs: number): void {
    const key = `${actor} ${refusal.code}`;
    const sum = this.#sums.get(key);
    if (this.#writtenMs.size > rememberedMax) this.#forget(nowMs);
    this.#writtenMs.set(key, nowMs);
    this.#unanswered -= count;
    if (!sum) return;
    this.#sums.delete(key);
    const left = sum.senders.slice(count);
    if (left.length > 0) this.#sums.set(key, { ...sum, senders: left });
  }

  #waitMs(key: string, { senders }: Sum, nowMs: number): number {
    if (senders.length >= sumMax) return 0;
    return (this.#writtenMs.get(key) ?? Number.NEGATIVE_INFINITY) + windowMs - nowMs;
  }

  /** What is over tells nothing any more. */
  #forget(nowMs: number): void {
    for (const [actor, { sinceMs }] of this.#seconds) if (nowMs - sinceMs >= windowMs) this.#seconds.delete(actor);
    for (const [key, writtenMs] of this.#writtenMs) if (nowMs - writtenMs >= windowMs) this.#writtenMs.delete(key);
  }
}

/** What the log says of a sum. */
export const factOf = ({ actor, refusal: { code, detail } }: Sum, senders: readonly Sender[]): Fact => {
  const sequences = senders.map(({ sequence }) => sequence);
  const [first, last] = [Math.min(...sequences), Math.max(...sequences)];
  return { type: 'CommandsRefused', data: { actor, code, detail, count: senders.length, first, last } };
};
