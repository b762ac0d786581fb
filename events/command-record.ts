/**
 * What became of a command: the one fold that controllers (answers), views (`commands`) and clients share. A command ends once, with
 * the first terminal event in log order: every intent reported, one failed, or timed out. What is reported later changes nothing.
 */
import { type Event, type EventOf, needsExecution } from './envelope.ts';
import { type Culprit, type Fault, isFailure, isIntent, isTerminal, type PortBinding } from './events.ts';

export interface EndpointResult {
  readonly id: string;
  readonly name: string;
  readonly networkId: string;
  readonly interface: string | null;
  readonly ipv4: string | null;
  readonly ipv6: string | null;
  readonly mac: string | null;
  readonly routes: readonly { readonly destination: string; readonly gateway: string }[];
  /** What leads into its sandbox, as last reported. */
  readonly ports: readonly PortBinding[];
}

export interface CommandRecord {
  readonly actor: string;
  readonly commandid: string;
  readonly correlationid: string;
  /** Type of the command. */
  readonly command: string;
  readonly status: 'accepted' | 'refused' | 'succeeded' | 'failed' | 'timed-out';
  /** Position of the decision. */
  readonly position: number;
  readonly decidedAt: string;
  /** Position of the event that ended it; null while it runs. */
  readonly endedPosition: number | null;
  readonly endedAt: string | null;
  readonly deadline: string | null;
  /** Event ids of intents that are not reported yet. */
  readonly open: readonly string[];
  readonly network: { readonly id: string; readonly name: string } | null;
  readonly endpoints: readonly EndpointResult[];
  readonly sandbox: { readonly id: string; readonly key: string } | null;
  readonly refusal: { readonly code: string; readonly detail: string; readonly culprits: readonly Culprit[] } | null;
  readonly fault: Fault | null;
}

const opened = (event: Event, position: number): CommandRecord => ({
  actor: event.meta.actor,
  commandid: event.meta.commandid,
  correlationid: event.meta.correlationid,
  command: event.meta.commandtype ?? '',
  status: 'accepted',
  position,
  decidedAt: event.meta.time,
  endedPosition: null,
  endedAt: null,
  deadline: event.meta.deadline ?? null,
  open: [],
  network: null,
  endpoints: [],
  sandbox: null,
  refusal: null,
  fault: null,
});

const blank: EndpointResult = {
  id: '',
  name: '',
  networkId: '',
  interface: null,
  ipv4: null,
  ipv6: null,
  mac: null,
  routes: [],
  ports: [],
};

/** What the command knows of an endpoint, and where it puts what it has learnt. */
const known = (endpoints: readonly EndpointResult[], id: string): EndpointResult =>
  endpoints.find((endpoint) => endpoint.id === id) ?? blank;

const put = (endpoints: readonly EndpointResult[], result: EndpointResult): readonly EndpointResult[] =>
  endpoints.length === 0 ? [result] : [...endpoints.filter(({ id }) => id !== result.id), result];

/** Endpoints as the command knows them after an event: ids and addresses when decided, interface and routes when done. */
const endpointsAfter = (endpoints: readonly EndpointResult[], event: Event): readonly EndpointResult[] => {
  switch (event.type) {
    case 'EndpointCreateRequested': {
      const { id, name, networkId, ipv4, ipv6, mac } = event.data.endpoint;
      return put(endpoints, { ...known(endpoints, id), id, name, networkId, ipv4, ipv6, mac });
    }
    case 'EndpointJoinRequested': {
      const { endpointId: id, name, networkId, ipv4, ipv6, mac } = event.data;
      const joining = { id, name, networkId, interface: event.data.interface, ipv4, ipv6, mac };
      return put(endpoints, { ...known(endpoints, id), ...joining });
    }
    case 'EndpointJoined': {
      const { endpointId: id, name, networkId, ipv4, ipv6, mac, routes, ports } = event.data;
      return put(endpoints, { id, name, networkId, interface: event.data.interface, ipv4, ipv6, mac, routes, ports });
    }
    case 'EndpointUpdated': {
      const { endpointId: id, name, networkId, ports } = event.data;
      return put(endpoints, { ...known(endpoints, id), id, name, networkId, ports });
    }
    case 'EndpointUpdateRequested':
    case 'EndpointLeaveRequested':
    case 'EndpointDeleteRequested': {
      const { endpointId: id, name, networkId } = event.data;
      return put(endpoints, { ...known(endpoints, id), id, name, networkId });
    }
    default:
      return endpoints;
  }
};

