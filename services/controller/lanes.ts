/**
 * Who is decided next. Each actor has a lane of its own and lanes take turns, so that one who sends much waits behind itself and nobody
 * else does. Within a lane the order is that of publishing. Who publishes more than a fair rate is held back to a few commands a second
 * while somebody within it is at work, and goes at full speed again when nobody is (docs/adr/0034). Pure: clocks come in with the call.
 */
import { decodeToken } from '../../events/names.ts';
import type { Message } from '../lib/stream.ts';
import type { Rate } from './bucket.ts';
import { Lane, laneLimits } from './lane.ts';

/** Commands in memory at most, over all lanes; beyond it nothing is read until half of it is decided. */
export const queueLimits = { messagesMax: 4_096, bytesMax: 64 * 1024 * 1024, lanesMax: 1_024 } as const;
/** A lane is read on when it has no more than this part of what it may have. */
const refillShare = 0.25;
/** How long an actor counts as at work behind its last command: those who wait for each answer send the next one well within it. */
const atWorkMs = 250;
/** One command in this time is decided of who is held back: 20 a second. */
const heldBackMs = 50;
/** After so long without a command buckets count as full again. */
const restMs = 600_000;

export interface LanesOptions {
  /** What everybody may publish without being held back. */
  readonly fair: Rate;
  /** What an actor may publish at all; null: as much as it likes. */
  readonly quota: (actor: string, position: number) => Rate | null;
  /** A message over the quota: it is decided by that. */
  readonly refused: (message: Message, actor: string, quota: Rate) => void;
}

/** Lane of a message: subjects that are none of ours have one too, since somebody has to refuse what is on them. */
const tokenOf = ({ subject }: Message): string => subject.split('.', 3)[2] ?? '';

/** Actors of our own services: what they send is part of work that was accepted already. */
export const isService = (actor: string): boolean => actor === 'collector' || actor.startsWith('worker:');

/** Whether it is too soon for the next one of who is held back. */
const isPausing = (lane: Lane, nowMs: number): boolean => lane.isFlooding && nowMs - lane.takenMs < heldBackMs;

export class Lanes {
  readonly #options: LanesOptions;
  /** In the order of turns: whoever was served last is last. */
  readonly #lanes = new Map<string, Lane>();
  /** The last message that went by in the order of the stream. */
  #position: number;
  #messages = 0;
  #bytes = 0;
  /** How many lanes there may be before idle ones are forgotten. */
  #lanesMost: number = queueLimits.lanesMax;

  constructor(options: LanesOptions, from: number) {
    this.#options = options;
    this.#position = from - 1;
  }

  get isFull(): boolean {
    return this.#messages >= queueLimits.messagesMax || this.#bytes >= queueLimits.bytesMax;
  }

  get isHalfEmpty(): boolean {
    return this.#messages <= queueLimits.messagesMax / 2 && this.#bytes <= queueLimits.bytesMax / 2;
  }

  get length(): number {
    return this.#messages;
  }

  /** Where the reading of all goes on. */
  get next(): number {
    return this.#position + 1;
  }

