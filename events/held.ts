/** What a kernel holds that the log does not know, as a worker reads it from its objects. */
import { z } from 'zod';
import { Id } from './names.ts';

/** Of one network, endpoint or sandbox that carries our tag: whatever of it must not be given to somebody else. */
export const Held = z.object({
  entity: z.enum(['network', 'endpoint', 'sandbox']),
  /** As its tag says: nothing on the log has this id, or the log knows it otherwise than the kernel. */
  id: Id,
  /** The network that an endpoint is in; null where the kernel does not tell. */
  networkId: Id.nullable(),
  /** Paths of namespaces and names of the host's links. */
  names: z.array(z.string()),
  /** Without prefix length. */
  addresses: z.array(z.string()),
  macs: z.array(z.string()),
  subnets: z.array(z.string()),
  ports: z.array(z.object({ protocol: z.enum(['tcp', 'udp', 'sctp']), hostAddress: z.string(), hostPort: z.int() })),
});
export type Held = z.infer<typeof Held>;

/** A place in a log: which log it is, and the position of a commit. */
export const LogPlace = z.object({ epoch: z.string(), position: z.int() });
