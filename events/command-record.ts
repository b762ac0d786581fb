/**
 * What became of a command: the one fold that controllers (answers), views (`commands`) and clients share. A command ends once, with
 * the first terminal event in log order: every intent reported, one failed, or timed out. What is reported later changes nothing.
 */
import type { Event } from './envelope.ts';
import { type Culprit, type Fault, isFailure, isIntent, isTerminal } from './events.ts';

export interface EndpointResult {
  readonly id: string;
  readonly name: string;
  readonly networkId: string;
  readonly interface: string | null;
  readonly ipv4: string | null;
  readonly ipv6: string | null;
  readonly mac: string | null;
  readonly routes: readonly { readonly destination: string; readonly gateway: string }[];
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

const withEndpoint = (
  record: CommandRecord,
  result: Partial<EndpointResult> & { readonly id: string },
): CommandRecord => {
  const blank = { name: '', networkId: '', interface: null, ipv4: null, ipv6: null, mac: null, routes: [] };
  const known = record.endpoints.find((endpoint) => endpoint.id === result.id);
  const merged = { ...blank, ...known, ...result };
  return { ...record, endpoints: [...record.endpoints.filter((endpoint) => endpoint !== known), merged] };
};

/** What the command learns from an event: ids and addresses when decided, key, interface and routes when done. */
const learn = (record: CommandRecord, event: Event): CommandRecord => {
  switch (event.type) {
    case 'CommandRefused': {
      const { code, detail, culprits, command } = event.data;
      return { ...record, command, refusal: { code, detail, culprits } };
    }
    case 'NetworkCreateRequested':
      return { ...record, network: { id: event.data.network.id, name: event.data.network.name } };
    case 'NetworkDeleteRequested':
      return { ...record, network: { id: event.data.networkId, name: event.data.name } };
    case 'EndpointCreateRequested': {
      const { id, name, networkId, ipv4, ipv6, mac } = event.data.endpoint;
      return withEndpoint(record, { id, name, networkId, ipv4, ipv6, mac });
    }
    case 'EndpointJoinRequested': {
      const { endpointId: id, name, networkId, sandbox } = event.data;
      const joined = withEndpoint(record, { id, name, networkId, interface: event.data.interface });
      return { ...joined, sandbox: { id: sandbox.id, key: sandbox.key } };
    }
    case 'EndpointJoined': {
      const { endpointId: id, name, networkId, ipv4, ipv6, mac, routes, sandbox, key } = event.data;
      const joined = withEndpoint(record, {
        id,
        name,
        networkId,
        interface: event.data.interface,
        ipv4,
        ipv6,
        mac,
        routes,
      });
      return { ...joined, sandbox: { id: sandbox.id, key } };
    }
    case 'EndpointLeaveRequested':
    case 'EndpointDeleteRequested': {
      const { endpointId: id, name, networkId } = event.data;
      return withEndpoint(record, { id, name, networkId });
    }
    default:
      return record;
  }
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

/**
 * Folds an event of a command into its record. `event` is one whose commandid is the command's, or the CommandTimedOut that names it.
 * Complexity: the number of intents of the command.
 */
export const foldCommand = (before: CommandRecord | undefined, event: Event, position: number): CommandRecord => {
  if (event.type === 'CommandTimedOut' && before) {
    return before.status === 'accepted' ? ended(before, 'timed-out', event, position) : before;
  }
  const record = before ?? opened(event, position);
  if (event.type === 'CommandRefused') return ended(learn(record, event), 'refused', event, position);
  if (isIntent(event.type)) return learn({ ...record, open: [...record.open, event.meta.id] }, event);
  if (isTerminal(event.type)) {
    if (record.status !== 'accepted') return record;
    const learned = learn(record, event);
    if (isFailure(event.type)) {
      const fault = 'fault' in event.data ? event.data.fault : null;
      return { ...ended(learned, 'failed', event, position), fault };
    }
    const open = learned.open.filter((id) => id !== event.meta.causationid);
    return open.length === 0 ? ended(learned, 'succeeded', event, position) : { ...learned, open };
  }
  // A decision that nobody has to execute ends its command: EndpointSuspected, CommandTimedOut (for the command that expired it).
  if (event.meta.commandseq !== undefined && before === undefined) return ended(record, 'succeeded', event, position);
  return record;
};
