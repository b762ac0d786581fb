/** Decisions on who may have how much, and what hosts say of what they have left. */
import { z } from 'zod';
import { Actor, HostName, Id } from './names.ts';

/** What one actor may have at most, over all hosts; null: as much as it likes. */
export const QuotaLimits = z.object({
  networks: z.int().nullable(),
  endpoints: z.int().nullable(),
  /** Addresses of endpoints, of both families. */
  addresses: z.int().nullable(),
  /** Host ports that are published. */
  ports: z.int().nullable(),
  /** Commands a second, over time. */
  rate: z.number().nullable(),
  /** Commands at once, while it has been quiet for long enough; null: as many as in a second. */
  burst: z.int().nullable(),
});
export type QuotaLimits = z.infer<typeof QuotaLimits>;

export const loadDecisions = {
  /** `actor` null: of everybody without a quota of their own. `limits` null: none any more. */
  QuotaSet: z.object({ actor: Actor.nullable(), limits: QuotaLimits.nullable() }),
  /**
   * Commands of an actor that were refused alike: those between the positions `first` and `last` of the command stream of which
   * nothing else is recorded.
   */
  CommandsRefused: z.object({
    actor: Actor,
    code: z.string(),
    detail: z.string(),
    count: z.int(),
    first: z.int(),
    last: z.int(),
  }),
} as const;

/** How much of something a host has, and how much of it is in use. */
export const CapacityUse = z.object({
  host: HostName,
  /** `ports` of a bridge, `addresses` of a subnet, `subnets` of the pools, `neighbours4`, `neighbours6`, `conntrack`, `descriptors`, `files`, ... */
  what: z.string(),
  /** Where it is of one network. */
  ofNetwork: Id.nullable(),
  used: z.int(),
  limit: z.int(),
  percent: z.number(),
});
export type CapacityUse = z.infer<typeof CapacityUse>;

export const loadOutcomes = {
  /** All that this worker counts, when it starts. What it counted before is void. */
  CapacityStated: z.object({ host: HostName, uses: z.array(CapacityUse.omit({ host: true })) }),
  /** More than `band` percent are in use, from less. */
  CapacityPressure: z.object({ ...CapacityUse.shape, band: z.int() }),
  /** Fewer than before; `band`: what is still passed, 0 for none. */
  CapacityRelieved: z.object({ ...CapacityUse.shape, band: z.int() }),
} as const;
