/** View `shredded`: subjects whose sealed values nobody can read any more. Key: the subject. */
import type { Projection } from './projection.ts';

export interface ShreddedRow {
  readonly subject: string;
  readonly reason: string;
  readonly since: string;
  /** Who asked for it. */
  readonly actor: string;
  readonly commandid: string;
  readonly changedPosition: number;
}

export const shredded: Projection<ShreddedRow> = {
  name: 'shredded',
  version: 1,
  handles: ['SubjectShredded'],
  apply: (rows, event, { position }) => {
    if (event.type !== 'SubjectShredded') return;
    const { time: since, actor, commandid } = event.meta;
    rows.set(event.data.subject, { ...event.data, since, actor, commandid, changedPosition: position });
  },
  fields: ['subject', 'actor'],
  references: [],
  refer: () => [],
};
