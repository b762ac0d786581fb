/**
 * What became of a command: the one fold that controllers (answers), views (`commands`) and clients share. A command ends once, with
 * the first terminal event in log order: every intent reported, one failed, or timed out. What is reported later changes nothing.
 */
import { cutsShort } from './cut-short.ts';
import { type Event, isBeside, needsExecution } from './envelope.ts';
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
  readonly status: 'accepted' | 'refused' | 'succeeded' | 'failed' | 'timed-out' | 'cancelled';
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

/** A record that nobody but its maker has seen yet, and that may be changed. */
export type CommandDraft = { -readonly [Field in keyof CommandRecord]: CommandRecord[Field] };

/** One for all records: most of them end with nothing open. */
const none: readonly never[] = [];

/** The record of a command before its first event is folded in. */
export const openCommand = ({ meta }: Event, position: number): CommandDraft => ({
  actor: meta.actor,
  commandid: meta.commandid,
  // Mostly the same text: kept once.
  correlationid: meta.correlationid === meta.commandid ? meta.commandid : meta.correlationid,
  command: meta.commandtype ?? '',
  status: 'accepted',
  position,
  decidedAt: meta.time,
  endedPosition: null,
  endedAt: null,
  deadline: meta.deadline ?? null,
  open: none,
  network: null,
  endpoints: none,
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

interface Naming {
  readonly endpointId: string;
  readonly name: string;
  readonly networkId: string;
}

/** What the command knows of an endpoint. Its texts stay those of the first event that named it, which the other views keep as well. */
const known = (endpoints: readonly EndpointResult[], { endpointId: id, name, networkId }: Naming): EndpointResult =>
  endpoints.find((endpoint) => endpoint.id === id) ?? { ...blank, id, name, networkId };

/** Puts down what it has learnt of one, which then is the last. */
const put = (endpoints: readonly EndpointResult[], result: EndpointResult): readonly EndpointResult[] => {
  const others = endpoints.filter(({ id }) => id !== result.id);
  // Not spread into a new list: that would leave room for a dozen more, in every command that is kept.
  return others.length === 0 ? [result] : others.toSpliced(others.length, 0, result);
};

/** Endpoints as the command knows them after an event: ids and addresses when decided, interface and routes when done. */
const endpointsAfter = (endpoints: readonly EndpointResult[], event: Event): readonly EndpointResult[] => {
  switch (event.type) {
    case 'EndpointCreateRequested': {
      const { id: endpointId, name, networkId, ipv4, ipv6, mac } = event.data.endpoint;
      return put(endpoints, { ...known(endpoints, { endpointId, name, networkId }), ipv4, ipv6, mac });
    }
    case 'EndpointJoinRequested': {
      const { ipv4, ipv6, mac } = event.data;
      return put(endpoints, { ...known(endpoints, event.data), interface: event.data.interface, ipv4, ipv6, mac });
    }
    case 'EndpointJoined': {
      const { ipv4, ipv6, mac, routes, ports } = event.data;
      const joined = { interface: event.data.interface, ipv4, ipv6, mac, routes, ports };
      return put(endpoints, { ...known(endpoints, event.data), ...joined });
    }
    case 'EndpointUpdated':
      return put(endpoints, { ...known(endpoints, event.data), ports: event.data.ports });
    case 'EndpointUpdateRequested':
    case 'EndpointLeaveRequested':
    case 'EndpointDeleteRequested':
      return put(endpoints, known(endpoints, event.data));
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
  if (event.type === 'EndpointJoined' && sandbox?.key !== event.data.key)
    return { id: event.data.sandbox.id, key: event.data.key };
  return sandbox;
};

/** Changes a record by an event. */
type Step = (record: CommandDraft, event: Event, position: number) => void;

const end = (record: CommandDraft, status: CommandRecord['status'], event: Event, position: number): void => {
  record.status = status;
  record.endedPosition = position;
  record.endedAt = event.meta.time;
  record.open = none;
};

const refuse: Step = (record, event, position) => {
  if (event.type !== 'CommandRefused') return;
  const { code, detail, culprits, command } = event.data;
  end(record, 'refused', event, position);
  record.command = command;
  record.refusal = { code, detail, culprits };
};

const intend: Step = (record, event) => {
  record.open = record.open.length === 0 ? [event.meta.id] : [...record.open, event.meta.id];
  learn(record, event);
};

/** An intent that nobody has to execute: done with its decision. Beside others, which come before it, it is not what the command is about. */
const enact: Step = (record, event, position) => {
  if (record.open.length > 0) return;
  learn(record, event);
  end(record, 'succeeded', event, position);
};

const learn = (record: CommandDraft, event: Event): void => {
  record.network = networkAfter(record.network, event);
  record.endpoints = endpointsAfter(record.endpoints, event);
  record.sandbox = sandboxAfter(record.sandbox, event);
};

const report: Step = (record, event, position) => {
  const failed = isFailure(event.type);
  record.open = record.open.filter((id) => id !== event.meta.causationid);
  record.endpoints = endpointsAfter(record.endpoints, event);
  record.sandbox = sandboxAfter(record.sandbox, event);
  if (failed && 'fault' in event.data) record.fault = event.data.fault;
  if (failed || record.open.length === 0) end(record, failed ? 'failed' : 'succeeded', event, position);
};

const cut: Step = (record, event, position) =>
  end(record, event.type === 'CommandCancelled' ? 'cancelled' : 'timed-out', event, position);

/** Its host is lost, and what it had to report with it. */
const lose: Step = (record, event, position) => {
  if (event.type !== 'HostLost') return;
  const text = `host ${event.data.host} was declared lost: ${event.data.reason}`;
  record.fault = { code: 'HOST_LOST', step: 'host', errno: '', text, retryable: true, undoFaults: [] };
  end(record, 'failed', event, position);
};

const succeed: Step = (record, event, position) => end(record, 'succeeded', event, position);

/**
 * What an event does to the record of its command; null: nothing, since the command has ended. `event` is one whose commandid is the
 * command's, or one that names it: that cuts it short, or says that its host is lost.
 */
export const commandStep = (before: CommandRecord | undefined, event: Event): Step | null => {
  const { type, meta } = event;
  if (isBeside(event)) return null;
  if (isIntent(type)) return needsExecution(event) ? intend : enact;
  if (type === 'CommandRefused') return refuse;
  if (before !== undefined && before.status !== 'accepted') return null;
  if (isTerminal(type)) return report;
  if (before !== undefined) return cutsShort(event) ? cut : type === 'HostLost' ? lose : null;
  // A decision that nobody has to execute ends its command: EndpointSuspected, CommandTimedOut (for the command that expired it), HostLost.
  return meta.commandseq === undefined ? null : succeed;
};

/** Folds an event of a command into its record. Complexity: the number of intents of the command. */
export const foldCommand = (before: CommandRecord | undefined, event: Event, position: number): CommandRecord => {
  const step = commandStep(before, event);
  if (before && !step) return before;
  const record = before ? { ...before } : openCommand(event, position);
  step?.(record, event, position);
  return record;
};
