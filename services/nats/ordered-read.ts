/**
 * One running read of a stream. It holds a consumer on the server and, whenever anything looks odd, replaces it by a new one that starts
 * behind the last position handed out; so nothing is skipped or repeated, whatever happens to connection, server or consumer.
 *
 * Why not the library's ordered consumer (3.4.0): after a lost connection it goes on with the old consumer, and a message that was lost on
 * the wire is noticed only when the next one comes. The last event before a quiet time stayed unseen for as long as we watched
 * (test/integration/nats-crash.test.ts is that case). Ours is also a little quicker, as it decodes less for each message.
 *
 * A server may come back with an older copy of the stream. A consumer that is asked to start beyond the end starts at the end, so reading on
 * would pass over whatever is written in place of what was lost; therefore each new consumer is preceded by a look whether the stream still
 * holds the last message that was handed out, and the read ends where it does not.
 */
import { JetStreamApiError, type JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Logger } from 'pino';
import type { Clock } from '../lib/clock.ts';
import type { Message, Reader, ReadOptions } from '../lib/stream.ts';
import { describeError, isDenied, NatsFault } from './fault.ts';
import { linkOf } from './link.ts';
import { HEARTBEAT_MS, PullSession } from './pull-session.ts';
import { isStillThere, regressed } from './regressed.ts';

/** Two heartbeats without a word: the consumer, its leader or the way to it is gone. */
const SILENT_HEARTBEATS_MAX = 2;
const BACKOFF_FIRST_MS = 50;
const BACKOFF_MOST_MS = 2_000;
/** In a cluster a stream may be missing for a moment while a leader is chosen; after so many answers in a row it is gone. */
const NOT_FOUND_MAX = 5;
/** How long `stop` waits for the server to remove the consumer, which it would do by itself later. */
const STOP_WAIT_MS = 1_000;

const NO_SUCH_STREAM = 10059;

export interface OrderedReadDeps {
  readonly connection: NatsConnection;
  readonly manager: Promise<JetStreamManager>;
  readonly clock: Clock;
  readonly log: Logger | undefined;
}

export class OrderedRead implements Reader {
  readonly caughtUp: Promise<void>;
  readonly closed: Promise<void>;
  private readonly caughtUpWith = Promise.withResolvers<void>();
  private readonly closedWith = Promise.withResolvers<void>();
  private readonly deps: OrderedReadDeps;
  private readonly stream: string;
  private readonly options: ReadOptions;
  private readonly onMessage: (message: Message) => void;
  private readonly releaseLink: () => void;
  private session: PullSession | undefined;
  private stopped = false;
  /** Everything before this position has been handed out or was not asked for. */
  private next: number;
  /** The last message that came: what follows is behind it as long as the stream holds it. */
  private last: Message | null = null;
  /** How many messages are to come until all that was stored at the start has come; undefined before the first consumer answered. */
  private remaining: number | undefined;
  private failures = 0;
  private notFound = 0;
  private silentHeartbeats = 0;
  private cancelWatch: () => void = () => {};
  private cancelRetry: () => void = () => {};

  constructor(deps: OrderedReadDeps, stream: string, options: ReadOptions, onMessage: (message: Message) => void) {
    this.deps = deps;
    this.stream = stream;
    this.options = options;
    this.onMessage = onMessage;
    this.next = Math.max(1, options.from);
    this.caughtUp = this.caughtUpWith.promise;
    this.closed = this.closedWith.promise;
    // who does not wait for it must not crash of it; `closed` on the other hand has to be looked at
    this.caughtUp.catch(() => {});
    this.releaseLink = linkOf(deps.connection).watch({
      restored: () => this.renew('the connection was lost', 0),
      closed: () => this.fail(new NatsFault('CONNECTION_CLOSED', `reading ${stream}: the connection was closed`)),
    });
    if (this.isDone) this.caughtUpWith.resolve();
    else {
      this.watch();
      void this.open();
    }
  }

  /** Nothing more is wanted. */
  private get isDone(): boolean {
    return this.next > (this.options.until ?? Number.POSITIVE_INFINITY);
  }

  async stop(): Promise<void> {
    const session = this.session;
    const reason = new NatsFault('READ_STOPPED', `reading ${this.stream} was stopped before it had caught up`);
    if (!this.end(reason)) return;
    if (session !== undefined) {
      const waited = Promise.withResolvers<void>();
      const cancel = this.deps.clock.after(STOP_WAIT_MS, waited.resolve);
      await Promise.race([this.discard(session), waited.promise]);
      cancel();
    }
    this.closedWith.resolve();
  }

