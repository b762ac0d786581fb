/**
 * Streams as processes see them over a network: requests and answers take their time, come late, twice or never, and overtake each
 * other. What a stream holds is the server's and stays; what a reader is shown is in order, as the port promises, but may come late.
 */
import type { Append, Appended, AppendedAll, Message, Reader, ReadOptions, Stream } from '../../services/lib/stream.ts';
import { subjectMatches } from '../../services/lib/subjects.ts';
import { NatsFault } from '../../services/nats/fault.ts';
import type { MemoryStream } from '../support/memory-stream.ts';
import type { Dice } from './dice.ts';
import type { Life } from './life.ts';
import type { Scheduler } from './scheduler.ts';

/** How often what goes wrong; 0 is never. */
export interface Weather {
  /** A request that nobody gets. */
  loss: number;
  /** An answer that nobody gets. */
  silence: number;
  /** A message that is stored twice, once the server has forgotten its id. */
  twice: number;
  /** A request that comes seconds late, behind what was sent after it. */
  late: number;
}

export const fairWeather: Readonly<Weather> = { loss: 0, silence: 0, twice: 0, late: 0 };

/** As the adapter of JetStream waits. */
const timeoutMs = 2_000;
const lateMsMax = 6_000;
const cutOffMs = 100;

export class Wire {
  readonly scheduler: Scheduler;
  readonly dice: Dice;
  weather: Weather = { ...fairWeather };
  #serial = 0;

  constructor(scheduler: Scheduler, dice: Dice) {
    this.scheduler = scheduler;
    this.dice = dice;
  }

  hopMs(): number {
    return 0.1 + this.dice.next() * (this.dice.chance(0.05) ? 40 : 2);
  }

  /** A name that nobody else has. */
  serial(): number {
    return ++this.#serial;
  }
}

/** What is the server's: a stream, and who is told of what is stored. */
export class Store {
  readonly stream: MemoryStream;
  readonly #readers = new Set<() => void>();

  constructor(stream: MemoryStream) {
    this.stream = stream;
  }

  get messages(): readonly Message[] {
    return this.stream.stored();
  }

  watch(wake: () => void): () => void {
    this.#readers.add(wake);
    return () => this.#readers.delete(wake);
  }

