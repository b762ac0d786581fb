/** Events of the log, filtered, taken one by one by a caller who may be slower than the log. */
import type { Event } from '../../events/envelope.ts';
import { fits } from '../../events/fits.ts';
import { subjects } from '../../events/names.ts';
import { createMatcher, type EventFilter, type FilterMemory } from '../../projections/event-filter.ts';
import type { LabelMemory } from '../../projections/event-labels.ts';
import { type EventPosition, isBehind } from '../../projections/event-position.ts';
import { originOf } from '../../projections/origin.ts';
import { placedEvents } from '../lib/commit.ts';
import type { Message, Reader, Stream } from '../lib/stream.ts';

export interface WatchedEvent {
  readonly kind: 'event';
  /** `SEQ.INDEX` */
  readonly position: string;
  readonly host: string | null;
  readonly event: Event;
}

export interface FeedOptions {
  readonly filter: EventFilter;
  readonly memory: FilterMemory;
  /** Only events about what has this label; null: about everything. */
  readonly labels: LabelMemory | null;
  /** Events behind this one are handed out. */
  readonly behind: EventPosition;
  readonly readFrom: number;
  readonly bufferMax: number;
}

/** One caller takes at a time. */
export class EventFeed {
  private readonly log: Stream;
  private readonly options: FeedOptions;
  private readonly matches: (event: Event, host: string | null) => boolean;
  private readonly buffer: WatchedEvent[] = [];
  private reader: Reader | null = null;
  /** The first commit that is not read yet. */
  private nextPosition: number;
  private failure: { readonly reason: unknown } | null = null;
  private closed = false;
  private wake: () => void = () => {};

  constructor(log: Stream, options: FeedOptions) {
    this.log = log;
    this.options = options;
    this.matches = createMatcher(options.filter, options.memory);
    this.nextPosition = options.readFrom;
    this.read();
  }

  /** The next event, or undefined after `close()`. @throws what ended the reading, once all before it is taken */
  async take(): Promise<WatchedEvent | undefined> {
    while (!this.closed) {
      const item = this.buffer.shift();
      if (this.reader === null && !this.failure && this.buffer.length <= this.options.bufferMax / 2) this.read();
      if (item) return item;
      if (this.failure) throw this.failure.reason;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.wake = resolve;
      await promise;
    }
    return undefined;
  }

  async close(): Promise<void> {
    this.closed = true;
    this.wake();
    await this.reader?.stop();
  }

  private read(): void {
    const { host } = this.options.filter;
    const subjectFilter = host === undefined ? {} : { subjects: [subjects.host(host), subjects.outcome(host)] };
    const reader = this.log.read({ from: this.nextPosition, ...subjectFilter }, (message) => this.receive(message));
    this.reader = reader;
    reader.closed.catch((reason) => {
      if (this.reader !== reader) return;
      this.failure = { reason };
      this.reader = null;
      this.wake();
    });
  }

  private receive(message: Message): void {
    const { position } = message;
    const { host } = originOf(message.subject);
    for (const [index, event] of placedEvents(message)) {
      // Both learn from every event.
      const { labels } = this.options;
      const isLabelled = !labels || (fits(event) && labels.take(event));
      if (!this.matches(event, host) || !isLabelled || !isBehind(this.options.behind, position, index)) continue;
      this.buffer.push({ kind: 'event', position: `${position}.${index}`, host, event });
    }
    this.nextPosition = position + 1;
    // What comes in must not grow without bound: let go of the reader, and read on from here once the caller is nearly through.
    if (this.buffer.length >= this.options.bufferMax) {
      void this.reader?.stop();
      this.reader = null;
    }
    this.wake();
  }
}
