/** How events change the sandboxes of a boundary's state: made by the first join, desired no more after the last leave. */
import { type Event, type EventOf, isRevertible } from './envelope.ts';
import type { EventType, Gateways, SandboxFacts } from './events.ts';
import { electGateways } from './gateways.ts';
import { holdInstead } from './leases.ts';
import { leaseOf } from './lifetime.ts';
import { bootOf } from './reboots.ts';
import { type BoundaryState, type EndpointRow, isMoving, networkOf, plugOf, type SandboxRow } from './state.ts';
import { nextStatus, sandboxTransitions } from './states.ts';

/** The status of a sandbox after an event that does not end it. */
const statusOr = (status: SandboxRow['status'], type: EventType): SandboxRow['status'] => {
  const after = nextStatus(sandboxTransitions, status, type);
  return after === 'absent' ? status : after;
};

/** Who carries the default routes, by the rule. */
const elect = (state: BoundaryState, members: readonly string[]): Gateways =>
  electGateways(
    members.flatMap((id) => {
      const row = state.endpoints.get(id);
      const network = row && networkOf(state, row.facts.networkId)?.facts;
      return row && network ? [{ id, gatewayPriority: row.facts.gatewayPriority, network, plug: plugOf(row) }] : [];
    }),
  );

const start = (
  state: BoundaryState,
  facts: SandboxFacts,
  status: SandboxRow['status'],
  { meta }: Event,
): SandboxRow => {
  holdInstead(state, { kind: 'sandbox', id: facts.incarnation }, [], facts.ports);
  const nobody = { members: [], gateways: { ipv4: null, ipv6: null }, move: null };
  return { facts, actor: meta.actor, status, ...nobody, lease: leaseOf(facts, meta), boot: bootOf(state), lost: null };
};

const unname = (state: BoundaryState, { facts }: SandboxRow): void => {
  if (state.sandboxIds.get(facts.id) === facts.incarnation) state.sandboxIds.delete(facts.id);
};

export const removeSandbox = (state: BoundaryState, row: SandboxRow): void => {
  const { facts } = row;
  unname(state, row);
  holdInstead(state, { kind: 'sandbox', id: facts.incarnation }, facts.ports, []);
  state.sandboxes.delete(facts.incarnation);
};

export const joinSandbox = (state: BoundaryState, event: EventOf<'EndpointJoinRequested'>): void => {
  const { sandbox, endpointId } = event.data;
  const row = state.sandboxes.get(sandbox.incarnation) ?? start(state, sandbox, 'creating', event);
  const members = [...row.members, endpointId];
  const status = statusOr(row.status, event.type);
  state.sandboxes.set(sandbox.incarnation, { ...row, status, members, gateways: elect(state, members) });
  state.sandboxIds.set(sandbox.id, sandbox.incarnation);
};

/**
 * The name of a sandbox is free once nobody is in it nor may come back: while a leave may be reverted another sandbox of that name would
 * be a second one in the same namespace.
 */
const unnameDeserted = (state: BoundaryState, row: SandboxRow): void => {
  if (row.members.length === 0 && !isMoving(state, row)) unname(state, row);
};

/** The intent is reported: if it was a leave, nobody comes back by it any more. */
export const endMove = (state: BoundaryState, intent: Event | undefined): void => {
  if (intent?.type !== 'EndpointLeaveRequested') return;
  const row = state.sandboxes.get(intent.data.sandbox.incarnation);
  if (row) unnameDeserted(state, row);
};

/** Takes an endpoint out; the sandbox of the last one is desired no more from here on. */
export const leaveSandbox = (state: BoundaryState, endpoint: EndpointRow, event: Event): void => {
  const row = state.sandboxes.get(endpoint.sandbox?.incarnation ?? '');
  if (!row?.members.includes(endpoint.facts.id)) return;
  const members = row.members.filter((id) => id !== endpoint.facts.id);
  const isMove = event.type === 'EndpointLeaveRequested' && isRevertible(event);
  const left: SandboxRow = {
    ...row,
    members,
    gateways: elect(state, members),
    move: isMove ? event.meta.id : row.move,
  };
  if (members.length > 0) {
    state.sandboxes.set(row.facts.incarnation, left);
    return;
  }
  unnameDeserted(state, left);
  const cause = event.type === 'EndpointLeaveRequested' ? event.type : 'EndpointJoinFailed';
  const status = nextStatus(sandboxTransitions, row.status, cause);
  const { incarnation } = row.facts;
  // Whoever has not been reported out of it is in there, or may be still.
  if (status !== 'absent') state.sandboxes.set(incarnation, { ...left, status });
  else if (state.occupants.get(incarnation) === 1) removeSandbox(state, row);
  else state.sandboxes.set(incarnation, { ...left, status: 'removing' });
};

/** Puts an endpoint back where it was among the members, since its move failed. */
export const returnToSandbox = (state: BoundaryState, event: EventOf<'EndpointLeaveReverted'>): void => {
  const { sandbox, endpointId, before } = event.data;
  const row = state.sandboxes.get(sandbox.incarnation) ?? start(state, sandbox, 'ready', event);
  if (row.members.includes(endpointId)) return;
  const members = row.members.toSpliced(before.index, 0, endpointId);
  // Whoever was in it and is again says that it is there, even if others have joined since it was left.
  const after = { ...row, status: 'ready', members, gateways: elect(state, members) } as const;
  state.sandboxes.set(sandbox.incarnation, after);
  if (!state.sandboxIds.has(sandbox.id)) state.sandboxIds.set(sandbox.id, sandbox.incarnation);
};

/** Elects anew, since the priority of a member has changed. */
export const reelect = (state: BoundaryState, incarnation: string): void => {
  const row = state.sandboxes.get(incarnation);
  if (row) state.sandboxes.set(incarnation, { ...row, gateways: elect(state, row.members) });
};

type Rebooted = EventOf<'SandboxLost' | 'SandboxRestored' | 'SandboxReclaimed'>;

const rebooted = (row: SandboxRow, { type, data, meta }: Rebooted): SandboxRow => {
  if (type === 'SandboxRestored') return { ...row, boot: data.bootId, lost: null };
  if (type === 'SandboxReclaimed') return { ...row, lost: row.lost ? { ...row.lost, reclaimed: true } : null };
  return { ...row, lost: { bootId: data.bootId, since: meta.time, reason: data.reason, reclaimed: false } };
};

const sandboxTypes = [
  'SandboxCreated',
  'SandboxRemoved',
  'SandboxLost',
  'SandboxRestored',
  'SandboxReclaimed',
] as const;
type OfSandbox = EventOf<(typeof sandboxTypes)[number]>;

export const isOfSandbox = (event: Event): event is OfSandbox => sandboxTypes.some((type) => type === event.type);

export const evolveSandbox = (state: BoundaryState, event: OfSandbox): void => {
  const row = state.sandboxes.get(event.data.sandbox.incarnation);
  if (!row) return;
  if (event.type !== 'SandboxCreated' && event.type !== 'SandboxRemoved') {
    state.sandboxes.set(row.facts.incarnation, rebooted(row, event));
    return;
  }
  const status = nextStatus(sandboxTransitions, row.status, event.type);
  if (status === 'absent') removeSandbox(state, row);
  else state.sandboxes.set(row.facts.incarnation, { ...row, status, boot: bootOf(state), lost: null });
};
