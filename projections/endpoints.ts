/** View `endpoints`: what each endpoint is, in which state and in which sandbox; deleted ones disappear. Key: the endpoint's id. */

import { endpointLifeAfter, type LifeAfter, type OpenLeave } from '../events/endpoint-life.ts';
import type { Event, EventOf } from '../events/envelope.ts';
import {
  type EndpointFacts,
  type EndpointSettings,
  type EventData,
  type Fault,
  isFailure,
  type Plug,
  type PortBinding,
} from '../events/events.ts';
import { withFound } from '../events/found-ports.ts';
import type { EndpointStatus } from '../events/states.ts';
import type { Update } from '../events/updates.ts';
import { updatedRow } from './endpoint-updates.ts';
import { type At, bareAddress, isLate, labelNames, networkName, type Projection } from './projection.ts';

export interface Families {
  readonly ipv4: boolean;
  readonly ipv6: boolean;
}

export interface EndpointRow extends EndpointFacts {
  readonly host: string;
  /** Name of its network. */
  readonly network: string;
  readonly status: Exclude<EndpointStatus, 'absent'>;
  /** Since when it is in this state. */
  readonly since: string;
  readonly createdAt: string;
  /** Who created it. */
  readonly createdBy: string;
  /** The sandbox that it is in, is joining or is leaving. */
  readonly sandbox: string | null;
  readonly sandboxIncarnation: string | null;
  /** Path of the sandbox's namespace file, once joined. */
  readonly sandboxKey: string | null;
  readonly joinId: string | null;
  /** Name of its interface inside the sandbox. */
  readonly interface: string | null;
  /** The name that was asked for. */
  readonly interfaceAsked: string | null;
  /** What the carrier of its network said of its join; null where that is a driver of ours, or has said nothing yet. */
  readonly plug: Plug | null;
  /** In the sandbox, once joined, as reports say of it and of the sandbox's other endpoints: default routes first, then its own. */
  readonly routes: EventData<'EndpointJoined'>['routes'];
  readonly routesAsked: EndpointFacts['routes'];
  /** Whether it carries the default routes of its sandbox, and with them all ports published for it. */
  readonly gateway: Families;
  /** What leads to it now, as the worker has reported it: leases of its own, of its sandbox, and of the sandbox's other endpoints. */
  readonly portMap: readonly PortBinding[];
  /** The latest update while it is not reported, with those that it followed; what it asks for stands in this row. */
  readonly update: Update<EndpointSettings> | null;
  /** Why the latest update failed, so that what was before it holds. */
  readonly updateFault: Fault | null;
  /** The sandbox that it was last in; a join that failed leaves it as it was. */
  readonly lastSandbox: string | null;
  /** Since when it has been without a sandbox, RFC 3339. */
  readonly idleSince: string;
  readonly suspected: boolean;
  /** How many events this incarnation has seen: what a collection re-checks. */
  readonly generation: number;
  /** Event id of the latest intent: the one whose outcome moves the state. */
  readonly intent: string;
  /** Its leave while that is not reported: it may be reverted. */
  readonly leave: OpenLeave | null;
  /** Why the latest intent failed. */
  readonly fault: Fault | null;
  /** Position of the commit that changed this row last. */
  readonly changedPosition: number;
}

type Membership = Pick<
  EndpointRow,
  'sandbox' | 'sandboxIncarnation' | 'sandboxKey' | 'joinId' | 'interface' | 'plug' | 'routes'
>;

const unjoined: Membership = {
  sandbox: null,
  sandboxIncarnation: null,
  sandboxKey: null,
  joinId: null,
  interface: null,
  plug: null,
  routes: [],
};

/** There are four of them, shared by all rows. */
const families = [false, true].map((ipv4) => [false, true].map((ipv6): Families => ({ ipv4, ipv6 })));
export const familiesOf = (ipv4: boolean, ipv6: boolean): Families =>
  families[Number(ipv4)]?.[Number(ipv6)] ?? { ipv4, ipv6 };
const noPorts: readonly PortBinding[] = [];

