/** One ephemeral pull consumer on the server, and what was received of it: in order and without gaps, or it ends with the reason. */
import { AckPolicy, type ConsumerConfig, DeliverPolicy, type JetStreamManager } from '@nats-io/jetstream';
import { type Msg, type NatsConnection, nanos, type Subscription } from '@nats-io/transport-node';
import type { ReadOptions } from '../lib/stream.ts';
import { apiPrefixOf, newInbox } from './link.ts';
import { ackPrefixLength, DeliveredMessage } from './stored-message.ts';

/** How many messages the server may send ahead, if nothing else is asked for; a new request goes out when a quarter of them is left. */
const WINDOW_MESSAGES = 2_000;
const REFILL_SHARE = 1 / 4;
/**
 * The server drops a client that has 64 MiB unread, so one request never asks for that much; the next one goes out before its bytes are
 * used up, or the server would stand still until we ask again.
 */
const WINDOW_BYTES = 16 * 1024 * 1024;
const REFILL_BYTES = (WINDOW_BYTES / 4) * 3;
/** A request lives this long; the server then says that it is over, and gets a new one. */
const EXPIRES_MS = 5_000;
/** The server's sign of life while it has nothing to send: half of the request's life is the most it accepts. */
export const HEARTBEAT_MS = EXPIRES_MS / 2;
/** An abandoned consumer is removed by the server after this long without a request. */
const INACTIVE_MS = 60_000;

/** Status codes of JetStream (ADR-13, ADR-37). */
const HEARTBEAT = 100;
const REQUEST_OVER = 408;
const CONFLICT = 409;

export interface SessionHandlers {
  readonly message: (message: DeliveredMessage) => void;
  /** The server has nothing more for us at this moment and we have all it sent. */
  readonly idle: () => void;
  /** The consumer is of no use any more. `odd`: the server said something unexpected, so a new one may fare no better. */
  readonly broken: (reason: string, odd: boolean) => void;
  /** We may not subscribe, or the connection takes nothing more. */
  readonly refused: (error: unknown) => void;
}

export class PullSession {
  private readonly connection: NatsConnection;
  private readonly stream: string;
  private readonly name: string;
  private readonly handlers: SessionHandlers;
  private readonly inbox: string;
  private subscription: Subscription | undefined;
  private ended = false;
  private prefixLength = 0;
  /** How many messages are wanted at most. */
  private wanted = Number.POSITIVE_INFINITY;
  private ahead = WINDOW_MESSAGES;
  private delivered = 0;
  private outstanding = 0;
  /** Of bodies, since the last request. */
  private bytes = 0;
  private heard = true;

  /** `name` must be unique on the stream. */
  constructor(connection: NatsConnection, stream: string, name: string, handlers: SessionHandlers) {
    this.connection = connection;
    this.stream = stream;
    this.name = name;
    this.handlers = handlers;
    this.inbox = newInbox(connection);
  }

  /** Makes the consumer and asks for messages. Answers how many stored ones there are. @throws what the server or the library says */
  async open(manager: JetStreamManager, options: ReadOptions): Promise<number> {
    const { from, until, subjects = [], ahead = WINDOW_MESSAGES } = options;
    this.ahead = ahead;
    // Of some subjects there are fewer: then the last ones are behind it.
    if (until !== undefined) this.wanted = Math.max(0, until - from + 1);
    const info = await manager.consumers.add(this.stream, consumerConfig(this.name, from, subjects));
    if (this.ended) {
      void this.remove(manager);
      return info.num_pending;
    }
    const callback = (error: Error | null, msg: Msg) => this.receive(error, msg);
    this.subscription = this.connection.subscribe(this.inbox, { callback });
    this.pull();
    return info.num_pending;
  }

  /** From now on nothing is delivered. */
  end(): void {
    this.ended = true;
    this.subscription?.unsubscribe();
  }

