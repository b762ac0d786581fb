/**
 * One running read of a stream: an ordered pull consumer of our own. It is an ephemeral consumer without acknowledgements that is
 * replaced by a new one, starting behind the last position handed out, whenever anything looks odd; so nothing is skipped or repeated.
 *
 * Why not the library's ordered consumer: after a lost connection it goes on with the old consumer and notices messages that were
 * lost on the wire only when the next one comes, so the last event before a quiet time can stay unseen (shown by
 * test/integration/nats-lost-tail.test.ts); and it decodes every message three times over (bench: see docs).
 */
import {
  AckPolicy,
  type ConsumerConfig,
  DeliverPolicy,
  JetStreamApiError,
  type JetStreamManager,
} from '@nats-io/jetstream';
import { type Msg, type NatsConnection, nanos, type Subscription } from '@nats-io/transport-node';
import type { Logger } from 'pino';
import type { Clock } from '../lib/clock.ts';
import type { Message, Reader, ReadOptions } from '../lib/stream.ts';
import { describeError, NatsFault } from './fault.ts';
import { linkOf, newInbox } from './link.ts';
import { ackPrefixLength, DeliveredMessage } from './stored-message.ts';

/** How many messages the server may send ahead; a new request goes out when a quarter of them is left. */
const WINDOW_MESSAGES = 2_000;
const REFILL_MESSAGES = WINDOW_MESSAGES / 4;
/** The server drops a client that has 64 MiB unread, so one request never asks for that much. */
const WINDOW_BYTES = 16 * 1024 * 1024;
/** A request lives this long; the server then answers that it is over and gets a new one. A lost leader is noticed within it. */
const EXPIRES_MS = 5_000;
/** The server's sign of life while it has nothing to send: half of the request's life is the most it accepts. */
const HEARTBEAT_MS = EXPIRES_MS / 2;
const SILENT_HEARTBEATS_MAX = 2;
/** An abandoned consumer is removed by the server after this long without a request. */
const INACTIVE_MS = 60_000;
const BACKOFF_FIRST_MS = 50;
const BACKOFF_MOST_MS = 2_000;
/** In a cluster a stream may be missing for a moment while a leader is chosen; after so many answers in a row it is gone. */
const NOT_FOUND_MAX = 5;
const STOP_WAIT_MS = 1_000;

const NO_SUCH_STREAM = 10059;

export interface OrderedReadDeps {
  readonly connection: NatsConnection;
  readonly manager: Promise<JetStreamManager>;
  readonly clock: Clock;
  readonly log: Logger | undefined;
}

/** One consumer on the server and what we know of it. */
interface Session {
  readonly name: string;
  readonly inbox: string;
  subscription: Subscription | undefined;
  prefixLength: number;
  delivered: number;
  outstanding: number;
}

export class OrderedRead implements Reader {
  readonly caughtUp: Promise<void>;
  readonly closed: Promise<void>;
  private readonly deps: OrderedReadDeps;
  private readonly stream: string;
  private readonly options: ReadOptions;
  private readonly onMessage: (message: Message) => void;
  private readonly resolveCaughtUp: () => void;
  private readonly rejectCaughtUp: (reason: unknown) => void;
  private readonly resolveClosed: () => void;
  private readonly rejectClosed: (reason: unknown) => void;
  private readonly releaseConnection: () => void;
  private session: Session | undefined;
  private stopped = false;
  /** Everything before this position has been handed out or was not asked for. */
  private next: number;
  /** How many messages are still to come until all that was stored at the start has come; -1 before the first consumer answered. */
  private remaining = -1;
  private failures = 0;
  private notFound = 0;
  private heard = false;
  private silentHeartbeats = 0;
  private cancelWatch: () => void = () => {};
  private cancelRetry: () => void = () => {};

