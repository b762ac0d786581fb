/**
 * One read of a stream for all who follow the whole of it in one process. Without it the server sends every commit to each service of
 * `cnm up`, and each decodes it anew; on two processors that is a good part of what an attach costs.
 *
 * The first read from the opening is the feed. Who comes later catches up with a read of its own and then goes over to the feed; the
 * last messages are kept, so that nothing falls between the two. Reads of a part (a filter, a later start) are passed on as they are.
 *
 * Who acts on a message gets it at once; everybody else gets it in the next turn of the loop, when the acting is under way: a worker
 * acts on decisions, a controller on reports, and who only keeps a view on nothing. What this process has appended itself, those who act
 * get with the acknowledgement: the server's copy comes some 0.2 ms later.
 */
import { type Append, inFrontOf, type Message, type Reader, type ReadOptions, type Stream } from '../lib/stream.ts';
import { subjectMatches } from '../lib/subjects.ts';
import { NatsFault } from './fault.ts';
import { type BatchPlace, batchPlace, storedHeaders } from './jetstream.ts';
import { regressed } from './regressed.ts';
import { AppendedMessage } from './stored-message.ts';

/** What is kept for those who come over to the feed. */
const keptMessagesMax = 1_024;
const keptBytesMax = 8 * 1024 * 1024;

interface FollowerOptions {
  readonly onMessage: (message: Message) => void;
  readonly leave: (follower: Follower) => void;
  /** Messages on which it acts; null: on none, so it gets them only as they are stored. */
  readonly acts: Acts | null;
}

/** Whether somebody acts on what comes on a subject. */
export type Acts = (subject: string) => boolean;

class Follower implements Reader {
  readonly #caughtUp = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<void>();
  readonly caughtUp = this.#caughtUp.promise;
  readonly closed = this.#closed.promise;
  readonly #options: FollowerOptions;
  /** What waits for its turn; the loop delivers a chunk of the connection in between, so it stays as short as that. */
  #waiting: Message[] = [];
  /** The last message that was taken. */
  position = 0;
  /** The read that catches up, until this goes over to the feed. */
  own: Reader | null = null;
  #ended = false;

  constructor(options: FollowerOptions) {
    this.#options = options;
    this.caughtUp.catch(() => undefined);
  }

