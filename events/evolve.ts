/** How each event changes a boundary's state. Total: history has happened, so nothing here refuses or throws. */
import { foldCommand } from './command-record.ts';
import type { Event, EventOf } from './envelope.ts';
import { type EndpointFacts, type EventType, isConstructive, isFailure, isIntent, isTerminal } from './events.ts';
import { addressPool, holdAddress, holdSubnet, releaseAddress, releaseSubnet, setRoutes } from './ipam.ts';
import { type BoundaryState, commandKey, type EndpointRow, type NetworkCell, type SandboxRow } from './state.ts';
import { endpointTransitions, networkTransitions, sandboxTransitions } from './states.ts';
import { Table } from './table.ts';

/** How long command ids are remembered; design value, 30 days. */
export const memoryMs = 30 * 86_400_000;
/** How far ahead of the controller's clock an id may be minted: clocks of senders differ. */
export const skewMs = 5 * 60_000;

type Next<S extends string> = Readonly<Record<S, Readonly<Partial<Record<EventType, S>>>>>;

const next = <S extends string>(table: Next<S>, status: S, type: EventType): S => table[status][type] ?? status;

const millis = (event: Event): number => Date.parse(event.meta.time);

// ---------------------------------------------------------------- commands

const remember = (state: BoundaryState, event: Event, position: number): void => {
  const key = commandKey(event.meta.actor, event.meta.commandid);
  if (!state.commands.has(key)) {
    const digest = event.meta.commanddigest ?? '';
    state.commands.set(key, { digest, decidedAt: position, endedAt: isIntent(event.type) ? null : position });
    state.remembered.push({ key, decidedMs: millis(event) });
  }
  if (isIntent(event.type)) state.intents.set(event.meta.id, event);
};

/** Moves the record of an accepted command on; once it has ended, only its positions stay. */
const progress = (state: BoundaryState, key: string, event: Event, position: number): void => {
  const before = state.progress.get(key);
  if (before === undefined && !isIntent(event.type)) return;
  const record = foldCommand(before, event, position);
  if (record.status === 'accepted') {
    state.progress.set(key, record);
    return;
  }
  state.progress.delete(key);
  const row = state.commands.get(key);
  if (row) state.commands.set(key, { ...row, endedAt: position });
};

/** Closes the intent that an outcome reports on. What was done too late stays open until it is reported as undone. */
const close = (state: BoundaryState, event: Event): void => {
  const intent = event.meta.causationid;
  if (state.expired.has(intent) && !isFailure(event.type)) return;
  state.intents.delete(intent);
  state.expired.delete(intent);
};

/** Marks what a timed-out command wanted made: a worker that gets there undoes it. Removals are finished all the same. */
const expire = (state: BoundaryState, event: EventOf<'CommandTimedOut'>): void => {
  if (!state.progress.has(commandKey(event.data.actor, event.data.commandId))) return;
  for (const id of event.data.intents) {
    const type = state.intents.get(id)?.type;
    if (type !== undefined && isConstructive(type)) state.expired.set(id, true);
  }
};

/**
 * Drops ids that are too old to be asked for again: counted from the decision, since an id may be minted in any time, and somewhat
 * longer than ids are valid, since it may have been minted ahead of it. Called with each stored commit, never while a decision is tried on. */
export const forget = (state: BoundaryState, nowMs: number): void => {
  for (
    let oldest = state.remembered.at(0);
    oldest && oldest.decidedMs < nowMs - memoryMs - skewMs;
    oldest = state.remembered.at(0)
  ) {
    state.remembered.shift();
    if (!state.progress.has(oldest.key)) state.commands.delete(oldest.key);
  }
};

// ---------------------------------------------------------------- drivers

const configureDriver = (state: BoundaryState, event: EventOf<'DriverConfigureRequested'>): void => {
  const { driver, options } = event.data;
  state.drivers.set(driver, { options, before: state.drivers.get(driver)?.options ?? {}, intent: event.meta.id });
};

const restoreDriver = (state: BoundaryState, event: EventOf<'DriverConfigureFailed'>): void => {
  const row = state.drivers.get(event.data.driver);
  if (row?.intent !== event.meta.causationid) return;
  state.drivers.set(event.data.driver, { ...row, options: row.before });
};

