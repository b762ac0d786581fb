/** View `shredded`: subjects whose sealed values nobody can read any more. Key: the subject. */
import { type Asker, askerOf } from './asker.ts';
import type { Projection } from './projection.ts';

export interface ShreddedRow {
  readonly subject: string;
  readonly reason: string;
  readonly since: string;
  /** Who asked for it. */
  readonly actor: Asker['actor'];
  readonly actorproof: Asker['actorproof'];
  readonly commandid: string;
  readonly changedPosition: number;
}

export const shredded: Projection<ShreddedRow> = {
  name: 'shredded',
  version: 1,
  handles: ['SubjectShredded'],
  apply: (rows, event, { position }) => {
    if (event.type !== 'SubjectShredded') return;
    const { time: since, commandid } = event.meta;
    rows.set(event.data.subject, {
      ...event.data,
      since,
      ...askerOf(event.meta),
      commandid,
      changedPosition: position,
    });
  },
  fields: ['subject', 'actor'],
  references: [],
  refer: () => [],
};
