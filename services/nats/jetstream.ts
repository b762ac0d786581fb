/** The JetStream adapter of the stream port (services/lib/stream.ts). */
import {
  type ApiError,
  JetStreamApiError,
  type JetStreamManager,
  jetstreamManager,
  type StoredMsg,
} from '@nats-io/jetstream';
import {
  headers,
  InvalidArgumentError,
  type MsgHdrs,
  type NatsConnection,
  TimeoutError,
} from '@nats-io/transport-node';
import type { Logger } from 'pino';
import { type Clock, sleep, systemClock } from '../lib/clock.ts';
import {
  type Append,
  type Appended,
  type AppendedAll,
  batchHeaders,
  type Message,
  type Reader,
  type ReadOptions,
  type Stream,
} from '../lib/stream.ts';
import { Acks } from './acks.ts';
import { describeError, isDenied, NatsFault, type NatsFaultCode } from './fault.ts';
import { apiPrefixOf, type Link, LinkLost, linkOf } from './link.ts';
import { OrderedRead } from './ordered-read.ts';
import { DirectMessage, FetchedMessage } from './stored-message.ts';

export interface JetStreamOptions {
  readonly clock?: Clock;
  readonly log?: Logger;
  /** After how many milliseconds without an answer an append is unknown, and a look-up fails. */
  readonly timeoutMs?: number;
}

/** An append takes 0.3 ms with a sync to disk; seconds mean a leader election or no server. */
const TIMEOUT_MS = 2_000;

/** `JSStreamWrongLastSequenceErrF` and `JSStreamWrongLastSequenceConstantErr` (nats-server errors.json; the second: another write is in flight, R3). */
const WRONG_LAST_SEQUENCE: ReadonlySet<number> = new Set([10071, 10164]);
/** `JSStreamNotMatchErr`: the subject belongs to another stream than the one we named. */
const OTHER_STREAM = 10060;
const NO_SUCH_STREAM = 10059;
const NO_MESSAGE = 10037;
/** Status of a message that the server sends where no one listens (ADR-4). */
const NO_RESPONDER = 503;
/**
 * Whether it is there shows only by reading: `JSStreamDuplicateMessageConflict` (an earlier sending of the same message waits for its
 * copies, R3), `JSAtomicPublishIncompleteBatchErr` and `JSAtomicPublishContainsDuplicateMessageErr`.
 */
const UNCLEAR: ReadonlySet<number> = new Set([10158, 10176, 10201]);
/** `JSStreamMessageExceedsMaximumErr`. */
const TOO_LARGE = 10054;

const REPLICA_ATTEMPTS_MAX = 20;
const REPLICA_WAIT_MS = 50;

const SUBJECT = /^[^\s.*>]+(?:\.[^\s.*>]+)*$/;

/** The place of a message in an atomic batch (ADR-50). */
export interface BatchPlace {
  readonly id: string;
  /** From 1. */
  readonly sequence: number;
  readonly isLast: boolean;
}

/** The server takes 64 characters for a batch's id. */
export const batchPlace = (messages: readonly Append[], index: number): BatchPlace => ({
  id: messages[0]?.id.slice(0, 64) ?? '',
  sequence: index + 1,
  isLast: index === messages.length - 1,
});

/**
 * The headers of an append as they are stored, in order: the caller's own, then what carries id and guard, then its place in a batch
 * (measured on nats-server 2.15.1: those are stored too). A writer can tell the `chainHash` of what it appended without reading it back.
 */
export const storedHeaders = (
  stream: string,
  message: Append,
  batch?: BatchPlace,
): readonly (readonly [name: string, value: string])[] => [
  ...Object.entries(message.headers ?? {}).map(([name, value]) => [name, value.trim()] as const),
  ['Nats-Msg-Id', message.id],
  ['Nats-Expected-Stream', stream],
  ...(message.expectedLast === undefined
    ? []
    : [['Nats-Expected-Last-Subject-Sequence', String(message.expectedLast)] as const]),
  ...(batch === undefined
    ? []
    : [[batchHeaders.id, batch.id] as const, [batchHeaders.sequence, String(batch.sequence)] as const]),
  ...(batch?.isLast === true ? [[batchHeaders.commit, '1'] as const] : []),
];

/** Refuses what the server would store under a literal `*` or drop silently. @throws NatsFault MESSAGE_INVALID */
export const assertSubject = (subject: string): void => {
  if (!SUBJECT.test(subject))
    throw new NatsFault('MESSAGE_INVALID', `not a subject to append to: ${JSON.stringify(subject)}`);
};