  /** Position of the oldest command that is not taken: all before it are. Complexity: linear in the lanes. */
  get oldest(): number {
    let oldest = this.next;
    for (const lane of this.#lanes.values()) oldest = Math.min(oldest, lane.oldest);
    return oldest;
  }

  /**
   * Takes up a message in the order of the stream.
   * @returns whether somebody has something to be decided who had nothing: of all others it is known when they may go on (`pauseMs`)
   */
  offer(message: Message): boolean {
    this.#position = message.position;
    const lane = this.#lane(tokenOf(message));
    lane.meter(message.recordedMs, this.#options.fair);
    if (message.position <= lane.through) return false;
    if (lane.behindFrom === null && this.#fullness(lane) < 1) return this.#admit(lane, message);
    lane.behindFrom ??= message.position;
    lane.passedAt = message.position;
    return false;
  }

  /**
   * Takes up a message that went by before, read again for its lane alone.
   * @returns whether the lane wants the one behind it
   */
  refill(lane: Lane, message: Message): boolean {
    if (lane.behindFrom === null) return false;
    if (message.position <= lane.through) return true;
    if (this.#fullness(lane) >= 1) {
      lane.behindFrom = message.position;
      return false;
    }
    this.#admit(lane, message);
    if (message.position >= lane.passedAt) {
      lane.behindFrom = null;
      return false;
    }
    lane.behindFrom = message.position + 1;
    return this.#fullness(lane) < 1;
  }

  /** How many more commands a lane may have. */
  roomOf(lane: Lane): number {
    return Math.max(1, this.#share().messages - lane.length);
  }

  /** Lanes with room for what is still on the stream. */
  *wanting(): Generator<Lane> {
    for (const lane of this.#lanes.values())
      if (lane.behindFrom !== null && this.#fullness(lane) < refillShare) yield lane;
  }

  /** The rest of what went by is gone from the stream, up to this position. */
  lost(lane: Lane, through: number): void {
    if (lane.behindFrom === null || lane.behindFrom > through) return;
    lane.behindFrom = lane.passedAt > through ? through + 1 : null;
  }

  /** What is decided next, in the order of the stream; nothing of those who are held back right now. */
  take(max: number, nowMs: number): readonly Message[] {
    const taken: Message[] = [];
    const lanes = [...this.#lanes.values()].filter(({ length }) => length > 0);
    const services = lanes.filter(({ isService }) => isService);
    this.#takeOfServices(services, taken, services.length < lanes.length ? max / 2 : max, nowMs);
    const isShared = this.#isShared(nowMs);
    let left = lanes.filter((lane) => !lane.isService);
    while (taken.length < max && left.length > 0)
      left = left.filter(
        (lane) => taken.length < max && !(isShared && isPausing(lane, nowMs)) && this.#takeOf(lane, taken, nowMs),
      );
    this.#takeOfServices(services, taken, max, nowMs);
    return taken.sort((a, b) => a.position - b.position);
  }

  /** What they send is part of work that was accepted, so it goes first; where names are claims anybody may say that it is a service, so not alone. */
  #takeOfServices(services: readonly Lane[], taken: Message[], max: number, nowMs: number): void {
    for (const lane of services) while (taken.length < max && this.#takeOf(lane, taken, nowMs));
  }

  /** How long from now until somebody may go on who waits though there was room in a round; null: nobody waits. */
  pauseMs(nowMs: number): number | null {
    let soonest = Number.POSITIVE_INFINITY;
    // Its pause may be over since it was passed over: then it goes on at once.
    for (const lane of this.#lanes.values())
      if (lane.length > 0) soonest = Math.min(soonest, lane.takenMs + heldBackMs - nowMs);
    return soonest === Number.POSITIVE_INFINITY ? null : Math.max(1, soonest);
  }

  /** How much a lane has of what it may have; from 1 on it is full. */
  #fullness(lane: Lane): number {
    if (this.isFull) return 1;
    const { messages, bytes } = this.#share();
    return Math.max(lane.length / messages, lane.bytes / bytes);
  }

  /**
   * What a lane may have. Beyond what each may, half of the memory is shared, and a lane takes as much as is left of it at most: the other half is
   * for those who have nothing in memory.
   */
  #share(): { readonly messages: number; readonly bytes: number } {
    const { messagesMax, bytesMax, own } = laneLimits;
    return {
      messages: Math.max(own.messages, Math.min(messagesMax, queueLimits.messagesMax / 2 - this.#messages)),
      bytes: Math.max(own.bytes, Math.min(bytesMax, queueLimits.bytesMax / 2 - this.#bytes)),
    };
  }

  #admit(lane: Lane, message: Message): boolean {
    lane.through = message.position;
    const quota = this.#options.quota(lane.actor, message.position);
    if (quota && !lane.admits(message.recordedMs, quota)) {
      this.#options.refused(message, lane.actor, quota);
      return false;
    }
    lane.push(message);
    this.#messages += 1;
    this.#bytes += message.body.length;
    return lane.length === 1;
  }

  #takeOf(lane: Lane, taken: Message[], nowMs: number): boolean {
    const message = lane.shift();
    if (!message) return false;
    this.#messages -= 1;
    this.#bytes -= message.body.length;
    // The map is in the order of turns: who was served last comes last.
    this.#lanes.delete(lane.token);
    this.#lanes.set(lane.token, lane);
    lane.takenMs = nowMs;
    taken.push(message);
    return true;
  }

  /** Whether somebody is at work who keeps to the fair rate. */
  #isShared(nowMs: number): boolean {
    for (const { isFlooding, isService, length, takenMs } of this.#lanes.values())
      if (!isFlooding && !isService && (length > 0 || nowMs - takenMs < atWorkMs)) return true;
    return false;
  }

  #lane(token: string): Lane {
    const known = this.#lanes.get(token);
    if (known) return known;
    if (this.#lanes.size >= this.#lanesMost) this.#forgetIdle();
    const actor = decodeToken(token) ?? '';
    const lane = new Lane(token, actor, isService(actor));
    this.#lanes.set(token, lane);
    return lane;
  }

  /** Drops lanes that are as good as new ones; where there are few there may be more lanes, and the next look is when they have doubled. */
  #forgetIdle(): void {
    let newest = 0;
    for (const { recordedMs } of this.#lanes.values()) newest = Math.max(newest, recordedMs);
    for (const [token, lane] of this.#lanes) {
      const isRested = newest - lane.recordedMs > restMs;
      if (lane.length === 0 && lane.behindFrom === null && isRested && lane.through <= this.#position)
        this.#lanes.delete(token);
    }
    this.#lanesMost = Math.max(queueLimits.lanesMax, 2 * this.#lanes.size);
  }
}
