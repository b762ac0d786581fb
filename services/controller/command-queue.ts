/**
 * The commands that wait, as far as they are in memory. One read goes over the whole stream; where an actor has more waiting than its lane
 * takes, what is behind stays on the stream and is read again for that lane alone, so that nobody else waits for it.
 */
import type { Message, Reader, Stream } from '../lib/stream.ts';
import type { Lane } from './lane.ts';
import { Lanes, type LanesOptions } from './lanes.ts';

export interface CommandQueueOptions extends LanesOptions {
  readonly commands: Stream;
  /** Nothing more is to be read for now. */
  readonly isFull: () => boolean;
  /** Something came. */
  readonly wake: () => void;
  readonly onFault: (error: unknown) => void;
}

export class CommandQueue {
  readonly #options: CommandQueueOptions;
  readonly #lanes: Lanes;
  #reader: Reader | null = null;
  readonly #refills = new Map<Lane, Reader>();
  #isClosed = false;

  /** @param from all commands before it are decided */
  constructor(options: CommandQueueOptions, from: number) {
    this.#options = options;
    this.#lanes = new Lanes(options, from);
  }

  /** Commands in memory. */
  get length(): number {
    return this.#lanes.length;
  }

  /** All commands before this position are taken. */
  get oldest(): number {
    return this.#lanes.oldest;
  }

  take(max: number, nowMs: number): readonly Message[] {
    const taken = this.#lanes.take(max, nowMs);
    this.#read();
    return taken;
  }

  pauseMs(nowMs: number): number | null {
    return this.#lanes.pauseMs(nowMs);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const readers = [this.#reader, ...this.#refills.values()];
    this.#reader = null;
    this.#refills.clear();
    await Promise.all(readers.map((reader) => reader?.stop()));
  }

  /** Reads on wherever there is room. */
  #read(): void {
    if (this.#isClosed) return;
    if (this.#options.isFull()) return;
    if (this.#reader === null && this.#lanes.isHalfEmpty) this.#reader = this.#readAll();
    for (const lane of this.#lanes.wanting()) if (!this.#refills.has(lane)) this.#refill(lane);
  }

  #readAll(): Reader {
    const reader = this.#watched({ from: this.#lanes.next }, (message) => {
      if (this.#reader !== reader) return;
      const isNew = this.#lanes.offer(message);
      if (this.#lanes.isFull || this.#options.isFull()) {
        this.#reader = null;
        void reader.stop();
      }
      if (isNew) this.#options.wake();
    });
    return reader;
  }

  #refill(lane: Lane): void {
    const { token, behindFrom, passedAt } = lane;
    const subjects = [`cnm.command.${token}`, `cnm.command.${token}.>`];
    const ahead = this.#lanes.roomOf(lane);
    const reader = this.#watched({ from: behindFrom ?? 1, subjects, ahead }, (message) => {
      if (this.#refills.get(lane) !== reader) return;
      const wasEmpty = lane.length === 0;
      if (!this.#lanes.refill(lane, message) || this.#options.isFull()) this.#end(lane, reader);
      if (wasEmpty && lane.length > 0) this.#options.wake();
    });
    this.#refills.set(lane, reader);
    reader.caughtUp.then(
      () => {
        if (this.#refills.get(lane) !== reader) return;
        this.#lanes.lost(lane, passedAt);
        if (lane.behindFrom === null) this.#end(lane, reader);
      },
      () => undefined,
    );
  }

  #end(lane: Lane, reader: Reader): void {
    this.#refills.delete(lane);
    void reader.stop();
  }

  #watched(options: Parameters<Stream['read']>[0], onMessage: (message: Message) => void): Reader {
    const reader = this.#options.commands.read(options, onMessage);
    reader.closed.catch((error) => this.#options.onFault(error));
    return reader;
  }
}