  async change<T>(run: (stream: MemoryStream) => Promise<T>): Promise<T> {
    const before = this.messages.length;
    const result = await run(this.stream);
    if (this.messages.length > before) for (const wake of [...this.#readers]) wake();
    return result;
  }
}

/** A stream for one life of a process. */
export const wired = (wire: Wire, store: Store, life: Life): Stream => {
  const { scheduler } = wire;
  /** Requests of one connection arrive in the order in which they were sent, but for those that come late. */
  let lastArrivalMs = 0;

  /** Sends a request to the server; resolves with its answer, or null when none comes in time. */
  const request = <T>(what: string, atServer: () => Promise<T>, mayBeLate: boolean): Promise<T | null> => {
    const { weather, dice } = wire;
    const answered = Promise.withResolvers<T | null>();
    const cancelTimeout = life.after(timeoutMs, `${what} not answered`, () => answered.resolve(null));
    if (life.isCutOff || dice.chance(weather.loss)) return answered.promise;
    const isLate = mayBeLate && dice.chance(weather.late);
    const arrivalMs = isLate
      ? scheduler.nowMs + dice.between(1, lateMsMax)
      : Math.max(lastArrivalMs, scheduler.nowMs + wire.hopMs());
    if (!isLate) lastArrivalMs = arrivalMs;
    const onWire = { lost: false };
    // What a process has sent before its end may arrive.
    const forget = life.onKilled(() => {
      onWire.lost = dice.chance(0.5);
    });
    const arrive = async (): Promise<void> => {
      forget();
      if (onWire.lost) return;
      const answer = await atServer();
      if (dice.chance(weather.silence) || life.isCutOff) return;
      life.after(wire.hopMs(), `${what} answered`, () => {
        if (life.isCutOff) return;
        cancelTimeout();
        answered.resolve(answer);
      });
    };
    scheduler.after(arrivalMs - scheduler.nowMs, `${life.name} ${what}`, () => void arrive());
    return answered.promise;
  };

  const look = async <T>(what: string, atServer: () => Promise<T>): Promise<T> => {
    const answer = await request(what, async () => ({ value: await atServer() }), false);
    if (answer === null) throw new NatsFault('SERVER_REFUSED', `${what}: no answer`, { retry: 'later' });
    return answer.value;
  };

  /** Only what has no guard can be stored twice. */
  const repeat = (message: Append): void => {
    if (message.expectedLast !== undefined || !wire.dice.chance(wire.weather.twice)) return;
    const again = { ...message, id: `${message.id}~${wire.serial()}` };
    scheduler.after(wire.dice.between(0, lateMsMax), `${life.name} append again`, () => {
      void store.change((stream) => stream.append(again));
    });
  };

  const append = async (message: Append): Promise<Appended> => {
    const body = typeof message.body === 'string' ? message.body : message.body.slice();
    const atServer = (): Promise<Appended> => {
      repeat(message);
      return store.change((stream) => stream.append({ ...message, body }));
    };
    return (await request(`append ${message.subject}`, atServer, true)) ?? { kind: 'unknown', cause: 'timeout' };
  };

  const appendAll = async (messages: readonly Append[]): Promise<AppendedAll> => {
    const atServer = (): Promise<AppendedAll> => store.change((stream) => stream.appendAll(messages));
    return (await request('append all', atServer, true)) ?? { kind: 'unknown', cause: 'timeout' };
  };

  const { stream } = store;
  return {
    name: stream.name,
    append,
    appendAll,
    read: (options, onMessage) => new WiredReader(wire, store, life, options, onMessage),
    first: () => look('first', () => stream.first()),
    last: () => look('last', () => stream.last()),
    lastOn: (subject) => look('lastOn', () => stream.lastOn(subject)),
    get: (position) => look('get', () => stream.get(position)),
    positionAt: (timeMs) => look('positionAt', () => stream.positionAt(timeMs)),
  };
};

class WiredReader implements Reader {
  readonly caughtUp: Promise<void>;
  readonly closed: Promise<void>;
  readonly #caughtUp = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<void>();
  readonly #wire: Wire;
  readonly #store: Store;
  readonly #life: Life;
  readonly #subjects: readonly string[];
  readonly #onMessage: (message: Message) => void;
  readonly #ends: readonly (() => void)[];
  #next: number;
  /** What was stored when the server took the read up; null before that. */
  #target: number | null = null;
  #isUnderWay = false;
  #stopped = false;

  constructor(wire: Wire, store: Store, life: Life, options: ReadOptions, onMessage: (message: Message) => void) {
    this.#wire = wire;
    this.#store = store;
    this.#life = life;
    this.#subjects = options.subjects ?? [];
    this.#onMessage = onMessage;
    this.#next = Math.max(1, options.from);
    this.caughtUp = this.#caughtUp.promise;
    this.closed = this.#closed.promise;
    this.caughtUp.catch(() => undefined);
    const unwatch = store.watch(() => this.#wake());
    this.#ends = [unwatch, life.onKilled(unwatch)];
    this.#wake();
  }

  async stop(): Promise<void> {
    this.#end(new NatsFault('READ_STOPPED', 'reading was stopped before it had caught up'));
    this.#closed.resolve();
  }

  #end(reason: unknown): void {
    this.#stopped = true;
    for (const end of this.#ends) end();
    this.#caughtUp.reject(reason);
  }

  #wake(): void {
    if (this.#isUnderWay || this.#stopped) return;
    this.#isUnderWay = true;
    const { weather, dice } = this.#wire;
    const delayMs = dice.chance(weather.late / 4) ? dice.between(1, lateMsMax) : this.#wire.hopMs();
    this.#life.after(delayMs, `reads ${this.#store.stream.name}`, () => {
      this.#isUnderWay = false;
      this.#arrive();
    });
  }

  #arrive(): void {
    if (this.#stopped) return;
    if (this.#life.isCutOff) {
      this.#isUnderWay = true;
      this.#life.after(cutOffMs, 'is cut off', () => {
        this.#isUnderWay = false;
        this.#arrive();
      });
      return;
    }
    const { messages } = this.#store;
    this.#target ??= messages.length;
    for (let left = 1 + this.#wire.dice.below(24); left > 0 && this.#next <= messages.length; ) {
      const message = messages[this.#next - 1] as Message;
      this.#next += 1;
      if (this.#subjects.length > 0 && !this.#subjects.some((filter) => subjectMatches(filter, message.subject)))
        continue;
      left -= 1;
      try {
        this.#onMessage(message);
      } catch (thrown) {
        this.#end(thrown);
        this.#closed.reject(thrown);
      }
      if (this.#stopped) return;
    }
    if (this.#next > this.#target) this.#caughtUp.resolve();
    if (this.#next <= messages.length) this.#wake();
  }
}
