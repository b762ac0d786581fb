/**
 * The state tables of network, endpoint and sandbox, as data: what each command meets in each state, and where each event leads.
 * Deciders and folds read them, tests are generated from them, docs/states.md prints them.
 *
 * States are desired states with pending ones included: `joining` means that a join is accepted and not yet reported. Commands may
 * follow each other without waiting, so an outcome may arrive when a later intent has moved the state on: such a late outcome
 * changes nothing, except that a failed creation always ends the incarnation. Updates move no state: they are told by the row's
 * `update`. While a move is under way its sandbox takes no other command (SANDBOX_MOVING), so that it can be reverted.
 */
import type { CommandType } from './commands.ts';
import type { EventType } from './events.ts';
import type { Code } from './refusals.ts';

export const networkStates = ['absent', 'creating', 'active', 'deleting', 'stuck'] as const;
export type NetworkStatus = (typeof networkStates)[number];
export const endpointStates = [
  'absent',
  'creating',
  'created',
  'joining',
  'joined',
  'leaving',
  'deleting',
  'stuck',
] as const;
export type EndpointStatus = (typeof endpointStates)[number];
export const sandboxStates = ['absent', 'creating', 'ready', 'removing'] as const;
export type SandboxStatus = (typeof sandboxStates)[number];

/** Next state per state and event; an event that is not listed leaves the state as it is. */
type Transitions<S extends string> = Readonly<Record<S, Readonly<Partial<Record<EventType, S>>>>>;
/** Per command and state: accepted, or the refusal's code. */
type Answers<S extends string> = Readonly<Partial<Record<CommandType, Readonly<Record<S, 'accepted' | Code>>>>>;

/** The state after an event. */
export const nextStatus = <S extends string>(table: Transitions<S>, status: S, type: EventType): S =>
  table[status][type] ?? status;

export const networkTransitions = {
  absent: { NetworkCreateRequested: 'creating' },
  creating: { NetworkCreated: 'active', NetworkCreateFailed: 'absent', NetworkDeleteRequested: 'deleting' },
  active: { NetworkCreateFailed: 'absent', NetworkDeleteRequested: 'deleting' },
  deleting: { NetworkDeleted: 'absent', NetworkDeleteFailed: 'stuck', NetworkCreateFailed: 'absent' },
  stuck: { NetworkDeleteRequested: 'deleting', NetworkDeleted: 'absent', NetworkCreateFailed: 'absent' },
} as const satisfies Transitions<NetworkStatus>;

export const endpointTransitions = {
  absent: { EndpointCreateRequested: 'creating' },
  creating: {
    EndpointCreated: 'created',
    EndpointCreateFailed: 'absent',
    EndpointJoinRequested: 'joining',
    EndpointDeleteRequested: 'deleting',
  },
  created: {
    EndpointCreateFailed: 'absent',
    EndpointJoinRequested: 'joining',
    EndpointDeleteRequested: 'deleting',
    // Its join was reported as failed while the leave was being decided.
    EndpointLeaveRequested: 'leaving',
  },
  joining: {
    EndpointJoined: 'joined',
    EndpointJoinFailed: 'created',
    EndpointLeaveRequested: 'leaving',
    EndpointCreateFailed: 'absent',
  },
  // A join that came after its deadline is undone by the worker, which then reports it as failed.
  joined: { EndpointJoinFailed: 'created', EndpointLeaveRequested: 'leaving', EndpointCreateFailed: 'absent' },
  leaving: {
    EndpointLeft: 'created',
    EndpointLeaveFailed: 'stuck',
    EndpointJoinRequested: 'joining',
    EndpointDeleteRequested: 'deleting',
    EndpointCreateFailed: 'absent',
    // Its move to another network failed.
    EndpointLeaveReverted: 'joined',
  },
  deleting: {
    EndpointDeleted: 'absent',
    EndpointDeleteFailed: 'stuck',
    EndpointCreateFailed: 'absent',
    // Its move failed; the leave before is reverted with it, and then it is joined (endpoint-life.ts).
    EndpointDeleteReverted: 'leaving',
  },
  stuck: {
    EndpointDeleteRequested: 'deleting',
    EndpointLeft: 'created',
    EndpointLeaveReverted: 'joined',
    EndpointDeleted: 'absent',
    EndpointDeleteReverted: 'leaving',
    EndpointCreateFailed: 'absent',
    // Its leave was reported as failed while the next join was being decided.
    EndpointJoinRequested: 'joining',
  },
} as const satisfies Transitions<EndpointStatus>;

