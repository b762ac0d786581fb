/** A stream in memory with the semantics of the JetStream adapter, and hooks for what can go wrong on the way. */
import type { Append, Appended, AppendedAll, Message, Reader, ReadOptions, Stream } from '../../services/lib/stream.ts';
import { subjectMatches } from '../../services/lib/subjects.ts';
import { NatsFault } from '../../services/nats/fault.ts';
import { assertSubject, type BatchPlace, batchPlace, storedHeaders } from '../../services/nats/jetstream.ts';
import { regressed } from '../../services/nats/regressed.ts';

/**
 * What becomes of an append:
 * - `conflict`: refused, nothing stored, as when another writer was quicker;
 * - `lost`: unknown to the writer, nothing stored;
 * - `unacknowledged`: unknown to the writer, and stored.
 */
export type Injected = 'conflict' | 'lost' | 'unacknowledged';

export interface MemoryStreamOptions {
  /** Subjects that the stream takes; an append to another is unknown, as no one answers. All when left out. */
  readonly subjects?: readonly string[];
  /** Time of recording, milliseconds since 1970. Counts up from 1 with every message when left out. */
  readonly nowMs?: () => number;
  /** Asked before every append. */
  readonly inject?: (message: Append) => Injected | undefined;
  /** How deliveries and answers are put off; `setImmediate` when left out. Tests with a scheduler of their own give it here. */
  readonly later?: (run: () => void) => void;
}

export interface MemoryStream extends Stream {
  /** Injects into the next appends, one each, before `inject` of the options is asked. */
  injectNext(...outcomes: readonly Injected[]): void;
  /** Everything stored, oldest first. */
  stored(): readonly Message[];
  /** Stops all deliveries, as if the server were away; appends are unknown and not stored. `connect` resumes. */
  disconnect(): void;
  connect(): void;
  /** As a server that has come back with an older copy: what is behind this position is gone, and whoever had read it is told so. */
  rewind(position: number): void;
}

class MemoryMessage implements Message {
  readonly position: number;
  readonly recordedMs: number;
  readonly subject: string;
  readonly body: Uint8Array;
  readonly pending: number;
  private readonly list: readonly (readonly [name: string, value: string])[];

  constructor(
    given: Pick<Message, 'position' | 'recordedMs' | 'subject' | 'body' | 'pending'>,
    list: ReturnType<Message['headers']>,
  ) {
    this.position = given.position;
    this.recordedMs = given.recordedMs;
    this.subject = given.subject;
    this.body = given.body;
    this.pending = given.pending;
    this.list = list;
  }

  header(name: string): string {
    return this.list.find(([known]) => known === name)?.[1] ?? '';
  }

  headers(): ReturnType<Message['headers']> {
    return this.list;
  }

  withPending(pending: number): MemoryMessage {
    return new MemoryMessage({ ...this, pending }, this.list);
  }
}

const maxPayload = 1 << 20;

/** An empty stream. Appends are answered, and messages delivered, asynchronously and in order. */
export const memoryStream = (name: string, options: MemoryStreamOptions = {}): MemoryStream =>
  new InMemory(name, options);

class InMemory implements MemoryStream {
  readonly name: string;
  private readonly options: MemoryStreamOptions;
  private readonly messages: MemoryMessage[] = [];
  private readonly ids = new Map<string, number>();
  private readonly lastPositions = new Map<string, number>();
  private readonly readers = new Set<MemoryReader>();
  private readonly next: Injected[] = [];
  private connected = true;

  constructor(name: string, options: MemoryStreamOptions) {
    this.name = name;
    this.options = options;
  }