/** Field by field: what is put on behind a copy of the facts would be a second object, for this row and all that are made from it. */
const create = ({ data: { endpoint: facts }, meta }: EventOf<'EndpointCreateRequested'>, at: At): EndpointRow => ({
  id: facts.id,
  networkId: facts.networkId,
  name: facts.name,
  ipv4: facts.ipv4,
  ipv6: facts.ipv6,
  mac: facts.mac,
  wanted: facts.wanted,
  static: facts.static,
  aliases: facts.aliases,
  ports: facts.ports,
  gatewayPriority: facts.gatewayPriority,
  interface: unjoined.interface,
  sysctls: facts.sysctls,
  linkLocal: facts.linkLocal,
  routes: unjoined.routes,
  links: facts.links,
  services: facts.services,
  options: facts.options,
  labels: facts.labels,
  gc: facts.gc,
  origin: facts.origin,
  host: at.host ?? '',
  network: networkName(at, facts.networkId),
  status: 'creating',
  since: meta.time,
  createdAt: meta.time,
  createdBy: meta.actor,
  sandbox: unjoined.sandbox,
  sandboxIncarnation: unjoined.sandboxIncarnation,
  sandboxKey: unjoined.sandboxKey,
  joinId: unjoined.joinId,
  interfaceAsked: facts.interface,
  routesAsked: facts.routes,
  plug: unjoined.plug,
  gateway: familiesOf(false, false),
  portMap: noPorts,
  update: null,
  updateFault: null,
  lastSandbox: null,
  idleSince: meta.time,
  suspected: false,
  generation: 1,
  intent: meta.id,
  leave: null,
  fault: null,
  changedPosition: at.position,
});

/** Where the endpoint is after an event that counts for it. */
const membershipAfter = (row: EndpointRow, event: Event, { status }: LifeAfter): Membership => {
  switch (event.type) {
    case 'EndpointJoinRequested': {
      const { sandbox, joinId } = event.data;
      const { id, incarnation } = sandbox;
      return { ...unjoined, sandbox: id, sandboxIncarnation: incarnation, joinId, interface: event.data.interface };
    }
    case 'EndpointJoined': {
      const { sandbox, sandboxIncarnation, joinId, plug } = row;
      const { key, routes } = event.data;
      const link = event.data.interface ?? row.interface;
      return { sandbox, sandboxIncarnation, sandboxKey: key, joinId, interface: link, plug, routes };
    }
    case 'EndpointJoinFailed':
    case 'EndpointLeft':
      return unjoined;
    // Its join had failed before it was to leave.
    case 'EndpointLeaveReverted':
    case 'EndpointDeleteReverted':
      return status === 'created' ? unjoined : row;
    default:
      return row;
  }
};

const carries = (row: EndpointRow, event: Event): Families => {
  if (event.type === 'EndpointJoinRequested') {
    const { ipv4, ipv6 } = event.data.gateways;
    return familiesOf(ipv4 === row.id, ipv6 === row.id);
  }
  return event.type === 'EndpointLeaveRequested' ? familiesOf(false, false) : row.gateway;
};

/** The row after an event that counts for it. */
const moved = (row: EndpointRow, event: Event, life: LifeAfter, at: At): EndpointRow => {
  const { type } = event;
  const {
    sandbox,
    sandboxIncarnation,
    sandboxKey,
    joinId,
    interface: link,
    plug,
    routes,
  } = membershipAfter(row, event, life);
  const fault = isFailure(type) && 'fault' in event.data ? event.data.fault : null;
  const status = life.status === 'absent' ? row.status : life.status;
  const isOut = type === 'EndpointLeft' || type === 'EndpointJoinFailed';
  return {
    ...row,
    status,
    since: status === row.status ? row.since : event.meta.time,
    sandbox,
    sandboxIncarnation,
    sandboxKey,
    joinId,
    interface: link,
    plug,
    routes,
    gateway: sandbox === null ? familiesOf(false, false) : carries(row, event),
    lastSandbox:
      type === 'EndpointJoined' || type === 'EndpointLeaveRequested' ? event.data.sandbox.id : row.lastSandbox,
    idleSince: isOut || (row.sandbox !== null && sandbox === null) ? event.meta.time : row.idleSince,
    suspected: type === 'EndpointSuspected',
    generation: row.generation + 1,
    intent: life.intent,
    leave: life.leave,
    fault: type === 'EndpointSuspected' ? row.fault : fault,
    changedPosition: at.position,
  };
};

