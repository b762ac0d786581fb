/** What is asked for with SetQuota. */
import { z } from 'zod';
import { Actor } from './names.ts';

const Limit = z.int().min(0).max(1_000_000_000);

export const QuotaRequest = z.strictObject({
  actor: Actor.optional(),
  limits: z
    .strictObject({
      networks: Limit.optional(),
      endpoints: Limit.optional(),
      addresses: Limit.optional(),
      ports: Limit.optional(),
      /** Commands a second, over time. */
      rate: z.number().min(0.001).max(1_000_000).optional(),
      /** Commands at once; as many as in a second, at least one, when left out. */
      burst: z.int().min(1).max(10_000_000).optional(),
    })
    .nullable(),
});