export const sandboxTransitions = {
  absent: { EndpointJoinRequested: 'creating' },
  // A failed join or a leave ends the sandbox only when it was the last endpoint's; it is `removing` while others are to leave it still.
  creating: { SandboxCreated: 'ready', EndpointJoinFailed: 'absent', EndpointLeaveRequested: 'removing' },
  // SandboxRemoved while endpoints are in it: they were asked to join while it was being removed, so it is made again.
  ready: { EndpointJoinFailed: 'removing', EndpointLeaveRequested: 'removing', SandboxRemoved: 'creating' },
  removing: { SandboxRemoved: 'absent', EndpointJoinRequested: 'creating', EndpointLeaveReverted: 'ready' },
} as const satisfies Transitions<SandboxStatus>;

export const networkAnswers = {
  CreateNetwork: {
    absent: 'accepted',
    creating: 'NETWORK_EXISTS',
    active: 'NETWORK_EXISTS',
    deleting: 'accepted',
    stuck: 'accepted',
  },
  UpdateNetwork: {
    absent: 'NETWORK_NOT_FOUND',
    creating: 'accepted',
    active: 'accepted',
    deleting: 'NETWORK_DELETING',
    stuck: 'NETWORK_STUCK',
  },
  DeleteNetwork: {
    absent: 'NETWORK_NOT_FOUND',
    creating: 'accepted',
    active: 'accepted',
    deleting: 'NETWORK_DELETING',
    stuck: 'accepted',
  },
  RenewLease: {
    absent: 'NETWORK_NOT_FOUND',
    creating: 'accepted',
    active: 'accepted',
    deleting: 'NETWORK_DELETING',
    stuck: 'NETWORK_STUCK',
  },
  CreateEndpoint: {
    absent: 'NETWORK_NOT_FOUND',
    creating: 'accepted',
    active: 'accepted',
    deleting: 'NETWORK_DELETING',
    stuck: 'NETWORK_STUCK',
  },
} as const satisfies Answers<NetworkStatus>;

export const endpointAnswers = {
  CreateEndpoint: {
    absent: 'accepted',
    creating: 'ENDPOINT_EXISTS',
    created: 'ENDPOINT_EXISTS',
    joining: 'ENDPOINT_EXISTS',
    joined: 'ENDPOINT_EXISTS',
    leaving: 'ENDPOINT_EXISTS',
    deleting: 'accepted',
    stuck: 'accepted',
  },
  UpdateEndpoint: {
    absent: 'ENDPOINT_NOT_FOUND',
    creating: 'accepted',
    created: 'accepted',
    joining: 'accepted',
    joined: 'accepted',
    leaving: 'ENDPOINT_NOT_JOINED',
    deleting: 'ENDPOINT_DELETING',
    stuck: 'ENDPOINT_STUCK',
  },
  JoinEndpoint: {
    absent: 'ENDPOINT_NOT_FOUND',
    creating: 'accepted',
    created: 'accepted',
    joining: 'ENDPOINT_JOINED',
    joined: 'ENDPOINT_JOINED',
    leaving: 'accepted',
    deleting: 'ENDPOINT_DELETING',
    stuck: 'ENDPOINT_STUCK',
  },
  LeaveEndpoint: {
    absent: 'ENDPOINT_NOT_FOUND',
    creating: 'ENDPOINT_NOT_JOINED',
    created: 'ENDPOINT_NOT_JOINED',
    joining: 'accepted',
    joined: 'accepted',
    leaving: 'ENDPOINT_NOT_JOINED',
    deleting: 'ENDPOINT_DELETING',
    stuck: 'ENDPOINT_STUCK',
  },
  DeleteEndpoint: {
    absent: 'ENDPOINT_NOT_FOUND',
    creating: 'accepted',
    created: 'accepted',
    joining: 'ENDPOINT_JOINED',
    joined: 'ENDPOINT_JOINED',
    leaving: 'accepted',
    deleting: 'ENDPOINT_DELETING',
    stuck: 'accepted',
  },
} as const satisfies Answers<EndpointStatus>;

export const sandboxAnswers = {
  JoinEndpoint: { absent: 'accepted', creating: 'accepted', ready: 'accepted', removing: 'accepted' },
  AttachSandbox: { absent: 'accepted', creating: 'accepted', ready: 'accepted', removing: 'accepted' },
  MoveSandbox: {
    absent: 'SANDBOX_NOT_FOUND',
    creating: 'accepted',
    ready: 'accepted',
    removing: 'SANDBOX_NOT_FOUND',
  },
  RenewLease: {
    absent: 'SANDBOX_NOT_FOUND',
    creating: 'accepted',
    ready: 'accepted',
    removing: 'SANDBOX_NOT_FOUND',
  },
  DetachSandbox: {
    absent: 'SANDBOX_NOT_FOUND',
    creating: 'accepted',
    ready: 'accepted',
    removing: 'SANDBOX_NOT_FOUND',
  },
} as const satisfies Answers<SandboxStatus>;
