/** View `parked`: events that could not be folded, each with how many later events about the same thing wait behind it. Key: `SEQ.INDEX`. */
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
  readonly host: string | null;
}

export const parked: Projection<ParkedRow> = {
  name: 'parked',
  version: 1,
  // No event that can be folded puts a row here.
  handles: [],
  apply: () => undefined,
  fields: ['position', 'key', 'type', 'host'],
  references: [],
  refer: () => [],
};