const networkAfter = (network: CommandRecord['network'], event: Event): CommandRecord['network'] => {
  if (event.type === 'NetworkCreateRequested') return { id: event.data.network.id, name: event.data.network.name };
  if (event.type === 'NetworkUpdateRequested' || event.type === 'NetworkDeleteRequested')
    return { id: event.data.networkId, name: event.data.name };
  return network;
};

const sandboxAfter = (sandbox: CommandRecord['sandbox'], event: Event): CommandRecord['sandbox'] => {
  if (event.type === 'EndpointJoinRequested') return { id: event.data.sandbox.id, key: event.data.sandbox.key };
  if (event.type === 'EndpointJoined') return { id: event.data.sandbox.id, key: event.data.key };
  return sandbox;
};

const ended = (
  record: CommandRecord,
  status: CommandRecord['status'],
  event: Event,
  position: number,
): CommandRecord => ({
  ...record,
  status,
  endedPosition: position,
  endedAt: event.meta.time,
  open: [],
});

const refused = (record: CommandRecord, event: EventOf<'CommandRefused'>, position: number): CommandRecord => {
  const { code, detail, culprits, command } = event.data;
  return { ...ended(record, 'refused', event, position), command, refusal: { code, detail, culprits } };
};

/** One copy per event, whatever it brings: this runs for nearly every event of a cold read. */
const intended = (record: CommandRecord, event: Event, needed: boolean): CommandRecord => ({
  ...record,
  open: needed ? [...record.open, event.meta.id] : record.open,
  network: networkAfter(record.network, event),
  endpoints: endpointsAfter(record.endpoints, event),
  sandbox: sandboxAfter(record.sandbox, event),
});

const reported = (record: CommandRecord, event: Event, position: number): CommandRecord => {
  const failed = isFailure(event.type);
  const open = failed ? [] : record.open.filter((id) => id !== event.meta.causationid);
  const over = open.length === 0;
  return {
    ...record,
    status: failed ? 'failed' : over ? 'succeeded' : 'accepted',
    endedPosition: over ? position : null,
    endedAt: over ? event.meta.time : null,
    open,
    endpoints: endpointsAfter(record.endpoints, event),
    sandbox: sandboxAfter(record.sandbox, event),
    fault: failed && 'fault' in event.data ? event.data.fault : null,
  };
};

/**
 * Folds an event of a command into its record. `event` is one whose commandid is the command's, or the CommandTimedOut that names it.
 * Complexity: the number of intents of the command.
 */
export const foldCommand = (before: CommandRecord | undefined, event: Event, position: number): CommandRecord => {
  if (event.type === 'CommandTimedOut' && before) {
    return before.status === 'accepted' ? ended(before, 'timed-out', event, position) : before;
  }
  const record = before ?? opened(event, position);
  if (event.type === 'CommandRefused') return refused(record, event, position);
  if (isIntent(event.type)) {
    const needed = needsExecution(event);
    const after = intended(record, event, needed);
    // A command has intents that are executed, or that are done with the decision, never both.
    return needed ? after : { ...after, status: 'succeeded', endedPosition: position, endedAt: event.meta.time };
  }
  // It stands beside the creation that it admits, on another subject: that one tells what becomes of the command.
  if (event.type === 'EndpointAdmitted') return record;
  if (isTerminal(event.type)) return record.status === 'accepted' ? reported(record, event, position) : record;
  // A decision that nobody has to execute ends its command: EndpointSuspected, CommandTimedOut (for the command that expired it).
  if (event.meta.commandseq !== undefined && before === undefined) return ended(record, 'succeeded', event, position);
  return record;
};
