/** How events change the leases of a boundary's sandboxes and networks. Those begin with what they are of (`leaseOf`). */
import type { EventOf } from './envelope.ts';
import type { Lease } from './lifetime.ts';
import { type BoundaryState, homeOf, networkOf } from './state.ts';

type LeaseEvent = EventOf<'LeaseRenewed' | 'LeaseSuspected'>;

/** Decided on the boundary that guards it, so what is said of a lease always follows on what was said before. */
const after = (lease: Lease | null | undefined, { type, data, meta }: LeaseEvent): Lease | null => {
  if (!lease) return null;
  if (type === 'LeaseSuspected') return { ...lease, suspectedAt: meta.time };
  const { leaseMs, renewals } = data;
  return { ...lease, leaseMs, renewals, renewedAt: meta.time, suspectedAt: null };
};

export const evolveLease = (state: BoundaryState, event: LeaseEvent): void => {
  const { sandbox, network } = event.data;
  const box = sandbox && state.sandboxes.get(sandbox.incarnation);
  if (box) state.sandboxes.set(box.facts.incarnation, { ...box, lease: after(box.lease, event) });
  const row = network && networkOf(state, network.id);
  if (row) homeOf(state, row.facts.scope).networks.set(row.facts.id, { ...row, lease: after(row.lease, event) });
};
