/** What workers report of kernel objects of ours that somebody else has changed. */
import { z } from 'zod';
import { DriftPolicy } from './commands.ts';
import { Fault } from './facts.ts';
import { HostName, Id, SandboxId } from './names.ts';

/** What an object is to be and what was found, as people read it: what differs of one that is there, all of one that is not. */
export const DriftChange = z.object({
  /** Key of the object: `link cb1`, `route /run/x 0.0.0.0/0`, `setting net.bridge.bridge-nf-call-iptables`. */
  object: z.string(),
  before: z.string(),
  after: z.string(),
});
export type DriftChange = z.infer<typeof DriftChange>;

/** Whose objects they are: what has drifted of one thing is told of together. */
export const DriftThing = z.object({
  kind: z.enum(['network', 'endpoint', 'sandbox', 'host']),
  /** Of the network, the endpoint, the sandbox or the host. */
  name: z.string(),
  /** Null for a sandbox and a host. */
  networkId: Id.nullable(),
  endpointId: Id.nullable(),
  /** Null for a network, a host, and an endpoint that is in none. */
  sandbox: z.object({ id: SandboxId, incarnation: Id }).nullable(),
});
export type DriftThing = z.infer<typeof DriftThing>;

const about = {
  /** Names the drift until it ends. */
  drift: Id,
  host: HostName,
  of: DriftThing,
};
/** How often it has drifted in a row. */
const times = z.int();

export const driftOutcomes = {
  DriftDetected: z.object({
    ...about,
    changes: z.array(DriftChange),
    /** How many changes are left out. */
    more: z.int(),
    by: z.enum(['notification', 'census', 'start']),
    policy: DriftPolicy,
    /** Who changed it, as far as the kernel tells. */
    suspects: z.array(z.string()),
    times,
  }),
  /** It is as it was. */
  DriftRepaired: z.object({ ...about, times }),
  /** It stays as it was found, or does not stay repaired. */
  DriftLeft: z.object({
    ...about,
    reason: z.enum(['policy', 'fault', 'contested']),
    fault: Fault.nullable(),
    suspects: z.array(z.string()),
    times,
  }),
  /** It is right again without us, or not there any more. */
  DriftEnded: z.object({ ...about, reason: z.enum(['right', 'gone']) }),
} as const;
