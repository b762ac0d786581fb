/** Answers to commands, and queries with their answers, as they stand on the wire (docs/protocol.md). */
import { z } from 'zod';
import { Culprit, Fault, PortBinding } from './events.ts';

const Result = {
  command: z.string(),
  commandid: z.string(),
  correlationid: z.string(),
  /** Position in the log of the decision, or of the event that ended the command. */
  position: z.int(),
};
const EndpointResult = z.object({
  id: z.string(),
  name: z.string(),
  networkId: z.string(),
  interface: z.string().nullable(),
  ipv4: z.string().nullable(),
  ipv6: z.string().nullable(),
  mac: z.string().nullable(),
  routes: z.array(z.object({ destination: z.string(), gateway: z.string() })),
  /** What leads into its sandbox now. */
  ports: z.array(PortBinding).default([]),
});
const things = {
  network: z.object({ id: z.string(), name: z.string() }).nullable(),
  endpoints: z.array(EndpointResult),
  sandbox: z.object({ id: z.string(), key: z.string() }).nullable(),
};

/** First answer: the command was decided, and with what ids and addresses. */
export const Accepted = z.object({ kind: z.literal('accepted'), ...Result, ...things });
export type Accepted = z.infer<typeof Accepted>;
/** First and only answer: the domain said no. */
export const Refused = z.object({
  kind: z.literal('refused'),
  ...Result,
  code: z.string(),
  detail: z.string(),
  culprits: z.array(Culprit),
});
export type Refused = z.infer<typeof Refused>;
/** Second answer: what became of it. */
export const Outcome = z.object({
  kind: z.literal('outcome'),
  status: z.enum(['succeeded', 'failed', 'timed-out', 'cancelled']),
  ...Result,
  ...things,
  fault: Fault.nullable(),
});
export type Outcome = z.infer<typeof Outcome>;
/** What comes on `cnm.reply.<actor>.<commandid>`. */
export const Answer = z.discriminatedUnion('kind', [Accepted, Refused, Outcome]);
export type Answer = z.infer<typeof Answer>;

/** The views that `cnm.query.<view>` answers. */
export const viewNames = [
  'networks',
  'endpoints',
  'sandboxes',
  'addresses',
  'names',
  'ports',
  'hosts',
  'drivers',
  'commands',
  'garbage',
  'drift',
  'leases',
  'parked',
  'holds',
  'shredded',
  'quotas',
  'capacity',
] as const;
export type ViewName = (typeof viewNames)[number];

/** Body of a request on `cnm.query.<view>`, and on `cnm.query.events`. */
export const Query = z.strictObject({
  /**
   * Only rows of which every named field has this value, such as {"host": "h1", "status": "joined"}; of several values in a list one,
   * but of `label` all. `events` take one value each.
   */
  filter: z.record(z.string(), z.union([z.string(), z.array(z.string()).min(1).max(256)])).default({}),
  /** Wait until the view holds this position: read your writes. */
  atLeast: z.int().optional(),
  /** The view as it was at this position, or at this time (RFC 3339). */
  asOf: z.union([z.int().min(0), z.iso.datetime()]).optional(),
  /** Of `diff` alone: what differs between this moment and `asOf` (now when left out); a position, or a time (RFC 3339). */
  from: z.union([z.int().min(0), z.iso.datetime()]).optional(),
  /** How long to wait for `atLeast`, milliseconds. */
  timeoutMs: z.int().min(1).max(30_000).default(5_000),
  limit: z.int().min(1).max(10_000).default(10_000),
  /** Continue behind this row: `next` of the answer before. */
  after: z.string().optional(),
});
export type Query = z.infer<typeof Query>;
export type QueryInput = z.input<typeof Query>;

/** Answer to a query: rows, and the position that they reflect. */
export const QueryAnswer = z.object({
  position: z.int(),
  rows: z.array(z.record(z.string(), z.unknown())),
  /** Given when the limit cut the answer: pass it as `after`. */
  next: z.string().optional(),
});
export type QueryAnswer = z.infer<typeof QueryAnswer>;

/** Codes of a query that could not be answered (header Nats-Service-Error-Code has the number). */
export const queryErrors = {
  QUERY_MALFORMED: 400,
  QUERY_VIEW_UNKNOWN: 404,
  /** The view has not reached `atLeast` in time; the detail says how far it is. */
  QUERY_NOT_YET: 425,
  QUERY_POSITION_UNKNOWN: 400,
} as const;
