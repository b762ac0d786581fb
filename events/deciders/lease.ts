/** Decisions on leases of sandboxes and networks: who renews them, and the two steps in which a sandbox ends that nobody has renewed. */
import type { CommandData } from '../commands.ts';
import type { EventData } from '../events.ts';
import { expiresMs, type Lease, stillRuns } from '../lifetime.ts';
import { type Refusal, refuse } from '../refusals.ts';
import { type BoundaryState, findSandbox, type NetworkRow, type SandboxRow } from '../state.ts';
import {
  accept,
  type Context,
  type Decide,
  found,
  movingSandbox,
  networkCulprit,
  networkFor,
  type Result,
  sandboxCulprit,
} from './context.ts';
import { detach } from './sandbox.ts';

/** What a lease is of. */
interface Leased {
  readonly lease: Lease | null | undefined;
  readonly owner: string | null;
  readonly about: Pick<EventData<'LeaseRenewed'>, 'sandbox' | 'network'>;
  readonly what: string;
  readonly culprit: ReturnType<typeof sandboxCulprit> | ReturnType<typeof networkCulprit>;
}

const ofSandbox = (row: SandboxRow): Leased => ({
  lease: row.lease,
  owner: row.facts.owner,
  about: { sandbox: { id: row.facts.id, incarnation: row.facts.incarnation }, network: null },
  what: `sandbox ${row.facts.id}`,
  culprit: sandboxCulprit(row),
});

const ofNetwork = (row: NetworkRow): Leased => ({
  lease: row.lease,
  owner: row.facts.owner,
  about: { sandbox: null, network: { id: row.facts.id, name: row.facts.name } },
  what: `network ${row.facts.name}`,
  culprit: networkCulprit(row),
});

const meant = (state: BoundaryState, { sandbox: id, network: ref }: CommandData<'RenewLease'>): Result<Leased> => {
  if ((id === undefined) === (ref === undefined))
    return refuse('COMMAND_MALFORMED', 'a lease is that of a sandbox or of a network: name one', [
      { kind: 'field', id: 'sandbox' },
      { kind: 'field', id: 'network' },
    ]);
  if (ref !== undefined) {
    const network = networkFor(state, ref, 'RenewLease');
    return network.ok ? found(ofNetwork(network.value)) : network;
  }
  const row = findSandbox(state, id ?? '');
  if (row) return found(ofSandbox(row));
  return refuse('SANDBOX_NOT_FOUND', `there is no sandbox ${id}`, [{ kind: 'sandbox', id: id ?? '' }]);
};

/** Until it is gone it can be renewed, even where it has run out. */
export const renewLease: Decide<'RenewLease'> = (state, data, { actor }) => {
  const leased = meant(state, data);
  if (!leased.ok) return leased;
  const { lease, owner, about, what, culprit } = leased.value;
  if (!lease) return refuse('LEASE_NOT_FOUND', `${what} was made without a lease`, [culprit]);
  if (lease.actor !== actor)
    return refuse('LEASE_NOT_YOURS', `${what} was made by ${lease.actor}, not by ${actor}`, [culprit]);
  if (data.owner !== undefined && data.owner !== owner)
    return refuse('LEASE_NOT_YOURS', `${what} is for ${owner ?? 'nobody in particular'}, not for ${data.owner}`, [
      culprit,
    ]);
  const { leaseMs = lease.leaseMs } = data;
  return accept({ type: 'LeaseRenewed', data: { ...about, leaseMs, renewals: lease.renewals + 1 } });
};

interface Expired {
  readonly row: SandboxRow;
  readonly lease: Lease;
}

const running = (row: SandboxRow, why: string): Refusal =>
  refuse('LEASE_RUNNING', `the lease of sandbox ${row.facts.id} ${why}`, [sandboxCulprit(row)]);

/** The sandbox, if its lease has run out and nobody has renewed it since the collector looked. */
const expired = (
  state: BoundaryState,
  { incarnation, renewals }: CommandData<'ExpireLease'>,
  { nowMs }: Context,
): Result<Expired> => {
  const row = state.sandboxes.get(incarnation);
  if (!row || findSandbox(state, row.facts.id) !== row)
    return refuse('SANDBOX_NOT_FOUND', `there is no sandbox ${incarnation}`, [{ kind: 'sandbox', id: incarnation }]);
  const why = stillRuns(row.lease, renewals, nowMs);
  return !row.lease || why !== null ? running(row, why ?? '') : found({ row, lease: row.lease });
};

export const suspectLease: Decide<'SuspectLease'> = (state, data, context) => {
  const suspect = expired(state, data, context);
  if (!suspect.ok) return suspect;
  const { row, lease } = suspect.value;
  if (lease.suspectedAt !== null) return running(row, 'is suspected already');
  const expiredAt = new Date(expiresMs(lease)).toISOString();
  return accept({ type: 'LeaseSuspected', data: { ...ofSandbox(row).about, renewals: lease.renewals, expiredAt } });
};

export const expireLease: Decide<'ExpireLease'> = (state, data, context) => {
  const suspect = expired(state, data, context);
  if (!suspect.ok) return suspect;
  const { row, lease } = suspect.value;
  if (lease.suspectedAt === null) return running(row, 'is not suspected');
  return movingSandbox(state, row) ?? accept(...detach(state, row));
};
