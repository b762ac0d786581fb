/** Decisions on what is kept and what is shredded. */
import { z } from 'zod';

const hold = { name: z.string(), subject: z.string().nullable(), reason: z.string() };

export const auditDecisions = {
  /** Of the subject's sealed values; null: of everything. */
  LegalHoldSet: z.object(hold),
  LegalHoldLifted: z.object(hold),
  /** Whoever keeps the key of the subject's sealed values deletes it. */
  SubjectShredded: z.object({ subject: z.string(), reason: z.string() }),
} as const;
