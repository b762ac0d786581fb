/**
 * What events have to do with of what a collector watches, by key: `endpoint ID`, `sandbox INCARNATION`, `lease INCARNATION`, `network ID` or
 * `command KEY`. Pure.
 */
import { cutsShort } from '../../events/cut-short.ts';
import type { Event } from '../../events/envelope.ts';
import { isIntent, isTerminal } from '../../events/events.ts';
import { commandKey } from '../../events/state.ts';
import type { Boundary } from '../lib/realm.ts';

/** Everything that is there, and every command that is under way. */
export const everythingIn = ({ host, state }: Boundary): readonly string[] => {
  const { endpoints, sandboxes, networks, progress, shared } = state;
  const own = host === null ? shared.networks : networks;
  return [
    ...[...own.keys()].map((id) => `network ${id}`),
    ...[...endpoints.keys()].map((id) => `endpoint ${id}`),
    ...[...sandboxes.keys()].flatMap((incarnation) => [`sandbox ${incarnation}`, `lease ${incarnation}`]),
    ...[...progress.keys()].map((key) => `command ${key}`),
  ];
};

const endpointIn = (data: object): string | null =>
  'endpointId' in data && typeof data.endpointId === 'string' ? data.endpointId : null;

/** The endpoint of an event, with the sandbox that it leaves, and the one that it has come into. */
const endpointKeys = ({ type, data }: Event, { state }: Boundary): readonly string[] => {
  const id = type === 'EndpointCreateRequested' ? data.endpoint.id : endpointIn(data);
  if (id === null) return [];
  const left = state.endpoints.get(id)?.sandbox?.incarnation;
  const entered = type === 'EndpointJoined' ? data.sandbox.incarnation : undefined;
  return [`endpoint ${id}`, ...[left, entered].flatMap((one) => (one === undefined ? [] : [`sandbox ${one}`]))];
};

/** What leases begin with, what is said of them, and what may end what they are of. */
const leaseKeys = ({ type, data }: Event): readonly string[] => {
  switch (type) {
    case 'EndpointJoinRequested':
    case 'EndpointLeaveRequested':
    case 'EndpointLeaveReverted':
      return [`lease ${data.sandbox.incarnation}`];
    case 'NetworkCreateRequested':
      return [`network ${data.network.id}`];
    case 'NetworkDeleteRequested':
      return [`network ${data.networkId}`];
    case 'LeaseRenewed':
    case 'LeaseSuspected': {
      const { sandbox, network } = data;
      return [...(sandbox ? [`lease ${sandbox.incarnation}`] : []), ...(network ? [`network ${network.id}`] : [])];
    }
    default:
      return [];
  }
};

/** Before it is folded in. */
export const touchedBy = (event: Event, boundary: Boundary): readonly string[] => {
  const { type, data, meta } = event;
  if (type === 'CommandRefused') return [];
  if (type === 'HostLost') return everythingIn(boundary);
  if (cutsShort(event)) return [`command ${commandKey(event.data.actor, event.data.commandId)}`];
  const isAway = type === 'SandboxLost' || type === 'SandboxRestored' || type === 'SandboxReclaimed';
  return [
    ...(isIntent(type) || isTerminal(type) ? [`command ${commandKey(meta.actor, meta.commandid)}`] : []),
    ...(isAway ? [`sandbox ${data.sandbox.incarnation}`] : []),
    ...leaseKeys(event),
    ...endpointKeys(event, boundary),
  ];
};