  /** Delivers what is new, in order; what the callback throws ends this read and no other. */
  take(message: Message): void {
    if (this.#ended || message.position <= this.position) return;
    this.position = message.position;
    const waiting = this.#waiting.push(message);
    if (this.#options.acts?.(message.subject)) this.#deliverWaiting();
    else if (waiting === 1) setImmediate(() => this.#deliverWaiting());
  }

  #deliverWaiting(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const message of waiting) if (!this.#ended) this.#deliver(message);
  }

  #deliver(message: Message): void {
    try {
      this.#options.onMessage(message);
    } catch (error) {
      this.fail(error);
    }
  }

  get isEnded(): boolean {
    return this.#ended;
  }

  /** Takes what was appended here ahead of its delivery, where nothing is missing before it. */
  takeAhead(message: Message): void {
    if (this.#options.acts !== null && message.position === this.position + 1) this.take(message);
  }

  reached(): void {
    if (this.#waiting.length === 0) this.#caughtUp.resolve();
    else setImmediate(() => this.reached());
  }

  fail(error: unknown): void {
    if (!this.#end()) return;
    this.#caughtUp.reject(error);
    this.#closed.reject(error);
  }

  async stop(): Promise<void> {
    const own = this.own;
    if (!this.#end()) return;
    this.#caughtUp.reject(new NatsFault('READ_STOPPED', 'reading was stopped before it had caught up'));
    await own?.stop();
    this.#closed.resolve();
  }

  #end(): boolean {
    if (this.#ended) return false;
    this.#ended = true;
    this.#options.leave(this);
    return true;
  }
}

class Feed {
  readonly #stream: Stream;
  readonly #followers = new Set<Follower>();
  #kept: Message[] = [];
  #keptBytes = 0;
  #reader: Reader | null = null;
  #position = 0;
  #recordedMs = 0;
  /** What was appended here and is not delivered yet, by position. */
  readonly #ahead = new Map<number, Message>();

  constructor(stream: Stream) {
    this.#stream = stream;
  }

  follow(onMessage: (message: Message) => void, acts: Acts | null): Reader {
    const follower = new Follower({ onMessage, acts, leave: (left) => this.#leave(left) });
    if (this.#reader === null) this.#open(follower);
    else queueMicrotask(() => this.#begin(follower));
    return follower;
  }

  /** Whoever follows has the reader in hand before the first message comes, as with every other read. */
  #begin(follower: Follower): void {
    if (!follower.isEnded && !this.#join(follower)) this.#catchUp(follower);
  }

  #open(follower: Follower): void {
    this.#position = 0;
    this.#followers.add(follower);
    const reader = this.#stream.read({ from: 1 }, (message) => this.#deliver(message));
    this.#reader = reader;
    reader.closed.catch((error) => {
      if (this.#reader !== reader) return;
      this.#close();
      for (const one of [...this.#followers]) one.fail(error);
    });
    this.#tellWhenCaughtUp(reader, follower);
  }

  #tellWhenCaughtUp(reader: Reader, follower: Follower): void {
    reader.caughtUp.then(
      () => follower.reached(),
      () => undefined,
    );
  }

  /** This process has appended a message. */
  appended(append: Append, position: number, batch?: BatchPlace): void {
    if (this.#reader === null || position <= this.#position) return;
    // When it was recorded is not known yet: not before the last one.
    const headers = storedHeaders(this.#stream.name, append, batch);
    const message = new AppendedMessage(append, headers, position, this.#recordedMs);
    this.#ahead.set(position, message);
    for (const follower of [...this.#followers]) follower.takeAhead(message);
  }

  #deliver(message: Message): void {
    this.#position = message.position;
    this.#recordedMs = message.recordedMs;
    this.#reconcile(message);
    this.#kept.push(message);
    this.#keptBytes += message.body.length;
    while (this.#kept.length > keptMessagesMax || this.#keptBytes > keptBytesMax) {
      this.#keptBytes -= this.#kept.shift()?.body.length ?? 0;
    }
    for (const follower of [...this.#followers]) follower.take(message);
  }

  /** What was acted on ahead is what was stored. @throws NatsFault when it is not: then nothing here can be trusted */
  #reconcile(message: Message): void {
    const ahead = this.#ahead.get(message.position);
    if (ahead === undefined) return;
    this.#ahead.delete(message.position);
    if (ahead.subject !== message.subject || Buffer.compare(ahead.body, message.body) !== 0) {
      throw regressed(this.#stream.name, message);
    }
    if (ahead.decoded) message.decoded = ahead.decoded;
  }

  /** Goes over to the feed if what is kept reaches back to where the follower is. */
  #join(follower: Follower): boolean {
    const oldest = this.#kept[0]?.position ?? this.#position + 1;
    if (this.#reader === null || follower.position + 1 < oldest) return false;
    for (const message of this.#kept) follower.take(message);
    this.#followers.add(follower);
    this.#tellWhenCaughtUp(this.#reader, follower);
    return true;
  }

  #catchUp(follower: Follower): void {
    const own = this.#stream.read({ from: 1 }, (message) => {
      if (follower.own !== own) return;
      follower.take(message);
      if (!this.#join(follower)) return;
      follower.own = null;
      void own.stop();
    });
    follower.own = own;
    this.#tellWhenCaughtUp(own, follower);
    own.closed.catch((error) => {
      if (follower.own === own) follower.fail(error);
    });
  }

  #leave(follower: Follower): void {
    this.#followers.delete(follower);
    const reader = this.#reader;
    if (this.#followers.size > 0 || reader === null) return;
    this.#close();
    void reader.stop();
  }

  #close(): void {
    this.#reader = null;
    this.#kept = [];
    this.#keptBytes = 0;
    this.#ahead.clear();
  }
}

/** The same stream for those who act on some of what they read, and for those who only keep it. */
export interface SharedReads {
  readonly acting: (acts: Acts) => Stream;
  readonly keeping: Stream;
  /** To be told of what this process appends over other connections. */
  readonly appended: (append: Append, position: number, batch?: BatchPlace) => void;
}

/** One feed for all reads of the whole of a stream. Messages are shared: what is decoded once is decoded for all. */
export const shareReads = (stream: Stream): SharedReads => {
  const feed = new Feed(stream);
  const isWhole = ({ from, subjects, until }: ReadOptions): boolean =>
    from === 1 && subjects === undefined && until === undefined;
  const appended: SharedReads['appended'] = (append, position, batch) => feed.appended(append, position, batch);
  const readsOf = (acts: Acts | null): Stream =>
    withReads(
      stream,
      (options, onMessage) => (isWhole(options) ? feed.follow(onMessage, acts) : stream.read(options, onMessage)),
      appended,
    );
  return { acting: readsOf, keeping: readsOf(null), appended };
};

/** Lets the feed serve a read of a part too, where that is most of the stream anyway: one host's worker. */
export const mostly =
  (feed: Stream): Stream['read'] =>
  ({ from, subjects }, onMessage) => {
    const exact = new Set(subjects);
    const filters = (subjects ?? []).filter((filter) => /[*>]/.test(filter));
    const isWanted = (subject: string): boolean =>
      subjects === undefined || exact.has(subject) || filters.some((filter) => subjectMatches(filter, subject));
    return feed.read({ from }, (message) => {
      if (isWanted(message.subject)) onMessage(message);
    });
  };

/** A stream whose reads are somebody else's: each service appends over its own connection and reads what all share. */
export const withReads = (stream: Stream, read: Stream['read'], appended: SharedReads['appended']): Stream =>
  inFrontOf(stream, {
    append: async (message) => {
      const result = await stream.append(message);
      if (result.kind === 'appended') appended(message, result.position);
      return result;
    },
    appendAll: async (messages) => {
      const result = await stream.appendAll(messages);
      if (result.kind !== 'appended') return result;
      for (const [index, message] of messages.entries())
        appended(message, result.positions[index] ?? 0, batchPlace(messages, index));
      return result;
    },
    read,
  });
