/** View `holds`: legal holds that are not lifted, in the order in which they were set. Key: the name. */
import { type Asker, askerOf } from './asker.ts';
import type { Projection } from './projection.ts';

export interface HoldRow {
  readonly name: string;
  /** Whose sealed values it covers; null: everything. */
  readonly subject: string | null;
  readonly reason: string;
  readonly since: string;
  /** Who set it. */
  readonly actor: Asker['actor'];
  readonly actorproof: Asker['actorproof'];
  readonly commandid: string;
  readonly changedPosition: number;
}

export const holds: Projection<HoldRow> = {
  name: 'holds',
  version: 1,
  handles: ['LegalHoldSet', 'LegalHoldLifted'],
  apply: (rows, event, { position }) => {
    if (event.type === 'LegalHoldLifted') rows.delete(event.data.name);
    if (event.type !== 'LegalHoldSet') return;
    const { time: since, commandid } = event.meta;
    rows.set(event.data.name, { ...event.data, since, ...askerOf(event.meta), commandid, changedPosition: position });
  },
  fields: ['name', 'subject', 'actor'],
  references: [],
  refer: () => [],
};
