/**
 * What has drifted and how often: so that a drift is told of once, that who changes the same thing again and again is met with growing pauses,
 * and that a worker that starts goes on where the one before it ended.
 */
import type { EventOf } from '../../events/envelope.ts';
import type { DriftThing } from '../../events/events.ts';
import type { DriftRow } from '../../projections/drift.ts';
import { thingKey } from './drift-scope.ts';

/** A thing that has drifted, now or lately. */
export interface Drifted {
  readonly of: DriftThing;
  /** Id of the drift that is told of last. */
  drift: string;
  /** It is told of as not right again. */
  isOpen: boolean;
  reason: 'policy' | 'fault' | 'contested' | null;
  /** Which of its objects differ: what is told of already. */
  signature: string;
  /** In a row. */
  times: number;
  /** When it was repaired last, in monotonic milliseconds. */
  repairedMs: number;
  /** When the next repair may be, likewise. */
  dueMs: number;
  /** Who may be behind it. */
  readonly suspects: Set<string>;
}

/** From here on somebody is taken to be at work against us: repairs go on and are not told of one by one any more. */
export const contestedTimes = 5;
const pauseMinMs = 100;
const pauseMaxMs = 30_000;
const suspectsMax = 5;

/** Before the repair that follows so many in a row. */
export const pauseOf = (times: number): number =>
  times === 0 ? 0 : Math.min(pauseMinMs * 2 ** (times - 1), pauseMaxMs);

type DriftEvent = EventOf<'DriftDetected' | 'DriftRepaired' | 'DriftLeft' | 'DriftEnded'>;

export class DriftMemory {
  readonly #things = new Map<string, Drifted>();

  get(key: string): Drifted | undefined {
    return this.#things.get(key);
  }

  entries(): IterableIterator<[string, Drifted]> {
    return this.#things.entries();
  }

  /** The thing, of which nothing may have been known before. */
  take(key: string, of: DriftThing): Drifted {
    const known = this.#things.get(key);
    if (known) return known;
    const thing: Drifted = {
      ...{ of, drift: '', isOpen: false, reason: null, signature: '', times: 0, repairedMs: 0, dueMs: 0 },
      suspects: new Set(),
    };
    this.#things.set(key, thing);
    return thing;
  }

  suspect(key: string, of: DriftThing, who: string): void {
    if (who === '') return;
    const { suspects } = this.take(key, of);
    if (suspects.size < suspectsMax) suspects.add(who);
  }

  /** What is right, and has been for long, is forgotten. */
  tidy(nowMs: number, quietMs: number): void {
    for (const [key, { isOpen, repairedMs }] of this.#things)
      if (!isOpen && nowMs - repairedMs > quietMs) this.#things.delete(key);
  }

  /** The host was declared lost: nothing of what it had is wanted any more. */
  clear(): void {
    this.#things.clear();
  }

  /** A row of the view as a segment carries it over. */
  carry(row: DriftRow): void {
    const { kind, name, networkId, endpointId, sandbox: id, sandboxIncarnation: incarnation } = row;
    const sandbox = id === null || incarnation === null ? null : { id, incarnation };
    const of = { kind, name, networkId, endpointId, sandbox } as DriftThing;
    const signature = signatureOf(row.changes.map(({ object }) => object));
    const thing = this.take(thingKey(of), of);
    Object.assign(thing, { drift: row.drift, isOpen: true, reason: row.reason, signature, times: row.times });
  }

  /** An event of the log, from before this worker told of any itself. */
  fold({ type, data }: DriftEvent): void {
    const key = thingKey(data.of);
    const thing = this.take(key, data.of);
    if (type === 'DriftDetected') {
      const signature = signatureOf(data.changes.map(({ object }) => object));
      Object.assign(thing, { drift: data.drift, isOpen: true, reason: null, signature, times: data.times });
    } else if (thing.drift === data.drift) {
      if (type === 'DriftLeft') Object.assign(thing, { reason: data.reason, times: data.times });
      else this.#things.delete(key);
    }
  }
}

export const signatureOf = (objects: readonly string[]): string => [...objects].sort().join('\n');
