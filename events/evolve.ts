/** How each event changes a boundary's state. Total: history has happened, so nothing here refuses or throws. */

import { foldCommand } from './command-record.ts';
import { type CutShort, cutsShort } from './cut-short.ts';
import { type Event, type EventOf, isBeside, isRevertible, needsExecution } from './envelope.ts';
import { isConstructive, isFailure, isTerminal } from './events.ts';
import { evolveAllHosts, isOfAllHosts } from './evolve-all-hosts.ts';
import { createEndpoint, evolveEndpoint, updateEndpoint, updateReported } from './evolve-endpoints.ts';
import { evolveHost, isOfHost } from './evolve-hosts.ts';
import { evolveLease } from './evolve-leases.ts';
import { loseHost } from './evolve-lost.ts';
import { endVacant, evolveNetworks } from './evolve-networks.ts';
import { holdOn } from './evolve-regressed.ts';
import { endMove, evolveSandbox, isOfSandbox } from './evolve-sandboxes.ts';
import { evolveSettled } from './evolve-settled.ts';
import { type BoundaryState, commandKey } from './state.ts';

/** How far ahead of the controller's clock an id may be minted: clocks of senders differ. */
export const skewMs = 5 * 60_000;

const millis = (event: Event): number => Date.parse(event.meta.time);

const isWhole = (intent: Event | undefined): boolean => intent !== undefined && isRevertible(intent);

// ---------------------------------------------------------------- commands

const remember = (state: BoundaryState, event: Event, position: number): void => {
  const key = commandKey(event.meta.actor, event.meta.commandid);
  if (state.shared.memoryMs > 0 && !state.commands.has(key)) {
    const digest = event.meta.commanddigest ?? '';
    const endedAt = needsExecution(event) ? null : position;
    const ended = event.type === 'CommandRefused' ? 'refused' : null;
    state.commands.set(key, { digest, decidedAt: position, endedAt, ended });
    state.remembered.push({ key, decidedMs: millis(event) });
  }
  if (needsExecution(event)) state.intents.set(event.meta.id, event);
};

/** Moves the record of an accepted command on; once it has ended, only its positions stay. */
const progress = (state: BoundaryState, key: string, event: Event, position: number): void => {
  const before = state.progress.get(key);
  if (before === undefined && !needsExecution(event)) return;
  const record = foldCommand(before, event, position);
  if (record.status === 'accepted') {
    state.progress.set(key, record);
    return;
  }
  state.progress.delete(key);
  const row = state.commands.get(key);
  if (row) state.commands.set(key, { ...row, endedAt: position, ended: record.status });
};

/**
 * Closes the intent that an outcome reports on. What was done too late stays open until it is reported as undone; only a move that was
 * done stays done, since the endpoint that it left may be gone with its addresses.
 */
const close = (state: BoundaryState, event: Event): void => {
  const id = event.meta.causationid;
  const intent = state.intents.get(id);
  if (state.expired.has(id) && !isFailure(event.type) && !isWhole(intent)) return;
  state.intents.delete(id);
  state.expired.delete(id);
  endMove(state, intent);
};

/**
 * Marks what a command wanted made that has timed out or was cancelled: a worker that gets there undoes it. Removals are finished all the same, but for those of
 * a move: it happens as a whole or is reverted.
 */
const cutShort = (state: BoundaryState, event: CutShort): void => {
  if (!state.progress.has(commandKey(event.data.actor, event.data.commandId))) return;
  for (const id of event.data.intents) {
    const intent = state.intents.get(id);
    if (intent && (isConstructive(intent.type) || isRevertible(intent)))
      state.expired.set(id, event.type === 'CommandCancelled' ? 'cancelled' : true);
  }
};

/**
 * Drops ids that are too old to be asked for again: counted from the decision, since an id may be minted in any time, and somewhat
 * longer than ids are valid, since it may have been minted ahead of it. Called with each stored commit, never while a decision is tried on. */
