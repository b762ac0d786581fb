/** View `endpoints`: what each endpoint is, in which state and in which sandbox; deleted ones disappear. Key: the endpoint's id. */
import type { Event, EventOf } from '../events/envelope.ts';
import { type EndpointFacts, type EventData, type Fault, isFailure, isIntent } from '../events/events.ts';
import { type EndpointStatus, endpointTransitions } from '../events/states.ts';
import { type At, bareAddress, networkName, type Projection } from './projection.ts';
import { nextStatus } from './status.ts';

export interface EndpointRow extends EndpointFacts {
  readonly host: string;
  /** Name of its network. */
  readonly network: string;
  readonly status: Exclude<EndpointStatus, 'absent'>;
  /** Since when it is in this state. */
  readonly since: string;
  readonly createdAt: string;
  /** The sandbox that it is in, is joining or is leaving. */
  readonly sandbox: string | null;
  readonly sandboxIncarnation: string | null;
  /** Path of the sandbox's namespace file, once joined. */
  readonly sandboxKey: string | null;
  readonly joinId: string | null;
  /** Name of its interface inside the sandbox. */
  readonly interface: string | null;
  readonly routes: EventData<'EndpointJoined'>['routes'];
  /** The sandbox that it was last in; a join that failed leaves it as it was. */
  readonly lastSandbox: string | null;
  /** Since when it has been without a sandbox, RFC 3339. */
  readonly idleSince: string;
  readonly suspected: boolean;
  /** How many events this incarnation has seen: what a collection re-checks. */
  readonly generation: number;
  /** Event id of the latest intent: the one whose outcome moves the state. */
  readonly intent: string;
  /** Why the latest intent failed. */
  readonly fault: Fault | null;
  /** Position of the commit that changed this row last. */
  readonly changedPosition: number;
}

type Membership = Pick<
  EndpointRow,
  'sandbox' | 'sandboxIncarnation' | 'sandboxKey' | 'joinId' | 'interface' | 'routes'
>;

const unjoined: Membership = {
  sandbox: null,
  sandboxIncarnation: null,
  sandboxKey: null,
  joinId: null,
  interface: null,
  routes: [],
};

const create = (event: EventOf<'EndpointCreateRequested'>, at: At): EndpointRow => ({
  ...event.data.endpoint,
  host: at.host ?? '',
  network: networkName(at, event.data.endpoint.networkId),
  status: 'creating',
  since: event.meta.time,
  createdAt: event.meta.time,
  ...unjoined,
  lastSandbox: null,
  idleSince: event.meta.time,
  suspected: false,
  generation: 1,
  intent: event.meta.id,
  fault: null,
  changedPosition: at.position,
});

/** Where the endpoint is after an event that counts for it. */
const membershipAfter = (row: EndpointRow, event: Event): Membership => {
  switch (event.type) {
    case 'EndpointJoinRequested': {
      const { sandbox, joinId } = event.data;
      const { id, incarnation } = sandbox;
      return { ...unjoined, sandbox: id, sandboxIncarnation: incarnation, joinId, interface: event.data.interface };
    }
    case 'EndpointJoined': {
      const { sandbox, sandboxIncarnation, joinId } = row;
      const { key, routes } = event.data;
      return { sandbox, sandboxIncarnation, sandboxKey: key, joinId, interface: event.data.interface, routes };
    }
    case 'EndpointJoinFailed':
    case 'EndpointLeft':
      return unjoined;
    default:
      return row;
  }
};

/** The row after an event that counts for it. */
const moved = (row: EndpointRow, event: Event, status: EndpointRow['status'], at: At): EndpointRow => {
  const { type } = event;
  const { sandbox, sandboxIncarnation, sandboxKey, joinId, interface: link, routes } = membershipAfter(row, event);
  const fault = isFailure(type) && 'fault' in event.data ? event.data.fault : null;
  return {
    ...row,
    status,
    since: status === row.status ? row.since : event.meta.time,
    sandbox,
    sandboxIncarnation,
    sandboxKey,
    joinId,
    interface: link,
    routes,
    lastSandbox:
      type === 'EndpointJoined' || type === 'EndpointLeaveRequested' ? event.data.sandbox.id : row.lastSandbox,
    idleSince: type === 'EndpointLeft' || type === 'EndpointJoinFailed' ? event.meta.time : row.idleSince,
    suspected: type === 'EndpointSuspected',
    generation: row.generation + 1,
    intent: isIntent(type) ? event.meta.id : row.intent,
    fault: type === 'EndpointSuspected' ? row.fault : fault,
    changedPosition: at.position,
  };
};

const move = (rows: Map<string, EndpointRow>, event: Event, at: At): void => {
  const row = at.endpointBefore;
  if (!row) return;
  const { type } = event;
  const current =
    isIntent(type) ||
    type === 'EndpointSuspected' ||
    type === 'EndpointCreateFailed' ||
    event.meta.causationid === row.intent;
  if (!current) return;
  const status = nextStatus(endpointTransitions, row.status, type);
  if (status === 'absent') rows.delete(row.id);
  else rows.set(row.id, moved(row, event, status, at));
};

export const endpoints: Projection<EndpointRow> = {
  name: 'endpoints',
  version: 1,
  handles: [
    'EndpointCreateRequested',
    'EndpointJoinRequested',
    'EndpointLeaveRequested',
    'EndpointDeleteRequested',
    'EndpointSuspected',
    'EndpointCreated',
    'EndpointCreateFailed',
    'EndpointJoined',
    'EndpointJoinFailed',
    'EndpointLeft',
    'EndpointLeaveFailed',
    'EndpointDeleted',
    'EndpointDeleteFailed',
  ],
  apply: (rows, event, at) => {
    if (event.type !== 'EndpointCreateRequested') {
      move(rows, event, at);
      return;
    }
    const { id, networkId } = event.data.endpoint;
    // The network's creation may have failed while this was being decided.
    if (at.networks.has(networkId) && !rows.has(id)) rows.set(id, create(event, at));
  },
  fields: [
    'id',
    'name',
    'host',
    'networkId',
    'status',
    'static',
    'ipv4',
    'ipv6',
    'mac',
    'origin',
    'aliases',
    'suspected',
  ],
  references: ['network', 'endpoint', 'sandbox', 'address'],
  refer: (row, reference) => {
    switch (reference) {
      case 'network':
        return [row.network, row.networkId];
      case 'endpoint':
        return [row.name, row.id];
      case 'sandbox':
        return [row.sandbox ?? '', row.sandboxIncarnation];
      default:
        return [row.ipv4 && bareAddress(row.ipv4), row.ipv6 && bareAddress(row.ipv6)];
    }
  },
  keyOf: ({ id }) => id,
};