  async append(message: Append): Promise<Appended> {
    assertSubject(message.subject);
    // the body is taken as it is now: the caller may reuse its buffer
    const body = typeof message.body === 'string' ? new TextEncoder().encode(message.body) : message.body.slice();
    // Of a server whose max_payload is as it comes.
    if (body.length > maxPayload) throw new NatsFault('MESSAGE_INVALID', `max_payload: ${body.length} bytes`);
    await this.turn();
    const injected = this.next.shift() ?? this.options.inject?.(message);
    if (injected === 'conflict') return { kind: 'conflict' };
    if (injected === 'lost' || !this.connected) return { kind: 'unknown', cause: 'timeout' };
    if (!this.takes(message.subject)) return { kind: 'unknown', cause: 'no responders' };
    const answer = this.store(message, body);
    await this.turn();
    return injected === 'unacknowledged' ? { kind: 'unknown', cause: 'timeout' } : answer;
  }

  async appendAll(messages: readonly Append[]): Promise<AppendedAll> {
    const [first] = messages;
    if (first === undefined) throw new NatsFault('MESSAGE_INVALID', 'nothing to append');
    for (const { subject } of messages) assertSubject(subject);
    const bodies = messages.map(({ body }) =>
      typeof body === 'string' ? new TextEncoder().encode(body) : body.slice(),
    );
    await this.turn();
    const injected = this.next.shift() ?? this.options.inject?.(first);
    if (injected === 'conflict') return { kind: 'conflict' };
    if (injected === 'lost' || !this.connected) return { kind: 'unknown', cause: 'timeout' };
    if (!messages.every(({ subject }) => this.takes(subject))) return { kind: 'unknown', cause: 'no responders' };
    if (!messages.every((message) => this.isCurrent(message))) return { kind: 'conflict' };
    if (messages.some(({ id }) => this.ids.has(id))) return { kind: 'unknown', cause: 'an id was used before' };
    const positions = messages.map((message, index) =>
      this.put(message, bodies[index] ?? new Uint8Array(), batchPlace(messages, index)),
    );
    await this.turn();
    return injected === 'unacknowledged' ? { kind: 'unknown', cause: 'timeout' } : { kind: 'appended', positions };
  }

  read(options: ReadOptions, onMessage: (message: Message) => void): Reader {
    const reader = new MemoryReader(
      {
        messages: this.messages,
        later: this.later,
        connected: () => this.connected,
        gone: (one) => this.readers.delete(one),
      },
      options,
      onMessage,
    );
    this.readers.add(reader);
    return reader;
  }

  async first(): Promise<number> {
    await this.turn();
    return 1;
  }

  async last(): Promise<number> {
    await this.turn();
    return this.messages.length;
  }

  async lastOn(subject: string): Promise<Message | null> {
    assertSubject(subject);
    return this.get(this.lastPositions.get(subject) ?? 0);
  }

  async get(position: number): Promise<Message | null> {
    await this.turn();
    return this.messages[position - 1] ?? null;
  }

  async positionAt(timeMs: number): Promise<number> {
    await this.turn();
    const index = this.messages.findIndex(({ recordedMs }) => recordedMs >= timeMs);
    return (index < 0 ? this.messages.length : index) + 1;
  }

  injectNext(...outcomes: readonly Injected[]): void {
    this.next.push(...outcomes);
  }

  stored(): readonly Message[] {
    return this.messages;
  }

  disconnect(): void {
    this.connected = false;
  }

  connect(): void {
    this.connected = true;
    for (const reader of this.readers) reader.wake();
  }

  rewind(position: number): void {
    this.messages.length = Math.min(this.messages.length, position);
    this.ids.clear();
    this.lastPositions.clear();
    for (const message of this.messages) {
      this.ids.set(message.header('Nats-Msg-Id'), message.position);
      this.lastPositions.set(message.subject, message.position);
    }
    for (const reader of [...this.readers]) reader.rewound(this.name, position);
  }

  private readonly later = (run: () => void): void => {
    (this.options.later ?? setImmediate)(run);
  };

  private turn(): Promise<void> {
    return new Promise((resolve) => this.later(resolve));
  }

  private takes(subject: string): boolean {
    return this.options.subjects?.some((filter) => subjectMatches(filter, subject)) ?? true;
  }