export const forget = (state: BoundaryState, nowMs: number): void => {
  const { memoryMs } = state.shared;
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

type Configuring = EventOf<'DriverConfigureRequested' | 'DriverConfigureFailed'>;

const evolveDriver = ({ drivers }: BoundaryState, event: Configuring): void => {
  const { driver } = event.data;
  const row = drivers.get(driver);
  if (event.type === 'DriverConfigureRequested') {
    drivers.set(driver, { options: event.data.options, before: row?.options ?? {}, intent: event.meta.id });
  } else if (row?.intent === event.meta.causationid) drivers.set(driver, { ...row, options: row.before });
};

// ---------------------------------------------------------------- all

/** What kernels hold decides nothing. */
const isDrift = (event: Event): event is DriftEvent => 'drift' in event.data;
type DriftEvent = EventOf<'DriftDetected' | 'DriftRepaired' | 'DriftLeft' | 'DriftEnded'>;

const evolveModel = (state: BoundaryState, event: Exclude<Event, DriftEvent>, position: number): void => {
  if (cutsShort(event) || event.type === 'HostLost' || event.type === 'RealmOpened') return;
  if (isOfAllHosts(event)) {
    evolveAllHosts(state.shared, event, position);
    return;
  }
  if (isOfHost(event)) {
    evolveHost(state, event);
    return;
  }
  if (isOfSandbox(event)) {
    evolveSandbox(state, event);
    return;
  }
  switch (event.type) {
    case 'DriverConfigureRequested':
    case 'DriverConfigureFailed':
      evolveDriver(state, event);
      return;
    case 'NetworkCreateRequested':
    case 'NetworkSettled':
    case 'NetworkUpdateRequested':
    case 'NetworkUpdated':
    case 'NetworkUpdateFailed':
    case 'NetworkDeleteRequested':
    case 'NetworkCreated':
    case 'NetworkCreateFailed':
    case 'NetworkDeleted':
    case 'NetworkDeleteFailed':
      evolveNetworks(state, event);
      return;
    case 'EndpointCreateRequested':
      createEndpoint(state, event);
      return;
    case 'EndpointUpdateRequested':
      updateEndpoint(state, event);
      return;
    case 'EndpointUpdated':
    case 'EndpointUpdateFailed':
      updateReported(state, event);
      return;
    case 'EndpointJoinRequested':
    case 'EndpointLeaveRequested':
    case 'EndpointDeleteRequested':
    case 'EndpointSuspected':
    case 'EndpointCreated':
    case 'EndpointCreateFailed':
    case 'EndpointJoined':
    case 'EndpointJoinFailed':
    case 'EndpointLeft':
    case 'EndpointLeaveFailed':
    case 'EndpointLeaveReverted':
    case 'EndpointDeleted':
    case 'EndpointDeleteFailed':
    case 'EndpointDeleteReverted':
      evolveEndpoint(state, event);
      if (event.type === 'EndpointCreateFailed') holdOn(state);
      endVacant(state, event.data.networkId, event);
      return;
    case 'LeaseRenewed':
    case 'LeaseSuspected':
      evolveLease(state, event);
      return;
    case 'PortsLeased':
    case 'EndpointSettled':
    case 'JoinSettled':
      evolveSettled(state, event);
      return;
    case 'EndpointAdmitted':
    case 'CommandRefused':
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
  // An admission only guards: what it says is held by the creation in the same commit, on the host that remembers the command.
  if (isBeside(event)) {
    if (!isDrift(event)) evolveModel(state, event, position);
    return;
  }
  if (event.meta.commandseq !== undefined) remember(state, event, position);
  if (cutsShort(event)) {
    cutShort(state, event);
    progress(state, commandKey(event.data.actor, event.data.commandId), event, position);
  } else progress(state, commandKey(event.meta.actor, event.meta.commandid), event, position);
  if (isTerminal(event.type)) close(state, event);
  if (event.type === 'HostLost') loseHost(state, event, position);
  if (!isDrift(event)) evolveModel(state, event, position);
};