  /** Removes the consumer from the server; never rejects. */
  async remove(manager: JetStreamManager): Promise<void> {
    if (this.connection.isClosed()) return;
    try {
      await manager.consumers.delete(this.stream, this.name);
    } catch {
      // gone already, or it goes by itself after INACTIVE_MS
    }
  }

  /** Whether anything came since the last time this was asked; true while the consumer is being made. */
  wasHeard(): boolean {
    const heard = this.heard || this.subscription === undefined;
    this.heard = false;
    return heard;
  }

  private get isNearlyUsed(): boolean {
    return this.outstanding <= this.ahead * REFILL_SHARE;
  }

  private pull(): void {
    const window = Math.min(this.ahead, this.wanted - this.delivered);
    const batch = window - this.outstanding;
    if (batch <= 0) return;
    this.outstanding = window;
    this.bytes = 0;
    const request = { batch, max_bytes: WINDOW_BYTES, expires: nanos(EXPIRES_MS), idle_heartbeat: nanos(HEARTBEAT_MS) };
    const subject = `${apiPrefixOf(this.connection)}.CONSUMER.MSG.NEXT.${this.stream}.${this.name}`;
    try {
      this.connection.publish(subject, JSON.stringify(request), { reply: this.inbox });
    } catch (error) {
      this.handlers.refused(error);
    }
  }

  private receive(error: Error | null, msg: Msg): void {
    if (this.ended) return;
    if (error !== null) {
      this.handlers.refused(error);
      return;
    }
    this.heard = true;
    const reply = msg.reply;
    // what the server says about a request expects no answer, a delivery has the place for its acknowledgement
    if (reply === undefined || reply === '') this.receiveStatus(msg);
    else this.receiveMessage(msg, reply);
  }

  private receiveMessage(msg: Msg, reply: string): void {
    if (this.prefixLength === 0) this.prefixLength = ackPrefixLength(reply);
    if (this.prefixLength < 0) {
      this.handlers.broken(`not a delivery: ${reply}`, true);
      return;
    }
    const message = new DeliveredMessage(msg, reply, this.prefixLength);
    if (message.delivered !== this.delivered + 1) {
      this.handlers.broken(`message ${message.delivered} of the consumer came after ${this.delivered}`, false);
      return;
    }
    this.delivered = message.delivered;
    this.outstanding--;
    this.bytes += message.body.length;
    this.handlers.message(message);
    if ((this.isNearlyUsed || this.bytes >= REFILL_BYTES) && !this.ended) this.pull();
  }

  private receiveStatus(msg: Msg): void {
    const headers = msg.headers;
    const code = headers?.code ?? 0;
    if (code === HEARTBEAT) {
      // sent and not received: lost on the way, and nothing behind it that would show the gap
      const sent = Number(headers?.get('Nats-Last-Consumer') ?? '');
      if (sent > this.delivered) this.handlers.broken(`message ${sent} of the consumer was lost`, false);
      else this.handlers.idle();
      return;
    }
    const left = headers?.get('Nats-Pending-Messages') ?? '';
    if (left !== '' && (code === REQUEST_OVER || code === CONFLICT)) {
      // a request is over, by time or by bytes
      this.outstanding -= Number(left);
      if (this.isNearlyUsed) this.pull();
      return;
    }
    this.handlers.broken(`${code} ${headers?.description ?? ''}`, true);
  }
}

const consumerConfig = (name: string, from: number, subjects: readonly string[]): Partial<ConsumerConfig> => ({
  name,
  deliver_policy: DeliverPolicy.StartSequence,
  opt_start_seq: from,
  ack_policy: AckPolicy.None,
  mem_storage: true,
  num_replicas: 1,
  inactive_threshold: nanos(INACTIVE_MS),
  ...(subjects.length === 1 && subjects[0] !== undefined ? { filter_subject: subjects[0] } : {}),
  ...(subjects.length > 1 ? { filter_subjects: [...subjects] } : {}),
});