  /** In the order of nats-server 2.15: the guard first, then the id. */
  private store(message: Append, body: Uint8Array): Appended {
    if (!this.isCurrent(message)) return { kind: 'conflict' };
    return { kind: 'appended', position: this.ids.get(message.id) ?? this.put(message, body) };
  }

  private isCurrent({ subject, expectedLast }: Append): boolean {
    return expectedLast === undefined || expectedLast === (this.lastPositions.get(subject) ?? 0);
  }

  private put(message: Append, body: Uint8Array, batch?: BatchPlace): number {
    const { subject } = message;
    const position = this.messages.length + 1;
    const recordedMs = this.options.nowMs?.() ?? position;
    const stored = new MemoryMessage(
      { position, recordedMs, subject, body, pending: 0 },
      storedHeaders(this.name, message, batch),
    );
    this.messages.push(stored);
    this.ids.set(message.id, position);
    this.lastPositions.set(subject, position);
    for (const reader of this.readers) reader.stored(stored);
    return position;
  }
}

interface ReaderDeps {
  readonly messages: readonly MemoryMessage[];
  readonly later: (run: () => void) => void;
  readonly connected: () => boolean;
  readonly gone: (reader: MemoryReader) => void;
}

/** As many as one packet would bring; then others have a turn. */
const MESSAGES_PER_TURN = 64;

class MemoryReader implements Reader {
  readonly caughtUp: Promise<void>;
  readonly closed: Promise<void>;
  private readonly caughtUpWith = Promise.withResolvers<void>();
  private readonly closedWith = Promise.withResolvers<void>();
  private readonly deps: ReaderDeps;
  private readonly subjects: readonly string[];
  private readonly onMessage: (message: Message) => void;
  private readonly target: number;
  private next: number;
  /** How many stored messages that we want have not been handed out. */
  private behind = 0;
  private scheduled = false;
  private stopped = false;

  constructor(deps: ReaderDeps, options: ReadOptions, onMessage: (message: Message) => void) {
    this.deps = deps;
    this.subjects = options.subjects ?? [];
    this.onMessage = onMessage;
    this.next = Math.max(1, options.from);
    this.target = deps.messages.length;
    this.caughtUp = this.caughtUpWith.promise;
    this.closed = this.closedWith.promise;
    this.caughtUp.catch(() => {});
    for (const message of deps.messages.slice(this.next - 1)) if (this.wants(message.subject)) this.behind++;
    this.wake();
  }

  stored(message: MemoryMessage): void {
    if (message.position >= this.next && this.wants(message.subject)) this.behind++;
    this.wake();
  }

  wake(): void {
    if (this.scheduled || this.stopped || !this.deps.connected()) return;
    this.scheduled = true;
    this.deps.later(() => {
      this.scheduled = false;
      this.deliver();
    });
  }

  rewound(stream: string, position: number): void {
    if (this.next <= position + 1) return;
    const reason = regressed(stream, { position: this.next - 1 });
    this.end(reason);
    this.closedWith.reject(reason);
  }

  async stop(): Promise<void> {
    this.end(new NatsFault('READ_STOPPED', 'reading was stopped before it had caught up'));
    this.closedWith.resolve();
  }

  private end(reason: unknown): void {
    this.stopped = true;
    this.deps.gone(this);
    this.caughtUpWith.reject(reason);
  }

  private deliver(): void {
    for (let count = 0; count < MESSAGES_PER_TURN && !this.stopped && this.deps.connected(); count++) {
      const message = this.deps.messages[this.next - 1];
      if (message === undefined) break;
      this.next++;
      if (!this.wants(message.subject)) continue;
      try {
        this.onMessage(message.withPending(--this.behind));
      } catch (thrown) {
        this.end(thrown);
        this.closedWith.reject(thrown);
        return;
      }
    }
    if (this.stopped) return;
    if (this.next > this.target) this.caughtUpWith.resolve();
    if (this.next <= this.deps.messages.length) this.wake();
  }

  private wants(subject: string): boolean {
    return this.subjects.length === 0 || this.subjects.some((filter) => subjectMatches(filter, subject));
  }
}