  private fail(reason: unknown): void {
    const session = this.session;
    if (!this.end(reason)) return;
    if (session !== undefined) void this.discard(session);
    this.closedWith.reject(reason);
  }

  private end(reason: unknown): boolean {
    if (this.stopped) return false;
    this.stopped = true;
    this.session?.end();
    this.session = undefined;
    this.releaseLink();
    this.cancelWatch();
    this.cancelRetry();
    this.caughtUpWith.reject(reason);
    return true;
  }

  private async open(): Promise<void> {
    const { connection, manager, clock } = this.deps;
    const session = new PullSession(connection, this.stream, `read_${clock.randomId()}`, {
      message: (message) => this.deliver(message),
      idle: () => {
        this.failures = 0;
      },
      broken: (reason, odd) => this.renew(reason, odd ? this.backoffMs() : 0),
      refused: (error) => this.fail(this.fault('NOT_PERMITTED', error)),
    });
    this.session = session;
    try {
      if (this.last !== null && !(await isStillThere(await manager, this.stream, this.last))) {
        this.fail(regressed(this.stream, this.last));
        return;
      }
      const pending = await session.open(await manager, { ...this.options, from: this.next });
      if (this.session !== session) return;
      this.notFound = 0;
      this.remaining ??= pending;
      if (pending === 0) this.caughtUpWith.resolve();
    } catch (error) {
      if (this.session === session) this.openFailed(error);
    }
  }

  private openFailed(error: unknown): void {
    if (isDenied(error)) {
      this.fail(this.fault('NOT_PERMITTED', error));
      return;
    }
    if (error instanceof JetStreamApiError && error.status < 500) {
      const missing = error.code === NO_SUCH_STREAM;
      if (!missing || ++this.notFound >= NOT_FOUND_MAX) {
        this.fail(this.fault(missing ? 'STREAM_NOT_FOUND' : 'SERVER_REFUSED', error));
        return;
      }
    }
    this.renew(describeError(error), this.backoffMs());
  }

  private fault(code: 'STREAM_NOT_FOUND' | 'SERVER_REFUSED' | 'NOT_PERMITTED', error: unknown): NatsFault {
    return new NatsFault(code, `reading ${this.stream}: ${describeError(error)}`, { cause: error });
  }

  private backoffMs(): number {
    return Math.min(BACKOFF_MOST_MS, BACKOFF_FIRST_MS * 2 ** Math.min(this.failures++, 10));
  }

  private deliver(message: Message): void {
    // a consumer that was asked to start beyond the end starts at the end
    if (message.position >= this.next) {
      this.next = message.position + 1;
      this.last = message;
      try {
        this.onMessage(message);
      } catch (thrown) {
        this.fail(thrown);
        return;
      }
    }
    if (this.remaining !== undefined && this.remaining > 0) this.remaining--;
    if (this.isDone || this.remaining === 0 || message.pending === 0) this.caughtUpWith.resolve();
    // Nothing more was asked for, so silence is no sign of trouble.
    if (this.isDone) this.cancelWatch();
  }

  /** Drops the consumer and reads on with a new one behind the last position handed out. */
  private renew(reason: string, delayMs: number): void {
    if (this.stopped || this.isDone) return;
    this.deps.log?.debug({ stream: this.stream, next: this.next, reason, delayMs }, 'reading on with a new consumer');
    if (this.session !== undefined) void this.discard(this.session);
    this.session = undefined;
    this.cancelRetry();
    if (delayMs === 0) void this.open();
    else this.cancelRetry = this.deps.clock.after(delayMs, () => void this.open());
  }

  private async discard(session: PullSession): Promise<void> {
    session.end();
    await session.remove(await this.deps.manager);
  }

  private watch(): void {
    this.cancelWatch = this.deps.clock.after(HEARTBEAT_MS, () => {
      this.silentHeartbeats = (this.session?.wasHeard() ?? true) ? 0 : this.silentHeartbeats + 1;
      if (this.silentHeartbeats >= SILENT_HEARTBEATS_MAX) {
        this.silentHeartbeats = 0;
        this.renew('silence', 0);
      }
      this.watch();
    });
  }
}