/**
 * The stream `name` over this connection. Nothing is asked of the server here: the stream must exist (streams.ts makes it), or every
 * call fails with STREAM_NOT_FOUND or, for an append, is unknown.
 *
 * All look-ups see what was acknowledged before: they go to the stream's leader, or to it for want of another answer; what cannot be answered is thrown as `NatsFault`
 * (retry `later` for timeouts, `never` for a closed connection, a missing stream, a missing permission).
 */
export const jetStream = (connection: NatsConnection, name: string, options: JetStreamOptions = {}): Stream =>
  new JetStreamStream(connection, name, options);

class JetStreamStream implements Stream {
  readonly name: string;
  private readonly directSubject: string;
  private readonly connection: NatsConnection;
  private readonly link: Link;
  private readonly clock: Clock;
  private readonly log: Logger | undefined;
  private readonly timeoutMs: number;
  private readonly acks: Acks;
  private readonly manager: Promise<JetStreamManager>;

  constructor(connection: NatsConnection, name: string, options: JetStreamOptions) {
    this.connection = connection;
    this.link = linkOf(connection);
    this.name = name;
    this.directSubject = `$JS.API.DIRECT.GET.${name}`;
    this.clock = options.clock ?? systemClock;
    this.log = options.log;
    this.timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    this.acks = new Acks(connection, this.clock);
    // asks the server nothing, so it neither waits nor needs the permission for $JS.API.INFO
    const apiPrefix = apiPrefixOf(connection);
    this.manager = jetstreamManager(connection, { checkAPI: false, timeout: this.timeoutMs, apiPrefix });
  }

  async append(message: Append): Promise<Appended> {
    assertSubject(message.subject);
    try {
      const headers = this.headersOf(message);
      const answer = await this.whileUp(() =>
        this.acks.publish(message.subject, message.body, headers, this.timeoutMs),
      );
      // a leader election, or no stream that takes the subject
      if (answer.headers?.code === NO_RESPONDER) return { kind: 'unknown', cause: 'nobody takes the subject' };
      return { kind: 'appended', position: sequenceOf(answer.data) };
    } catch (error) {
      return this.appendFailed(message, error);
    }
  }

  async appendAll(messages: readonly Append[]): Promise<AppendedAll> {
    for (const { subject } of messages) assertSubject(subject);
    const last = messages.at(-1);
    if (last === undefined) throw new NatsFault('MESSAGE_INVALID', 'nothing to append');
    try {
      const answer = await this.whileUp(() => this.publishAll(messages, last));
      if (answer.headers?.code === NO_RESPONDER) return { kind: 'unknown', cause: 'nobody takes the subject' };
      const end = sequenceOf(answer.data);
      return { kind: 'appended', positions: messages.map((_, index) => end - messages.length + 1 + index) };
    } catch (error) {
      return this.appendFailed(last, error);
    }
  }

  /** Only the last is answered: with its sequence, or with why none is stored. */
  private publishAll(messages: readonly Append[], last: Append) {
    for (const [index, message] of messages.slice(0, -1).entries())
      this.connection.publish(message.subject, message.body, {
        headers: this.headersOf(message, batchPlace(messages, index)),
      });
    const headers = this.headersOf(last, batchPlace(messages, messages.length - 1));
    return this.acks.publish(last.subject, last.body, headers, this.timeoutMs);
  }

  read(options: ReadOptions, onMessage: (message: Message) => void): Reader {
    const { connection, manager, clock, log } = this;
    return new OrderedRead({ connection, manager, clock, log }, this.name, options, onMessage);
  }

  async first(): Promise<number> {
    const { state } = await this.ask('the first position', (manager) => manager.streams.info(this.name));
    // an empty stream counts its first sequence from 0 or from 1
    return state.messages === 0 ? state.last_seq + 1 : state.first_seq;
  }

  async last(): Promise<number> {
    const info = await this.ask('the last position', (manager) => manager.streams.info(this.name));
    return info.state.last_seq;
  }

  async lastOn(subject: string): Promise<Message | null> {
    assertSubject(subject);
    return this.fetch(`the last message on ${subject}`, { last_by_subj: subject });
  }

  async get(position: number): Promise<Message | null> {
    // the server reads sequence 0 as "none given" and refuses it
    if (position < 1) return null;
    return (await this.direct(position)) ?? this.fetch(`message ${position}`, { seq: position });
  }

  /**
   * From any replica, as bytes: a third of what asking the leader costs, which answers in base64. A message that is stored never changes, so
   * a replica that is behind can only not have it: null, and the leader is asked. Null as well where direct get is not permitted.
   */
  private async direct(position: number): Promise<Message | null> {
    const question = `{"seq":${position}}`;
    try {
      const answer = await this.whileUp(() => this.acks.publish(this.directSubject, question, null, this.timeoutMs));
      return answer.headers === undefined || answer.headers.code >= 300 ? null : new DirectMessage(answer);
    } catch (error) {
      if (isDenied(error)) return null;
      throw this.fault(`asking ${this.name} for message ${position}`, error);
    }
  }