  constructor(deps: OrderedReadDeps, stream: string, options: ReadOptions, onMessage: (message: Message) => void) {
    this.deps = deps;
    this.stream = stream;
    this.options = options;
    this.onMessage = onMessage;
    this.next = Math.max(1, options.from);
    const caughtUp = Promise.withResolvers<void>();
    const closed = Promise.withResolvers<void>();
    this.caughtUp = caughtUp.promise;
    this.closed = closed.promise;
    this.resolveCaughtUp = caughtUp.resolve;
    this.rejectCaughtUp = caughtUp.reject;
    this.resolveClosed = closed.resolve;
    this.rejectClosed = closed.reject;
    // who does not wait for it must not crash of it; `closed` on the other hand has to be looked at
    this.caughtUp.catch(() => {});
    this.releaseConnection = linkOf(deps.connection).watch({
      restored: () => this.renew('reconnected', 0),
      closed: () => this.fail(new NatsFault('CONNECTION_CLOSED', `reading ${stream}: the connection was closed`)),
    });
    this.watch();
    void this.open();
  }

  async stop(): Promise<void> {
    const session = this.session;
    if (!this.end()) return;
    this.rejectCaughtUp(new NatsFault('READ_STOPPED', `reading ${this.stream} was stopped before it had caught up`));
    if (session?.subscription !== undefined && !this.deps.connection.isClosed()) {
      const waited = Promise.withResolvers<void>();
      const cancel = this.deps.clock.after(STOP_WAIT_MS, waited.resolve);
      await Promise.race([this.discard(session), waited.promise]);
      cancel();
    }
    this.resolveClosed();
  }

  private fail(reason: unknown): void {
    const session = this.session;
    if (!this.end()) return;
    if (session !== undefined) void this.discard(session);
    this.rejectCaughtUp(reason);
    this.rejectClosed(reason);
  }

  private end(): boolean {
    if (this.stopped) return false;
    this.stopped = true;
    this.session?.subscription?.unsubscribe();
    this.session = undefined;
    this.releaseConnection();
    this.cancelWatch();
    this.cancelRetry();
    return true;
  }

  private async open(): Promise<void> {
    const { connection, clock } = this.deps;
    const name = `read_${clock.randomId()}`;
    const inbox = newInbox(connection);
    const session: Session = { name, inbox, subscription: undefined, prefixLength: 0, delivered: 0, outstanding: 0 };
    this.session = session;
    try {
      const info = await (await this.deps.manager).consumers.add(this.stream, this.consumerConfig(name));
      if (this.session !== session) return void this.discard(session);
      session.subscription = connection.subscribe(session.inbox, {
        callback: (error, msg) => this.receive(session, error, msg),
      });
      this.notFound = 0;
      this.heard = true;
      if (this.remaining < 0) this.remaining = info.num_pending;
      if (info.num_pending === 0) this.resolveCaughtUp();
      this.pull(session);
    } catch (error) {
      if (this.session === session) this.failedToOpen(error);
    }
  }

  private consumerConfig(name: string): Partial<ConsumerConfig> & { name: string } {
    const subjects = this.options.subjects ?? [];
    return {
      name,
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: this.next,
      ack_policy: AckPolicy.None,
      mem_storage: true,
      num_replicas: 1,
      inactive_threshold: nanos(INACTIVE_MS),
      ...(subjects.length === 1 && subjects[0] !== undefined ? { filter_subject: subjects[0] } : {}),
      ...(subjects.length > 1 ? { filter_subjects: [...subjects] } : {}),
    };
  }

  private failedToOpen(error: unknown): void {
    if (error instanceof JetStreamApiError && error.status < 500) {
      const missing = error.code === NO_SUCH_STREAM;
      if (!missing || ++this.notFound >= NOT_FOUND_MAX) {
        const message = `reading ${this.stream}: ${error.message}`;
        this.fail(new NatsFault(missing ? 'STREAM_NOT_FOUND' : 'SERVER_REFUSED', message, { cause: error }));
        return;
      }
    }
    this.renew(describeError(error), this.backoffMs());
  }

  private backoffMs(): number {
    return Math.min(BACKOFF_MOST_MS, BACKOFF_FIRST_MS * 2 ** Math.min(this.failures++, 10));
  }

  /** Drops the consumer and reads on with a new one behind the last position handed out. */
  private renew(reason: string, delayMs: number): void {
    if (this.stopped) return;
    this.deps.log?.debug({ stream: this.stream, next: this.next, reason, delayMs }, 'reading on with a new consumer');
    const session = this.session;
    if (session !== undefined) void this.discard(session);
    this.session = undefined;
    this.cancelRetry();
    if (delayMs === 0) void this.open();
    else this.cancelRetry = this.deps.clock.after(delayMs, () => void this.open());
  }