/** What was left open, as a worker has learnt it. */
const settled = (row: EndpointRow, event: EventOf<'EndpointSettled' | 'JoinSettled'>, at: At): EndpointRow => {
  if (event.type === 'EndpointSettled') {
    const { ipv4, ipv6, mac } = event.data;
    return { ...row, ipv4, ipv6, mac, changedPosition: at.position };
  }
  const { joinId, plug } = event.data;
  // It has left before this was decided.
  if (row.joinId !== joinId) return row;
  return { ...row, interface: event.data.interface, plug, changedPosition: at.position };
};

/** Settings of one endpoint, host ports of any, and what was left open: none of these moves a state. */
const update = (rows: Map<string, EndpointRow>, event: Event, at: At): boolean => {
  switch (event.type) {
    case 'EndpointUpdateRequested':
    case 'EndpointUpdated':
    case 'EndpointUpdateFailed':
      // Done too late: it will be reported as taken back.
      if (event.type === 'EndpointUpdated' && isLate(at, event)) return true;
      if (at.endpointBefore) rows.set(at.endpointBefore.id, updatedRow(at.endpointBefore, event, at));
      return true;
    case 'EndpointSettled':
    case 'JoinSettled':
      if (at.endpointBefore) rows.set(at.endpointBefore.id, settled(at.endpointBefore, event, at));
      return true;
    case 'PortsLeased':
      for (const id of new Set(event.data.ports.map(({ holder }) => holder))) {
        const row = rows.get(id);
        if (row) rows.set(id, { ...row, ...withFound(row, id, event.data), changedPosition: at.position });
      }
      return true;
    default:
      return false;
  }
};

/** What its join has come to is told while it is to leave: it is in its sandbox until it is out, or was never in it. */
const told = (row: EndpointRow, event: Event, life: LifeAfter, at: At): EndpointRow => {
  const after = { ...row, leave: life.leave, changedPosition: at.position };
  if (event.type === 'EndpointJoined') return { ...after, ...membershipAfter(row, event, life) };
  return event.type === 'EndpointJoinFailed' ? { ...after, sandboxKey: null, routes: [] } : after;
};

const move = (rows: Map<string, EndpointRow>, event: Event, at: At): void => {
  if (update(rows, event, at)) return;
  const row = at.endpointBefore;
  const life = row && endpointLifeAfter(row, event);
  if (!life) return;
  if (!life.counts) rows.set(row.id, told(row, event, life, at));
  else if (life.status === 'absent') rows.delete(row.id);
  else rows.set(row.id, moved(row, event, life, at));
};

export const endpoints: Projection<EndpointRow> = {
  name: 'endpoints',
  version: 4,
  handles: [
    'EndpointCreateRequested',
    'EndpointSettled',
    'JoinSettled',
    'EndpointUpdateRequested',
    'EndpointJoinRequested',
    'EndpointLeaveRequested',
    'EndpointDeleteRequested',
    'EndpointSuspected',
    'EndpointCreated',
    'EndpointCreateFailed',
    'EndpointUpdated',
    'EndpointUpdateFailed',
    'EndpointJoined',
    'EndpointJoinFailed',
    'EndpointLeft',
    'EndpointLeaveFailed',
    'EndpointLeaveReverted',
    'EndpointDeleted',
    'EndpointDeleteFailed',
    'EndpointDeleteReverted',
    'PortsLeased',
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
  references: ['network', 'endpoint', 'sandbox', 'address', 'label'],
  refer: (row, reference) => {
    switch (reference) {
      case 'network':
        return [row.network, row.networkId];
      case 'endpoint':
        return [row.name, row.id];
      case 'sandbox':
        return [row.sandbox ?? '', row.sandboxIncarnation];
      case 'label':
        return labelNames(row.labels);
      default:
        return [row.ipv4 && bareAddress(row.ipv4), row.ipv6 && bareAddress(row.ipv6)];
    }
  },
  keyOf: ({ id }) => id,
};
