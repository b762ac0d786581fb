/** A lease with one holder at a time, kept on a stream: who is the active controller, collector and so on. */
import { z } from 'zod';
import { type Clock, systemClock } from '../lib/clock.ts';
import type { Message, Reader, Stream } from '../lib/stream.ts';
import { describeError } from './fault.ts';

export interface LeaseHandlers {
  /** We hold it from now on. `term` counts holders of this lease, from 1: a later one is always larger. */
  readonly onAcquired: (term: number) => void;
  /** We do not hold it any more and must stop acting; we go on trying to get it again. */
  readonly onLost: (reason: string) => void;
  /** Somebody else gave a sign of life while we took part: acquired it, or renewed it. */
  readonly onOther?: (holder: string) => void;
}

export interface LeaseOptions {
  readonly clock?: Clock;
  /** How often the holder renews, milliseconds. */
  readonly renewMs?: number;
  /** After how long without a renewal others take over, milliseconds, by their own monotonic clocks. */
  readonly takeoverMs?: number;
  /** Whether a holder is dead for sure; then it is replaced at once. What it appended late is no sign of life. */
  readonly isDead?: (holder: string) => boolean;
}

export interface Lease {
  /** Whether we hold it at this moment; false as soon as our last renewal is too old, even before `onLost` could run. */
  held(): boolean;
  /** Resolves at `stop()`; rejects when the stream can be neither read nor appended to any more. */
  readonly closed: Promise<void>;
  /** Lets it go, so that the next one takes it at once. `onLost` is not called: who stops has stopped acting before. */
  stop(): Promise<void>;
}

const RENEW_MS = 2_000;
const TAKEOVER_MS = 6_000;
/** The holder gives up this part of the takeover time after its last renewal was sent, before anybody may take over. */
const VALID_PART = 0.75;
/** How soon an append that nobody answered is tried again, as a part of the renewal time. */
const RETRY_PART = 0.25;

const Body = z.object({ holder: z.string(), term: z.number().int(), released: z.boolean().optional() });

/** The last message of the lease's subject. */
interface Seen {
  readonly position: number;
  readonly holder: string;
  readonly term: number;
  readonly released: boolean;
  /** When we saw it, by our monotonic clock: wall clocks of others are never compared. */
  readonly seenMs: number;
}

/** How many appends without an answer are remembered as ours; they come at most every quarter of the renewal time. */
const UNANSWERED_MAX = 64;

/** An append of ours, by the id it was sent with. */
interface Attempt {
  readonly term: number;
  readonly startedMs: number;
}

/**
 * Takes part in the lease `name` on subject `cnm.lease.<name>` until stopped. `holder` must be of this process alone (host, pid, random):
 * a restarted process is another holder.
 *
 * Every message is appended under the guard of the one before, so of two takers one wins. The holder is safe to act for three quarters of
 * `takeoverMs` after the sending of its last acknowledged renewal; others wait all of it from when they saw that renewal, which is later.
 * A process that stands still in between (SIGSTOP) may act for a moment without holding it: the guards of what it does make that harmless.
 */
export const lease = (
  stream: Stream,
  name: string,
  holder: string,
  handlers: LeaseHandlers,
  options: LeaseOptions = {},
): Lease => new Candidate(stream, `cnm.lease.${name}`, holder, handlers, options);

class Candidate implements Lease {
  readonly closed: Promise<void>;
  private readonly closedWith = Promise.withResolvers<void>();
  private readonly stream: Stream;
  private readonly subject: string;
  private readonly holder: string;
  private readonly handlers: LeaseHandlers;
  private readonly clock: Clock;
  private readonly renewMs: number;
  private readonly takeoverMs: number;
  private readonly isDead: (holder: string) => boolean;
  private readonly reader: Reader;
  private seen: Seen | undefined;
  /** Under way, or without an answer so far: they may turn up in the stream yet. */
  private readonly attempts = new Map<string, Attempt>();
  private holding = false;
  private validUntilMs = 0;
  private appending: Promise<void> | undefined;
  private ready = false;
  private stopped = false;
  private cancelTimer: () => void = () => {};
  private cancelExpiry: () => void = () => {};

  constructor(stream: Stream, subject: string, holder: string, handlers: LeaseHandlers, options: LeaseOptions) {
    this.stream = stream;
    this.subject = subject;
    this.holder = holder;
    this.handlers = handlers;
    this.clock = options.clock ?? systemClock;
    this.renewMs = options.renewMs ?? RENEW_MS;
    this.takeoverMs = options.takeoverMs ?? TAKEOVER_MS;
    this.isDead = options.isDead ?? (() => false);
    this.closed = this.closedWith.promise;
    this.reader = stream.read({ from: 1, subjects: [subject] }, (message) => this.see(message));
    this.reader.closed.catch((error) => this.fail(error));
    this.reader.caughtUp.then(
      () => {
        this.ready = true;
        this.schedule(0);
      },
      () => {},
    );
  }