// ---------------------------------------------------------------- networks

const createNetwork = (state: BoundaryState, event: EventOf<'NetworkCreateRequested'>): void => {
  const { network } = event.data;
  if (state.networks.has(network.id)) return;
  state.networks.set(network.id, { facts: network, status: 'creating', intent: event.meta.id });
  state.networkNames.set(network.name.toLowerCase(), network.id);
  for (const { subnet } of network.subnets) {
    holdSubnet(state.subnets, subnet, { kind: 'network', id: network.id, name: network.name });
  }
  const { journal } = state;
  const cell: NetworkCell = {
    endpoints: new Table(journal),
    names: new Table(journal),
    macs: new Table(journal),
    pools: network.subnets.map((subnet) => addressPool(journal, subnet)),
  };
  state.cells.set(network.id, cell);
};

/** A network that is undone takes its endpoints along: nothing of them could be named or reached any more. */
const endEndpoints = (state: BoundaryState, networkId: string, event: Event): void => {
  for (const id of [...(state.cells.get(networkId)?.endpoints.keys() ?? [])]) {
    const row = state.endpoints.get(id);
    if (!row) continue;
    endEndpoint(state, row, event);
  }
};

const evolveNetwork = (state: BoundaryState, event: Event, id: string): void => {
  const row = state.networks.get(id);
  if (!row) return;
  const current = isIntent(event.type) || event.meta.causationid === row.intent || event.type === 'NetworkCreateFailed';
  if (!current) return;
  const status = next(networkTransitions, row.status, event.type);
  if (status === 'absent' || status === 'deleting') {
    const name = row.facts.name.toLowerCase();
    if (state.networkNames.get(name) === id) state.networkNames.delete(name);
  }
  if (status === 'absent') {
    endEndpoints(state, id, event);
    for (const { subnet } of row.facts.subnets) releaseSubnet(state.subnets, subnet, id, millis(event));
    state.networks.delete(id);
    state.cells.delete(id);
  } else state.networks.set(id, { ...row, status, intent: isIntent(event.type) ? event.meta.id : row.intent });
};

// ---------------------------------------------------------------- endpoints

const addressesOf = (facts: EndpointFacts): readonly string[] =>
  [facts.ipv4, facts.ipv6].filter((cidr) => cidr !== null).map((cidr) => cidr.slice(0, cidr.indexOf('/')));

const portKey = (port: EndpointFacts['ports'][number]): string => `${port.protocol}/${port.hostPort}`;

const createEndpoint = (state: BoundaryState, event: EventOf<'EndpointCreateRequested'>): void => {
  const { endpoint } = event.data;
  const cell = state.cells.get(endpoint.networkId);
  // The network's creation may have failed while this was being decided; the worker then reports DEPENDENCY_FAILED.
  if (!cell || state.endpoints.has(endpoint.id)) return;
  cell.endpoints.set(endpoint.id, true);
  cell.names.set(endpoint.name.toLowerCase(), endpoint.id);
  if (endpoint.mac !== null) cell.macs.set(endpoint.mac, endpoint.id);
  for (const address of addressesOf(endpoint)) {
    for (const pool of cell.pools)
      holdAddress(pool, address, { kind: 'endpoint', id: endpoint.id, name: endpoint.name });
  }
  for (const port of endpoint.ports) {
    const holders = state.ports.get(portKey(port)) ?? [];
    state.ports.set(portKey(port), [...holders, { address: port.hostAddress, endpointId: endpoint.id }]);
  }
  state.endpoints.set(endpoint.id, {
    facts: endpoint,
    status: 'creating',
    intent: event.meta.id,
    sandbox: null,
    generation: 1,
    idleSince: event.meta.time,
    lastSandbox: null,
    suspected: false,
  });
};

const freeName = (state: BoundaryState, { facts }: EndpointRow): void => {
  const names = state.cells.get(facts.networkId)?.names;
  if (names?.get(facts.name.toLowerCase()) === facts.id) names.delete(facts.name.toLowerCase());
};

