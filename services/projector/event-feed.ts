/** Events of the log, filtered, taken one by one by a caller who may be slower than the log. */
import type { Event } from '../../events/envelope.ts';
import { createMatcher, type EventFilter, type FilterMemory } from '../../projections/event-filter.ts';
import { type EventPosition, formatPosition, isBehind } from '../../projections/event-position.ts';
import { originOf } from '../../projections/origin.ts';
import { type Clock, systemClock } from '../lib/clock.ts';
import { placedEvents } from '../lib/commit.ts';
import type { Message, Reader, Stream } from '../lib/stream.ts';
import { readOf } from './filter-subjects.ts';
import { commitIdOf, formatCursor } from './watch-position.ts';

export interface WatchedEvent {
  readonly kind: 'event';
  /** `SEQ.INDEX` */
  readonly position: string;
  /** The same, and in which log: `from` of a later watch that goes on behind this event. */
  readonly cursor: string;
  readonly host: string | null;
  readonly event: Event;
}

/** How far the log was read while nothing passed. */
export interface WatchedPassing {
  readonly kind: 'passing';
  /** Of a commit: nothing more is to come of it, nor of those before it. */
  readonly position: string;
  /** `from` of a later watch, as that of an event. */
  readonly cursor: string;
}

export interface FeedOptions {
  readonly filter: EventFilter;
  readonly memory: FilterMemory;
  /** Events behind this one are handed out. */
  readonly behind: EventPosition;
  readonly readFrom: number;
  readonly bufferMax: number;
  /** After so many commits of which nothing passed, `take` says how far it is; null: never. */
  readonly passingEvery: number | null;
  readonly clock?: Clock;
}

interface Waiting {
  readonly item: WatchedEvent;
  /** Its part of the commit that it came in. */
  readonly bytes: number;
}

/** As many bytes of commits may wait for the caller, however few the events. */
const BUFFER_BYTES_MAX = 8 * 1024 * 1024;

/** How often is looked how far the log has gone on with commits that are not read, since they are of other hosts. */
export const ELSEWHERE_MS = 10_000;

/** One caller takes at a time. */
export class EventFeed {
  private readonly log: Stream;
  private readonly options: FeedOptions;
  private readonly matches: (event: Event, host: string | null) => boolean;
  private readonly buffer: Waiting[] = [];
  private bytes = 0;
  /** Commits of which nothing passed since the last event, or since that was told. */
  private skipped = 0;
  /** To be told once nothing waits before it. */
  private passing: WatchedPassing | null = null;
  private reader: Reader | null = null;
  /** The first commit that is not read yet. */
  private nextPosition: number;
  private failure: { readonly reason: unknown } | null = null;
  private closed = false;
  private cancelLook: () => void = () => {};
  private wake: () => void = () => {};

  constructor(log: Stream, options: FeedOptions) {
    this.log = log;
    this.options = options;
    this.matches = createMatcher(options.filter, options.memory);
    this.nextPosition = options.readFrom;
    this.read();
    if (options.passingEvery !== null && readOf(options.filter, options.memory).subjects) this.lookLater();
  }

  /** The next event, or how far it has come; undefined after `close()`. @throws what ended the reading, once all before it is taken */
  async take(): Promise<WatchedEvent | WatchedPassing | undefined> {
    while (!this.closed) {
      const first = this.buffer.shift();
      this.bytes -= first?.bytes ?? 0;
      if (this.reader === null && !this.failure && this.filled() <= 0.5) this.read();
      if (first) return first.item;
      const { passing } = this;
      this.passing = null;
      if (passing) return passing;
      if (this.failure) throw this.failure.reason;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.wake = resolve;
      await promise;
    }
    return undefined;
  }

  async close(): Promise<void> {
    this.closed = true;
    this.cancelLook();
    this.wake();
    await this.reader?.stop();
  }

  /** 1: nothing more may come in. */
  private filled(): number {
    return Math.max(this.buffer.length / this.options.bufferMax, this.bytes / BUFFER_BYTES_MAX);
  }

  private read(): Reader {
    const { filter, memory } = this.options;
    const reader = this.log.read({ from: this.nextPosition, ...readOf(filter, memory) }, (message) => {
      if (this.reader === reader) this.receive(message);
    });
    this.reader = reader;
    reader.closed.catch((reason) => {
      if (this.reader !== reader) return;
      this.failure = { reason };
      this.reader = null;
      this.wake();
    });
    return reader;
  }

  private lookLater(): void {
    const { clock = systemClock } = this.options;
    this.cancelLook = clock.after(ELSEWHERE_MS, () => {
      // What keeps it from being looked at ends the reading, too, or is over by the next time.
      this.lookElsewhere()
        .catch(() => {})
        .finally(() => {
          if (!this.closed && !this.failure) this.lookLater();
        });
    });
  }

  /**
   * Goes on behind what the log holds when all that is to be read of it has been: nothing more is to come from there. Only a read that begins
   * now says that it has.
   */
  private async lookElsewhere(): Promise<void> {
    const { passingEvery, behind } = this.options;
    const last = await this.log.get(await this.log.last());
    const done = Math.max(this.nextPosition - 1, behind.position);
    if (last === null || passingEvery === null || last.position - done < passingEvery) return;
    const before = this.reader;
    // The caller is behind, or it is over.
    if (before === null || this.closed) return;
    const reader = this.read();
    await before.stop();
    await reader.caughtUp;
    if (this.reader !== reader || this.nextPosition > last.position) return;
    this.nextPosition = last.position + 1;
    this.pass(last);
    this.wake();
  }

  private receive(message: Message): void {
    const { position } = message;
    const { host } = originOf(message.subject);
    const events = placedEvents(message);
    const bytes = message.body.length / Math.max(1, events.length);
    this.skipped += 1;
    for (const [index, event] of events) {
      if (!this.matches(event, host) || !isBehind(this.options.behind, position, index)) continue;
      const cursor = formatCursor({ position, index }, commitIdOf(message));
      this.buffer.push({ item: { kind: 'event', position: `${position}.${index}`, cursor, host, event }, bytes });
      this.bytes += bytes;
      this.skipped = 0;
      // Its own place is further on.
      this.passing = null;
    }
    this.notePassing(message);
    this.nextPosition = position + 1;
    // What comes in must not grow without bound: let go of the reader, and with it of the consumer on the server, and read on from here
    // once the caller is half through.
    if (this.filled() >= 1) {
      void this.reader?.stop();
      this.reader = null;
    }
    this.wake();
  }

  private notePassing(message: Message): void {
    const { passingEvery, behind } = this.options;
    if (passingEvery === null || this.skipped < passingEvery || message.position <= behind.position) return;
    this.pass(message);
  }

  private pass(message: Message): void {
    this.skipped = 0;
    const at = { position: message.position, index: Number.POSITIVE_INFINITY };
    this.passing = {
      kind: 'passing',
      position: formatPosition(at),
      cursor: formatCursor(at, commitIdOf(message)),
    };
  }
}
