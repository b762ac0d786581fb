/** View `networks`: what each network is and in which state; deleted ones disappear. Key: the network's id. */
import { type Event, type EventOf, needsExecution } from '../events/envelope.ts';
import { type Fault, isIntent, type NetworkFacts, type NetworkSettings } from '../events/events.ts';
import { isRecordOnly } from '../events/state.ts';
import { type NetworkStatus, networkTransitions } from '../events/states.ts';
import { endUpdate, type Update } from '../events/updates.ts';
import { type At, isLate, labelNames, type Projection } from './projection.ts';
import { nextStatus } from './status.ts';

export interface NetworkRow extends NetworkFacts {
  /** Empty where it is on every host. */
  readonly host: string;
  readonly status: Exclude<NetworkStatus, 'absent'>;
  /** Since when it is in this state. */
  readonly since: string;
  readonly createdAt: string;
  /** Who created it. */
  readonly createdBy: string;
  /** How many endpoints it has. */
  readonly endpoints: number;
  /** Event id of the latest intent: the one whose outcome moves the state. */
  readonly intent: string;
  /** Why the latest intent failed. */
  readonly fault: Fault | null;
  /** The latest update while it is not reported, with those that it followed; what it asks for stands in this row. */
  readonly update: Update<NetworkSettings> | null;
  /** Why the latest update failed, so that what was before it holds. */
  readonly updateFault: Fault | null;
  /** Position of the commit that changed this row last. */
  readonly changedPosition: number;
}

type Rows = Map<string, NetworkRow>;

const create = (rows: Rows, event: EventOf<'NetworkCreateRequested'>, at: At): void => {
  const { network } = event.data;
  const { time, id: intent } = event.meta;
  if (rows.has(network.id)) return;
  rows.set(network.id, {
    ...network,
    host: at.host ?? '',
    status: needsExecution(event) ? 'creating' : 'active',
    since: time,
    createdAt: time,
    createdBy: event.meta.actor,
    endpoints: 0,
    intent,
    fault: null,
    update: null,
    updateFault: null,
    changedPosition: at.position,
  });
};

/** Settings change at the intent, whatever state the network is in. */
const updated = (
  row: NetworkRow,
  event: EventOf<'NetworkUpdateRequested' | 'NetworkUpdated' | 'NetworkUpdateFailed'>,
  { position: changedPosition }: At,
): NetworkRow => {
  if (event.type === 'NetworkUpdateRequested') {
    const { labels, mtu, dns, options, drift } = row;
    const update = needsExecution(event)
      ? { intent: event.meta.id, before: { labels, mtu, dns, options, drift }, earlier: row.update }
      : row.update;
    return { ...row, ...event.data.settings, update, updateFault: null, changedPosition };
  }
  const fault = event.type === 'NetworkUpdateFailed' ? event.data.fault : null;
  const ended = endUpdate(row.update, event.meta.causationid, fault !== null);
  if (!ended) return row;
  return { ...row, ...ended.restored, update: ended.update, updateFault: fault, changedPosition };
};

const settled = (row: NetworkRow, { data }: EventOf<'NetworkSettled'>, at: At): NetworkRow => ({
  ...row,
  subnets: data.subnets,
  changedPosition: at.position,
});

/** Nobody reports the end of a network that is only on record: it is over with the last of its endpoints. */
const isOver = (row: NetworkRow): boolean => isRecordOnly(row) && row.status === 'deleting' && row.endpoints === 0;

const move = (rows: Rows, event: Event, at: At): void => {
  const row = at.networkBefore;
  if (!row) return;
  const intends = isIntent(event.type);
  if (!intends && event.type !== 'NetworkCreateFailed' && event.meta.causationid !== row.intent) return;
  const status = nextStatus(networkTransitions, row.status, event.type);
  if (status === 'absent' || isOver({ ...row, status })) {
    rows.delete(row.id);
    return;
  }
  rows.set(row.id, {
    ...row,
    status,
    since: status === row.status ? row.since : event.meta.time,
    intent: intends ? event.meta.id : row.intent,
    fault: event.type === 'NetworkDeleteFailed' ? event.data.fault : null,
    changedPosition: at.position,
  });
};

/** Counts an endpoint that came or went with this event. Runs once the endpoints view has folded the event in. */
export const countEndpoints = (rows: Rows, event: Event, at: At): void => {
  const before = at.endpointBefore;
  const endpoint = before ?? (event.type === 'EndpointCreateRequested' ? event.data.endpoint : undefined);
  if (!endpoint) return;
  const change = Number(at.endpoints.has(endpoint.id)) - Number(before !== undefined);
  const row = rows.get(endpoint.networkId);
  if (change === 0 || !row) return;
  const counted = { ...row, endpoints: row.endpoints + change, changedPosition: at.position };
  if (isOver(counted)) rows.delete(row.id);
  else rows.set(row.id, counted);
};

export const networks: Projection<NetworkRow> = {
  name: 'networks',
  version: 3,
  handles: [
    'NetworkCreateRequested',
    'NetworkSettled',
    'NetworkUpdateRequested',
    'NetworkDeleteRequested',
    'NetworkCreated',
    'NetworkCreateFailed',
    'NetworkUpdated',
    'NetworkUpdateFailed',
    'NetworkDeleted',
    'NetworkDeleteFailed',
  ],
  apply: (rows, event, at) => {
    switch (event.type) {
      case 'NetworkCreateRequested':
        create(rows, event, at);
        return;
      case 'NetworkSettled':
        if (at.networkBefore) rows.set(at.networkBefore.id, settled(at.networkBefore, event, at));
        return;
      case 'NetworkUpdateRequested':
      case 'NetworkUpdated':
      case 'NetworkUpdateFailed':
        // Done too late: it will be reported as taken back.
        if (event.type === 'NetworkUpdated' && isLate(at, event)) return;
        if (at.networkBefore) rows.set(at.networkBefore.id, updated(at.networkBefore, event, at));
        return;
      default:
        move(rows, event, at);
    }
  },
  fields: ['id', 'name', 'host', 'driver', 'status', 'internal', 'ipv4', 'ipv6', 'configOnly', 'configFrom', 'outlet'],
  references: ['network', 'label', 'dangling', 'scope', 'type'],
  refer: (row, reference) => {
    switch (reference) {
      case 'label':
        return labelNames(row.labels);
      case 'dangling':
        return [String(row.endpoints === 0)];
      // Docker's word for a network that is on several hosts.
      case 'scope':
        return [row.scope === 'realm' ? 'swarm' : 'local'];
      // None comes with cnmbus.
      case 'type':
        return ['custom'];
      default:
        return [row.name, row.id];
    }
  },
  keyOf: ({ id }) => id,
};