const removeEndpoint = (state: BoundaryState, row: EndpointRow, atMs: number): void => {
  const { facts } = row;
  const cell = state.cells.get(facts.networkId);
  freeName(state, row);
  cell?.endpoints.delete(facts.id);
  if (facts.mac !== null && cell?.macs.get(facts.mac) === facts.id) cell.macs.delete(facts.mac);
  for (const address of addressesOf(facts))
    for (const pool of cell?.pools ?? []) releaseAddress(pool, address, facts.id, atMs);
  for (const port of facts.ports) {
    const holders = (state.ports.get(portKey(port)) ?? []).filter((holder) => holder.endpointId !== facts.id);
    if (holders.length === 0) state.ports.delete(portKey(port));
    else state.ports.set(portKey(port), holders);
  }
  state.endpoints.delete(facts.id);
};

const membershipAfter = (row: EndpointRow, event: Event): EndpointRow['sandbox'] => {
  switch (event.type) {
    case 'EndpointJoinRequested': {
      const { sandbox, joinId } = event.data;
      return { id: sandbox.id, incarnation: sandbox.incarnation, joinId, interface: event.data.interface };
    }
    case 'EndpointJoinFailed':
    case 'EndpointLeft':
    case 'EndpointDeleted':
      return null;
    default:
      return row.sandbox;
  }
};

const evolveEndpoint = (state: BoundaryState, event: Event, id: string): void => {
  const row = state.endpoints.get(id);
  if (!row) return;
  const decision = isIntent(event.type) || event.type === 'EndpointSuspected';
  const current = decision || event.meta.causationid === row.intent || event.type === 'EndpointCreateFailed';
  if (!current) return;
  const status = next(endpointTransitions, row.status, event.type);
  if (status === 'deleting') freeName(state, row);
  if (status === 'absent') {
    endEndpoint(state, row, event);
    return;
  }
  if (event.type === 'EndpointJoinFailed') leaveSandbox(state, row, event);
  const idle = event.type === 'EndpointLeft' || event.type === 'EndpointJoinFailed';
  // A join that failed has put it into no sandbox; a leave says that it was meant to be in one, reported or not.
  const wasIn = event.type === 'EndpointJoined' || event.type === 'EndpointLeaveRequested';
  state.endpoints.set(id, {
    ...row,
    status,
    intent: isIntent(event.type) ? event.meta.id : row.intent,
    sandbox: membershipAfter(row, event),
    generation: row.generation + 1,
    idleSince: idle ? event.meta.time : row.idleSince,
    lastSandbox: wasIn ? event.data.sandbox.id : row.lastSandbox,
    suspected: event.type === 'EndpointSuspected',
  });
};

// ---------------------------------------------------------------- sandboxes

/** The status of a sandbox after an event that does not end it. */
const statusOr = (status: SandboxRow['status'], type: EventType): SandboxRow['status'] => {
  const after = next(sandboxTransitions, status, type);
  return after === 'absent' ? status : after;
};

const joinSandbox = (state: BoundaryState, event: EventOf<'EndpointJoinRequested'>): void => {
  const { sandbox, endpointId, gateways } = event.data;
  const row = state.sandboxes.get(sandbox.incarnation);
  const joined: SandboxRow = row
    ? { ...row, status: statusOr(row.status, event.type), members: [...row.members, endpointId], gateways }
    : { facts: sandbox, status: 'creating', members: [endpointId], gateways };
  state.sandboxes.set(sandbox.incarnation, joined);
  state.sandboxIds.set(sandbox.id, sandbox.incarnation);
};

/** Takes an endpoint out; the sandbox of the last one is desired no more from here on. */
const leaveSandbox = (state: BoundaryState, endpoint: EndpointRow, event: Event): void => {
  const row = state.sandboxes.get(endpoint.sandbox?.incarnation ?? '');
  if (!row?.members.includes(endpoint.facts.id)) return;
  const members = row.members.filter((id) => id !== endpoint.facts.id);
  const without = (id: string | null): string | null => (id === endpoint.facts.id ? null : id);
  const gateways =
    event.type === 'EndpointLeaveRequested'
      ? event.data.gateways
      : { ipv4: without(row.gateways.ipv4), ipv6: without(row.gateways.ipv6) };
  if (members.length > 0) {
    state.sandboxes.set(row.facts.incarnation, { ...row, members, gateways });
    return;
  }
  if (state.sandboxIds.get(row.facts.id) === row.facts.incarnation) state.sandboxIds.delete(row.facts.id);
  const cause = event.type === 'EndpointLeaveRequested' ? event.type : 'EndpointJoinFailed';
  const status = next(sandboxTransitions, row.status, cause);
  if (status === 'absent') state.sandboxes.delete(row.facts.incarnation);
  else state.sandboxes.set(row.facts.incarnation, { ...row, status, members, gateways });
};

