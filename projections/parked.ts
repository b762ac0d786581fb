/**
 * View `parked`: events that could not be folded, each with how many later events about the same thing wait behind it. Key: what it is
 * about, since of one thing there is one: what comes later waits.
 */
import type { Projection } from './projection.ts';

export interface ParkedRow {
  /** `SEQ.INDEX` of the event. */
  readonly position: string;
  /** What it is about, and what waits behind it: its CloudEvents subject, or the subject of a commit that cannot be read at all. */
  readonly key: string;
  /** As it is stored, such as `cnm.EndpointJoined.v3`; empty for a whole commit. */
  readonly type: string;
  readonly reason: string;
  /** When it was recorded, RFC 3339. */
  readonly since: string;
  readonly waiting: number;
  /** `SEQ.INDEX` of the first of those that wait, at most `BEHIND_MAX`. */
  readonly behind: readonly string[];
  readonly host: string | null;
}

/** How many of those that wait are named. */
export const BEHIND_MAX = 100;

export const parked: Projection<ParkedRow> = {
  name: 'parked',
  version: 1,
  // No event that can be folded puts a row here (parking.ts).
  handles: [],
  apply: () => undefined,
  fields: ['position', 'key', 'type', 'host'],
  references: [],
  refer: () => [],
};

/** A fold has thrown at an event, and may have left a part of it in the rows. */
export class Poisoned extends Error {
  override name = 'Poisoned';
  /** Of the commit. */
  readonly position: number;
  readonly index: number;

  constructor(position: number, index: number, cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause);
    super(`event ${position}.${index} cannot be folded: ${why}`, { cause });
    this.position = position;
    this.index = index;
  }
}
