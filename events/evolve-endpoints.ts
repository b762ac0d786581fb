/** How events change the endpoints of a boundary's state, and with them the sandboxes that they are in. */
import { endpointLifeAfter, type LifeAfter } from './endpoint-life.ts';
import { type Event, type EventOf, isRevertible } from './envelope.ts';
import { type EndpointFacts, type EndpointSettings, isFailure } from './events.ts';
import { joinSandbox, leaveSandbox, reelect, removeSandbox, returnToSandbox } from './evolve-sandboxes.ts';
import { hold, release } from './holdings.ts';
import { heldBy, holdInstead } from './leases.ts';
import { type BoundaryState, cellOf, type EndpointRow } from './state.ts';
import { endUpdate } from './updates.ts';

export const createEndpoint = (state: BoundaryState, event: EventOf<'EndpointCreateRequested'>): void => {
  const { endpoint } = event.data;
  const cell = cellOf(state, endpoint.networkId);
  // The network's creation may have failed while this was being decided; the worker then reports DEPENDENCY_FAILED.
  if (!cell || state.endpoints.has(endpoint.id)) return;
  cell.endpoints.set(endpoint.id, event.meta.executors ?? '');
  cell.names.set(endpoint.name.toLowerCase(), endpoint.id);
  hold(cell, endpoint);
  holdInstead(state, { kind: 'endpoint', id: endpoint.id }, [], endpoint.ports);
  state.endpoints.set(endpoint.id, {
    facts: endpoint,
    actor: event.meta.actor,
    status: 'creating',
    intent: event.meta.id,
    leave: null,
    update: null,
    sandbox: null,
    isSettled: false,
    plug: null,
    generation: 1,
    idleSince: event.meta.time,
    lastSandbox: null,
    suspected: false,
  });
};

const addOccupants = (state: BoundaryState, place: EndpointRow['sandbox'], more: number): void => {
  if (!place) return;
  const count = (state.occupants.get(place.incarnation) ?? 0) + more;
  if (count > 0) state.occupants.set(place.incarnation, count);
  else state.occupants.delete(place.incarnation);
};

// ---------------------------------------------------------------- its end

const freeName = (state: BoundaryState, { facts }: EndpointRow): void => {
  const names = cellOf(state, facts.networkId)?.names;
  if (names?.get(facts.name.toLowerCase()) === facts.id) names.delete(facts.name.toLowerCase());
};

const removeEndpoint = (state: BoundaryState, row: EndpointRow, atMs: number): void => {
  const { facts } = row;
  const cell = cellOf(state, facts.networkId);
  freeName(state, row);
  cell?.endpoints.delete(facts.id);
  if (cell) release(cell, facts, atMs);
  holdInstead(state, { kind: 'endpoint', id: facts.id }, heldBy(row), []);
  addOccupants(state, row.sandbox, -1);
  state.endpoints.delete(facts.id);
};

/** Nothing of an endpoint is left, nor of a sandbox that should have ended before it and that no other endpoint keeps. */
export const endEndpoint = (state: BoundaryState, row: EndpointRow, event: Event): void => {
  leaveSandbox(state, row, event);
  removeEndpoint(state, row, Date.parse(event.meta.time));
  const sandbox = state.sandboxes.get(row.sandbox?.incarnation ?? '');
  if (sandbox?.status === 'removing' && !state.occupants.has(sandbox.facts.incarnation)) removeSandbox(state, sandbox);
};

// ---------------------------------------------------------------- its life

const membershipAfter = (row: EndpointRow, event: Event, after: LifeAfter): EndpointRow['sandbox'] => {
  switch (event.type) {
    case 'EndpointJoinRequested': {
      const { sandbox, joinId } = event.data;
      return { id: sandbox.id, incarnation: sandbox.incarnation, joinId, interface: event.data.interface };
    }
    case 'EndpointJoined':
      // Whoever carries a network out may say only now what its interface is called.
      return row.sandbox && { ...row.sandbox, interface: event.data.interface ?? row.sandbox.interface };
    case 'EndpointJoinFailed':
    case 'EndpointLeft':
    case 'EndpointDeleted':
      return null;
    case 'EndpointLeaveReverted':
    case 'EndpointDeleteReverted':
      return after.status === 'created' ? null : row.sandbox;
    default:
      return row.sandbox;
  }
};

