/** What the log says whatever becomes of it in the views: each commit is noted once, however often it is folded. */
import type { CommitPart } from '../../events/envelope.ts';
import type { EventData } from '../../events/events.ts';
import { fits } from '../../events/fits.ts';
import { type Discard, discardOf } from '../../projections/discards.ts';
import { originOf } from '../../projections/origin.ts';
import type { Views } from '../../projections/views.ts';
import type { SegmentData } from '../lib/opening.ts';
import type { Message } from '../lib/stream.ts';
import type { Memory } from './memory.ts';
import { readableOf } from './refold.ts';

/** A network that was asked for at some time. Kept for ever: events of endpoints name their network by id alone, those of the past too. */
export interface KnownNetwork {
  readonly id: string;
  readonly name: string;
  readonly host: string | null;
  /** Of the commit that asked for it. */
  readonly position: number;
}

export class LogNotes {
  /** By id, in the order in which they came. */
  readonly networks = new Map<string, KnownNetwork>();
  readonly memory: Memory;
  opening: EventData<'RealmOpened'> | null = null;
  /** That the log begins with. */
  segment: SegmentData | null = null;
  /** What was discarded of parked events. */
  discards: readonly Discard[] = [];
  #position = 0;

  constructor(memory: Memory) {
    this.memory = memory;
  }

  isDiscarded(event: string): boolean {
    return this.discards.some((discard) => discard.event === event);
  }

  note(message: Message, parts: readonly CommitPart[]): void {
    const { position, subject } = message;
    if (position <= this.#position) return;
    this.#position = position;
    const events = readableOf(parts);
    for (const event of events) {
      if (event.type === 'NetworkCreateRequested' && fits(event)) {
        const { id, name } = event.data.network;
        this.networks.set(id, { id, name, host: originOf(subject).host, position });
      } else if (event.type === 'RealmOpened') this.opening ??= event.data;
      else if (event.type === 'SegmentOpened') this.segment ??= event.data;
    }
    this.memory.note(events, position);
  }

  /** Networks that a segment carries over; of those that were gone nothing is said any more. */
  carried({ rows, position }: Views): void {
    for (const { id, name, host } of rows.networks.values())
      if (!this.networks.has(id)) this.networks.set(id, { id, name, host, position });
  }

  /** Takes up what a commit discards. @returns whether it discards anything */
  noteDiscards(parts: readonly CommitPart[], position: number): boolean {
    const found = readableOf(parts).flatMap((event) => discardOf(event, position) ?? []);
    if (found.length > 0) this.discards = [...this.discards, ...found];
    return found.length > 0;
  }
}