  private async discard(session: Session): Promise<void> {
    session.subscription?.unsubscribe();
    if (this.deps.connection.isClosed()) return;
    try {
      await (await this.deps.manager).consumers.delete(this.stream, session.name);
    } catch {
      // gone already, or it goes by itself after INACTIVE_MS
    }
  }

  private pull(session: Session): void {
    const batch = WINDOW_MESSAGES - session.outstanding;
    session.outstanding = WINDOW_MESSAGES;
    const request = { batch, max_bytes: WINDOW_BYTES, expires: nanos(EXPIRES_MS), idle_heartbeat: nanos(HEARTBEAT_MS) };
    const subject = `$JS.API.CONSUMER.MSG.NEXT.${this.stream}.${session.name}`;
    try {
      this.deps.connection.publish(subject, JSON.stringify(request), { reply: session.inbox });
    } catch (error) {
      this.fail(
        new NatsFault('CONNECTION_CLOSED', `reading ${this.stream}: ${describeError(error)}`, { cause: error }),
      );
    }
  }

  private receive(session: Session, error: Error | null, msg: Msg): void {
    if (session !== this.session) return;
    if (error !== null) {
      this.fail(new NatsFault('NOT_PERMITTED', `reading ${this.stream}: ${error.message}`, { cause: error }));
      return;
    }
    this.heard = true;
    const reply = msg.reply;
    // what the server says about a request comes to the inbox itself and expects no answer
    if (reply === undefined || reply === '') this.receiveStatus(session, msg);
    else this.receiveMessage(session, msg, reply);
  }

  private receiveMessage(session: Session, msg: Msg, reply: string): void {
    if (session.prefixLength === 0) session.prefixLength = ackPrefixLength(reply);
    if (session.prefixLength < 0) {
      this.fail(new NatsFault('SERVER_REFUSED', `reading ${this.stream}: not a delivery: ${reply}`));
      return;
    }
    const message = new DeliveredMessage(msg, reply, session.prefixLength);
    if (message.delivered !== session.delivered + 1) {
      this.renew(`message ${message.delivered} of the consumer came after ${session.delivered}`, 0);
      return;
    }
    session.delivered = message.delivered;
    session.outstanding--;
    // a consumer asked to start beyond the end starts at the end
    if (message.position >= this.next) {
      this.next = message.position + 1;
      try {
        this.onMessage(message);
      } catch (thrown) {
        this.fail(thrown);
        return;
      }
    }
    if (--this.remaining === 0 || message.pending === 0) this.resolveCaughtUp();
    if (session.outstanding <= REFILL_MESSAGES && session === this.session) this.pull(session);
  }

  private receiveStatus(session: Session, msg: Msg): void {
    const headers = msg.headers;
    const code = headers?.code ?? 0;
    if (code === 100) {
      // sent and not received: lost with a connection, and nothing behind it that would show the gap
      const sent = Number(headers?.get('Nats-Last-Consumer') ?? '');
      if (sent > session.delivered) this.renew(`message ${sent} of the consumer was lost`, 0);
      else this.failures = 0;
      return;
    }
    const left = headers?.get('Nats-Pending-Messages') ?? '';
    if (left !== '' && (code === 408 || code === 409)) {
      // the request is over, by time or by bytes
      session.outstanding -= Number(left);
      if (session.outstanding <= REFILL_MESSAGES) this.pull(session);
      return;
    }
    this.renew(`${code} ${headers?.description ?? ''}`, this.backoffMs());
  }

  /** Two heartbeats without a word: the consumer, its leader or the way to it is gone. */
  private watch(): void {
    this.cancelWatch = this.deps.clock.after(HEARTBEAT_MS, () => {
      this.silentHeartbeats = this.heard ? 0 : this.silentHeartbeats + 1;
      this.heard = false;
      if (this.silentHeartbeats >= SILENT_HEARTBEATS_MAX) {
        this.silentHeartbeats = 0;
        if (this.session?.subscription !== undefined) this.renew('silence', 0);
      }
      this.watch();
    });
  }
}