/** A name is free at the delete intent; only where that is part of a move it is kept until the end, since it may come back. */
const keepName = (state: BoundaryState, row: EndpointRow, event: Event, after: LifeAfter): void => {
  if (event.type === 'EndpointDeleteRequested' && isRevertible(event)) return;
  if (after.status === 'deleting' || event.type === 'EndpointDeleteFailed') freeName(state, row);
};

const toSandbox = (state: BoundaryState, row: EndpointRow, event: Event): void => {
  switch (event.type) {
    case 'EndpointJoinRequested':
      joinSandbox(state, event);
      return;
    case 'EndpointLeaveRequested':
    case 'EndpointJoinFailed':
      leaveSandbox(state, row, event);
      return;
    default:
  }
};

/** Whether there is something to go back to: the join before may have failed meanwhile. */
const returns = ({ leave }: EndpointRow, { meta }: Event): boolean =>
  leave !== null && leave.intent === meta.causationid && !leave.joinFailed;

export const evolveEndpoint = (state: BoundaryState, event: Event & { data: { endpointId: string } }): void => {
  const row = state.endpoints.get(event.data.endpointId);
  // Its creation may have failed while a join was being decided; the worker then reports DEPENDENCY_FAILED.
  const after = row && endpointLifeAfter(row, event);
  if (!row || !after) return;
  const { status, intent, leave } = after;
  if (status === 'absent') {
    endEndpoint(state, row, event);
    return;
  }
  if (event.type === 'EndpointLeaveReverted' && returns(row, event)) returnToSandbox(state, event);
  if (!after.counts) {
    const sandbox = event.type === 'EndpointJoined' ? membershipAfter(row, event, after) : row.sandbox;
    state.endpoints.set(row.facts.id, { ...row, leave, sandbox });
    return;
  }
  keepName(state, row, event, after);
  toSandbox(state, row, event);
  const sandbox = membershipAfter(row, event, after);
  // Its leave was reverted before its join was reported as failed.
  if (row.sandbox && !sandbox) leaveSandbox(state, row, event);
  const idle = event.type === 'EndpointLeft' || event.type === 'EndpointJoinFailed' || (row.sandbox && !sandbox);
  // A join that failed has put it into no sandbox; a leave says that it was meant to be in one, reported or not.
  const wasIn = event.type === 'EndpointJoined' || event.type === 'EndpointLeaveRequested';
  addOccupants(state, row.sandbox, -1);
  addOccupants(state, sandbox, 1);
  state.endpoints.set(row.facts.id, {
    ...row,
    status,
    intent,
    leave,
    sandbox,
    generation: row.generation + 1,
    idleSince: idle ? event.meta.time : row.idleSince,
    lastSandbox: wasIn ? event.data.sandbox.id : row.lastSandbox,
    suspected: event.type === 'EndpointSuspected',
  });
};

// ---------------------------------------------------------------- updates

const settingsOf = ({ aliases, ports, gatewayPriority }: EndpointFacts): EndpointSettings => ({
  aliases,
  ports,
  gatewayPriority,
});

/** It counts as something that has happened to it, so that it is not collected for what was before. */
const replace = (state: BoundaryState, before: EndpointRow, after: EndpointRow): void => {
  holdInstead(state, { kind: 'endpoint', id: after.facts.id }, heldBy(before), heldBy(after));
  state.endpoints.set(after.facts.id, { ...after, generation: before.generation + 1, suspected: false });
  if (before.facts.gatewayPriority !== after.facts.gatewayPriority) reelect(state, after.sandbox?.incarnation ?? '');
};

export const updateEndpoint = (state: BoundaryState, event: EventOf<'EndpointUpdateRequested'>): void => {
  const row = state.endpoints.get(event.data.endpointId);
  if (!row) return;
  const update = { intent: event.meta.id, before: settingsOf(row.facts), earlier: row.update };
  replace(state, row, { ...row, facts: { ...row.facts, ...event.data.settings }, update });
};

export const updateReported = (
  state: BoundaryState,
  event: EventOf<'EndpointUpdated' | 'EndpointUpdateFailed'>,
): void => {
  const row = state.endpoints.get(event.data.endpointId);
  const { causationid } = event.meta;
  const hasFailed = isFailure(event.type);
  // Done too late: it will be reported as taken back.
  if (!hasFailed && state.expired.has(causationid)) return;
  const ended = endUpdate(row?.update ?? null, causationid, hasFailed);
  if (row && ended) replace(state, row, { ...row, facts: { ...row.facts, ...ended.restored }, update: ended.update });
};