/** Nothing of an endpoint is left, nor of a sandbox that should have ended before it and that no other endpoint keeps. */
const endEndpoint = (state: BoundaryState, row: EndpointRow, event: Event): void => {
  leaveSandbox(state, row, event);
  removeEndpoint(state, row, millis(event));
  const incarnation = row.sandbox?.incarnation ?? '';
  if (state.sandboxes.get(incarnation)?.status !== 'removing') return;
  for (const { sandbox } of state.endpoints.values()) if (sandbox?.incarnation === incarnation) return;
  state.sandboxes.delete(incarnation);
};

const evolveSandbox = (state: BoundaryState, event: EventOf<'SandboxCreated' | 'SandboxRemoved'>): void => {
  const row = state.sandboxes.get(event.data.sandbox.incarnation);
  if (!row) return;
  const status = next(sandboxTransitions, row.status, event.type);
  if (status === 'absent') state.sandboxes.delete(row.facts.incarnation);
  else state.sandboxes.set(row.facts.incarnation, { ...row, status });
};

// ---------------------------------------------------------------- all

const evolveModel = (state: BoundaryState, event: Event): void => {
  switch (event.type) {
    case 'HostFacts':
      setRoutes(state.subnets, event.data.host, event.data.routes);
      state.facts.set('host', event.data);
      return;
    case 'DriverConfigureRequested':
      configureDriver(state, event);
      return;
    case 'DriverConfigureFailed':
      restoreDriver(state, event);
      return;
    case 'NetworkCreateRequested':
      createNetwork(state, event);
      return;
    case 'NetworkDeleteRequested':
    case 'NetworkCreated':
    case 'NetworkCreateFailed':
    case 'NetworkDeleted':
    case 'NetworkDeleteFailed':
      evolveNetwork(state, event, event.data.networkId);
      return;
    case 'EndpointCreateRequested':
      createEndpoint(state, event);
      return;
    case 'EndpointJoinRequested':
      // Its creation may have failed while this was being decided; the worker then reports DEPENDENCY_FAILED.
      if (!state.endpoints.has(event.data.endpointId)) return;
      joinSandbox(state, event);
      evolveEndpoint(state, event, event.data.endpointId);
      return;
    case 'EndpointLeaveRequested': {
      const row = state.endpoints.get(event.data.endpointId);
      if (row) leaveSandbox(state, row, event);
      evolveEndpoint(state, event, event.data.endpointId);
      return;
    }
    case 'EndpointDeleteRequested':
    case 'EndpointSuspected':
    case 'EndpointCreated':
    case 'EndpointCreateFailed':
    case 'EndpointJoined':
    case 'EndpointJoinFailed':
    case 'EndpointLeft':
    case 'EndpointLeaveFailed':
    case 'EndpointDeleted':
    case 'EndpointDeleteFailed':
      evolveEndpoint(state, event, event.data.endpointId);
      return;
    case 'SandboxCreated':
    case 'SandboxRemoved':
      evolveSandbox(state, event);
      return;
    case 'RealmOpened':
    case 'CommandRefused':
    case 'CommandTimedOut':
    case 'DriverConfigured':
      return;
    default:
      event satisfies never;
  }
};

/**
 * Folds one event into the state of its boundary.
 * @param position of the event's commit in the log; while a decision is tried on it has none yet, and 0 stands for it.
 */
export const evolve = (state: BoundaryState, event: Event, position: number): void => {
  if (event.meta.commandseq !== undefined) remember(state, event, position);
  if (event.type === 'CommandTimedOut') {
    expire(state, event);
    progress(state, commandKey(event.data.actor, event.data.commandId), event, position);
  } else progress(state, commandKey(event.meta.actor, event.meta.commandid), event, position);
  if (isTerminal(event.type)) close(state, event);
  evolveModel(state, event);
};
