/** Decisions on what is kept, what is shredded and what is put away. */
import { z } from 'zod';
import { Segment } from './segment-event.ts';

const hold = { name: z.string(), subject: z.string().nullable(), reason: z.string() };

export const auditDecisions = {
  /** Of the subject's sealed values; null: of everything. */
  LegalHoldSet: z.object(hold),
  LegalHoldLifted: z.object(hold),
  /** Whoever keeps the key of the subject's sealed values deletes it. */
  SubjectShredded: z.object({ subject: z.string(), reason: z.string() }),
  SegmentOpened: Segment,
} as const;