  async positionAt(timeMs: number): Promise<number> {
    const last = await this.last();
    const lastMessage = await this.get(last);
    if (lastMessage === null || lastMessage.recordedMs < timeMs) return last + 1;
    // direct get alone searches by time; it may be answered by a replica that is behind, which then finds nothing
    for (let attempt = 1; attempt <= REPLICA_ATTEMPTS_MAX; attempt++) {
      const query = { start_time: new Date(Math.max(0, timeMs)) };
      const found = await this.ask(`the position at ${timeMs}`, (manager) =>
        manager.direct.getMessage(this.name, query),
      );
      if (found !== null) return found.seq;
      await sleep(this.clock, REPLICA_WAIT_MS);
    }
    const message = `asking ${this.name} for the position at ${timeMs}: the replica that answers is behind`;
    throw new NatsFault('SERVER_REFUSED', message, { retry: 'later' });
  }

  private async fetch(what: string, query: { seq: number } | { last_by_subj: string }): Promise<Message | null> {
    const stored = await this.ask(what, async (manager): Promise<StoredMsg | null> => {
      try {
        return await manager.streams.getMessage(this.name, query);
      } catch (error) {
        if (error instanceof JetStreamApiError && error.code === NO_MESSAGE) return null;
        throw error;
      }
    });
    return stored === null ? null : new FetchedMessage(stored);
  }

  private async ask<Answer>(what: string, question: (manager: JetStreamManager) => Promise<Answer>): Promise<Answer> {
    try {
      const manager = await this.manager;
      return await this.whileUp(() => question(manager));
    } catch (error) {
      throw this.fault(`asking ${this.name} for ${what}`, error);
    }
  }

  private headersOf(message: Append, batch?: BatchPlace): MsgHdrs {
    const list = headers();
    for (const [name, value] of storedHeaders(this.name, message, batch)) list.append(name, value);
    return list;
  }

  private whileUp<Answer>(request: () => Promise<Answer>): Promise<Answer> {
    return this.link.whileUp(this.clock, this.timeoutMs, request);
  }

  private appendFailed(message: Append, error: unknown): Exclude<Appended, { readonly kind: 'appended' }> {
    if (error instanceof JetStreamApiError) {
      if (WRONG_LAST_SEQUENCE.has(error.code)) return { kind: 'conflict' };
      if (error.status === 503 || UNCLEAR.has(error.code)) return { kind: 'unknown', cause: error.message };
    } else if (isUnanswered(error) && !this.connection.isClosed()) {
      return { kind: 'unknown', cause: describeError(error) };
    }
    throw this.fault(`appending ${message.id} to ${message.subject}`, error);
  }

  private fault(doing: string, error: unknown): NatsFault {
    const message = `${doing}: ${describeError(error)}`;
    if (this.connection.isClosed()) return new NatsFault('CONNECTION_CLOSED', message, { cause: error });
    if (isUnanswered(error)) return new NatsFault('SERVER_REFUSED', message, { cause: error, retry: 'later' });
    return new NatsFault(codeOf(error), message, { cause: error });
  }
}

const decoder = new TextDecoder();

/** The sequence of an acknowledgement. @throws JetStreamApiError for what the server refuses */
const sequenceOf = (data: Uint8Array): number => {
  const answer = JSON.parse(decoder.decode(data)) as { readonly error?: ApiError; readonly seq: number };
  if (answer.error) throw new JetStreamApiError(answer.error);
  return answer.seq;
};

/**
 * No server said anything: a timeout, a lost connection, or (as the library words it) JetStream "not enabled", which stands for no responder: no leader at
 * this moment, or no stream that takes the subject. A denied publish comes as RequestError too, but has its own cause.
 */
const isUnanswered = (error: unknown): boolean => {
  if (error instanceof TimeoutError || error instanceof LinkLost) return true;
  if (!(error instanceof Error) || isDenied(error)) return false;
  return (
    error.name === 'RequestError' ||
    (error.name === 'JetStreamNotEnabled' && !(error.cause instanceof JetStreamApiError))
  );
};

const codeOf = (error: unknown): NatsFaultCode => {
  if (isDenied(error)) return 'NOT_PERMITTED';
  if (error instanceof JetStreamApiError) {
    if (error.code === OTHER_STREAM || error.code === NO_SUCH_STREAM) return 'STREAM_NOT_FOUND';
    if (error.code === TOO_LARGE) return 'MESSAGE_INVALID';
  }
  return error instanceof InvalidArgumentError ? 'MESSAGE_INVALID' : 'SERVER_REFUSED';
};