  held(): boolean {
    return this.holding && this.clock.monotonicMs() < this.validUntilMs;
  }

  async stop(): Promise<void> {
    if (this.stopped) return this.closed;
    this.stopped = true;
    this.cancelTimer();
    this.cancelExpiry();
    await this.appending;
    if (this.holding && this.seen !== undefined) {
      this.holding = false;
      const { term, position } = this.seen;
      const body = JSON.stringify({ holder: this.holder, term, released: true });
      // when this fails the others wait for the takeover time
      const released = this.stream.append({
        subject: this.subject,
        body,
        id: this.clock.randomId(),
        expectedLast: position,
      });
      await released.catch(() => {});
    }
    await this.reader.stop();
    this.closedWith.resolve();
  }

  private see(message: Message): void {
    const body = Body.parse(JSON.parse(new TextDecoder().decode(message.body)));
    const id = message.header('Nats-Msg-Id');
    if (message.position <= (this.seen?.position ?? 0)) return;
    const mine = this.attempts.get(id);
    const { holder, term, released = false } = body;
    this.seen = { holder, term, released, position: message.position, seenMs: this.clock.monotonicMs() };
    // ours, and its answer is still on the way or was lost
    if (mine !== undefined) this.confirm(mine);
    else {
      if (this.holding) this.lose(`${holder} took it over`);
      // what was there before we came may be of any age
      if (this.ready && !released && !this.isDead(holder)) this.handlers.onOther?.(holder);
    }
    this.schedule(this.dueInMs());
  }

  private confirm(attempt: Attempt): void {
    for (const [id, { startedMs }] of this.attempts) if (startedMs <= attempt.startedMs) this.attempts.delete(id);
    this.validUntilMs = attempt.startedMs + this.takeoverMs * VALID_PART;
    const leftMs = this.validUntilMs - this.clock.monotonicMs();
    this.cancelExpiry();
    if (this.stopped) return;
    this.cancelExpiry = this.clock.after(Math.max(0, leftMs), () => this.lose('no renewal was acknowledged in time'));
    if (this.holding || leftMs <= 0) return;
    this.holding = true;
    this.handlers.onAcquired(attempt.term);
  }

  private lose(reason: string): void {
    if (!this.holding) return;
    this.holding = false;
    this.cancelExpiry();
    this.handlers.onLost(reason);
  }

  private fail(error: unknown): void {
    if (this.stopped) return;
    this.stopped = true;
    this.cancelTimer();
    this.lose(describeError(error));
    this.closedWith.reject(error);
    void this.reader.stop();
  }

  /** In how many milliseconds there is something to do: renew, or take what nobody renews. */
  private dueInMs(): number {
    const nowMs = this.clock.monotonicMs();
    if (this.holding) return Math.max(0, this.validUntilMs - this.takeoverMs * VALID_PART + this.renewMs - nowMs);
    if (this.seen === undefined || this.seen.released || this.isDead(this.seen.holder)) return 0;
    return Math.max(0, this.seen.seenMs + this.takeoverMs - nowMs);
  }

  private schedule(delayMs: number): void {
    if (this.stopped || !this.ready) return;
    this.cancelTimer();
    this.cancelTimer = this.clock.after(delayMs, () => this.act());
  }

  private act(): void {
    if (this.stopped || this.appending !== undefined) return;
    const dueMs = this.dueInMs();
    if (dueMs > 0) {
      this.schedule(dueMs);
      return;
    }
    this.appending = this.write()
      .then((delayMs) => {
        this.appending = undefined;
        this.schedule(delayMs);
      })
      .catch((error) => this.fail(error));
  }

  /** One append, a renewal or a takeover; answers in how many milliseconds to look again. */
  private async write(): Promise<number> {
    const term = this.holding ? (this.seen?.term ?? 1) : (this.seen?.term ?? 0) + 1;
    const id = this.clock.randomId();
    const attempt = { term, startedMs: this.clock.monotonicMs() };
    if (this.attempts.size >= UNANSWERED_MAX) this.attempts.clear();
    this.attempts.set(id, attempt);
    const { subject, holder } = this;
    const body = JSON.stringify({ holder, term });
    const answer = await this.stream.append({ subject, body, id, expectedLast: this.seen?.position ?? 0 });
    if (answer.kind === 'unknown') return this.renewMs * RETRY_PART;
    if (answer.kind === 'conflict') {
      this.attempts.delete(id);
      return this.lookAgain();
    }
    if (answer.position > (this.seen?.position ?? 0)) {
      this.seen = { holder, term, released: false, position: answer.position, seenMs: attempt.startedMs };
      this.confirm(attempt);
    }
    return this.dueInMs();
  }

  /** Somebody appended before us: another candidate, or an append of ours that had no answer. The stream itself says which. */
  private async lookAgain(): Promise<number> {
    const message = await this.stream.lastOn(this.subject);
    if (message !== null) this.see(message);
    return Math.max(this.dueInMs(), this.renewMs * RETRY_PART);
  }
}
