/**
 * View `sandboxes`: each sandbox with its members, from the first join that asks for it until it is removed. Key: its incarnation,
 * since a sandbox may be made anew while the one before is still being removed.
 */

import { endpointLifeAfter } from '../events/endpoint-life.ts';
import type { Event, EventOf } from '../events/envelope.ts';
import type { Gateways, SandboxFacts } from '../events/events.ts';
import { withFound } from '../events/found-ports.ts';
import { type Candidate, electGateways } from '../events/gateways.ts';
import { type Lost, releasedAt } from '../events/reboots.ts';
import { type SandboxStatus, sandboxTransitions } from '../events/states.ts';
import type { EndpointRow } from './endpoints.ts';
import type { At, Projection } from './projection.ts';
import { nextStatus } from './status.ts';

export interface SandboxMember {
  readonly endpointId: string;
  /** The endpoint's name. */
  readonly endpoint: string;
  readonly networkId: string;
  readonly network: string;
  readonly interface: string | null;
}

export interface SandboxRow extends SandboxFacts {
  readonly host: string;
  readonly status: Exclude<SandboxStatus, 'absent'>;
  /** When the first join asked for it. */
  readonly createdAt: string;
  /** Who joined the first endpoint to it. */
  readonly createdBy: string;
  /** Since when its namespace is there. */
  readonly readyAt: string | null;
  /** Since when no endpoint is in it. */
  readonly removingAt: string | null;
  /** The endpoints in it, in the order in which they joined. */
  readonly members: readonly SandboxMember[];
  /** Ids of endpoints that were asked to leave it and have not been reported out of it. */
  readonly leaving: readonly string[];
  readonly gateways: Gateways;
  /** Lost with a boot of its host, since when and why, and when it ends unless it is wanted back (null: it is); null: it was not. */
  readonly lost: (Omit<Lost, 'reclaimed'> & { readonly releasedAt: string | null }) | null;
  /** Files to mount into the container; null where it is the host's own namespace. */
  readonly paths: { readonly hosts: string; readonly resolvConf: string; readonly hostname: string } | null;
  /** Position of the commit that changed this row last. */
  readonly changedPosition: number;
}

type Rows = Map<string, SandboxRow>;

const pathsIn = (directory: string | null): SandboxRow['paths'] =>
  directory === null
    ? null
    : {
        hosts: `${directory}/hosts`,
        resolvConf: `${directory}/resolv.conf`,
        hostname: `${directory}/hostname`,
      };

/** Since when its namespace is there, in the state that it has come to. */
const readyAfter = (row: SandboxRow, status: SandboxRow['status'], time: string): string | null => {
  if (status === row.status) return row.readyAt;
  return status === 'ready' ? time : status === 'creating' ? null : row.readyAt;
};

const removingAfter = (row: SandboxRow, status: SandboxRow['status'], time: string): string | null => {
  if (status === row.status) return row.removingAt;
  return status === 'removing' ? time : null;
};

type Membership = EventOf<'EndpointJoinRequested' | 'EndpointLeaveReverted'>;

const memberOf = ({ id, name, networkId, network }: EndpointRow, { data }: Membership): SandboxMember => ({
  endpointId: id,
  endpoint: name,
  networkId,
  network,
  interface: data.interface,
});

/** Who carries the default routes: by the rule, since no event says it of a failure. */
const elected = (members: readonly SandboxMember[], at: At): Gateways => {
  const candidates: Candidate[] = [];
  for (const { endpointId: id, networkId } of members) {
    const endpoint = at.endpoints.get(id);
    const network = at.networks.get(networkId);
    if (endpoint && network)
      candidates.push({ id, gatewayPriority: endpoint.gatewayPriority, network, plug: endpoint.plug });
  }
  return electGateways(candidates);
};

/** Field by field: what is put on behind a copy of the facts would be a second object, for this row and all that are made from it. */
const begun = (
  { data: { sandbox: facts }, meta }: Membership,
  at: At,
  members: readonly SandboxMember[],
  status: SandboxRow['status'],
): SandboxRow => ({
  id: facts.id,
  incarnation: facts.incarnation,
  key: facts.key,
  owned: facts.owned,
  hostname: facts.hostname,
  domainname: facts.domainname,
  dns: facts.dns,
  extraHosts: facts.extraHosts,
  ports: facts.ports,
  owner: facts.owner,
  leaseMs: facts.leaseMs,
  afterReboot: facts.afterReboot,
  files: facts.files,
  host: at.host ?? '',
  status,
  createdAt: meta.time,
  createdBy: meta.actor,
  readyAt: null,
  removingAt: null,
  members,
  leaving: [],
  gateways: elected(members, at),
  lost: null,
  paths: pathsIn(facts.files),
  changedPosition: at.position,
});

const join = (rows: Rows, event: EventOf<'EndpointJoinRequested'>, at: At): void => {
  // Its creation may have failed while the join was being decided.
  if (!at.endpointBefore) return;
  const { endpointId, sandbox } = event.data;
  const member = memberOf(at.endpointBefore, event);
  const row = rows.get(sandbox.incarnation);
  if (row) {
    const members = [...row.members, member];
    const after = nextStatus(sandboxTransitions, row.status, event.type);
    const status = after === 'absent' ? row.status : after;
    rows.set(sandbox.incarnation, {
      ...row,
      status,
      readyAt: readyAfter(row, status, event.meta.time),
      removingAt: removingAfter(row, status, event.meta.time),
      members,
      leaving: row.leaving.filter((id) => id !== endpointId),
      gateways: elected(members, at),
      changedPosition: at.position,
    });
    return;
  }
  rows.set(sandbox.incarnation, begun(event, at, [member], 'creating'));
};

/** Its carrier has said what its interface is called, and whether it carries a default route. */
const plugged = (rows: Rows, before: EndpointRow, at: At): void => {
  const row = at.sandboxBefore;
  const endpoint = at.endpoints.get(before.id);
  if (!row || !endpoint || (endpoint.interface === before.interface && endpoint.plug === before.plug)) return;
  const members = row.members.map((member) =>
    member.endpointId === endpoint.id ? { ...member, interface: endpoint.interface } : member,
  );
  rows.set(row.incarnation, { ...row, members, gateways: elected(members, at), changedPosition: at.position });
};

/** Takes an endpoint out; the sandbox of the last one is desired no more from here on. */
const leave = (rows: Rows, endpoint: EndpointRow, event: Event, at: At): void => {
  const row = at.sandboxBefore;
  const members = row?.members.filter(({ endpointId }) => endpointId !== endpoint.id) ?? [];
  if (!row || members.length === row.members.length) return;
  const leaves = event.type === 'EndpointLeaveRequested';
  const gateways = elected(members, at);
  const leaving = leaves ? [...row.leaving, endpoint.id] : row.leaving;
  const cause = leaves ? event.type : 'EndpointJoinFailed';
  const after = members.length > 0 ? row.status : nextStatus(sandboxTransitions, row.status, cause);
  if (after === 'absent' && leaving.length === 0) rows.delete(row.incarnation);
  else {
    // Whoever has not been reported out of it is in there, or may be still.
    const status = after === 'absent' ? 'removing' : after;
    const removingAt = removingAfter(row, status, event.meta.time);
    rows.set(row.incarnation, { ...row, status, removingAt, members, leaving, gateways, changedPosition: at.position });
  }
};

/**
 * An endpoint that was on its way out of a sandbox is out, has joined another, or is gone. With the last one that is gone a sandbox
 * goes too that should have ended before it.
 */
const parted = (rows: Rows, endpoint: EndpointRow, at: At): void => {
  const after = at.endpoints.get(endpoint.id);
  const row = rows.get(endpoint.sandboxIncarnation ?? '');
  if (!row || after?.sandboxIncarnation === row.incarnation) return;
  const leaving = row.leaving.filter((id) => id !== endpoint.id);
  if (!after && row.status === 'removing' && leaving.length + row.members.length === 0) rows.delete(row.incarnation);
  else if (leaving.length < row.leaving.length) {
    rows.set(row.incarnation, { ...row, leaving, changedPosition: at.position });
  }
};

/** It was to leave as part of a move that failed, and is where it was. */
const stay = (rows: Rows, event: EventOf<'EndpointLeaveReverted'>, at: At): void => {
  const { endpointId, sandbox, before } = event.data;
  const { endpointBefore } = at;
  // It has not joined either, or the report is of another leave than its latest.
  if (!endpointBefore || endpointBefore.leave?.joinFailed || !endpointLifeAfter(endpointBefore, event)) return;
  // It may have been removed meanwhile: then it is there again, with whoever has not been reported out of it.
  const inside = () => [...at.endpoints.values()].filter((one) => one.sandboxIncarnation === sandbox.incarnation);
  const row = rows.get(sandbox.incarnation) ?? {
    ...begun(event, at, [], 'ready'),
    leaving: inside().map(({ id }) => id),
  };
  if (row.members.some((member) => member.endpointId === endpointId)) return;
  const members = row.members.toSpliced(before.index, 0, memberOf(endpointBefore, event));
  rows.set(row.incarnation, {
    ...row,
    status: 'ready',
    readyAt: readyAfter(row, 'ready', event.meta.time),
    removingAt: null,
    members,
    leaving: row.leaving.filter((id) => id !== endpointId),
    gateways: elected(members, at),
    changedPosition: at.position,
  });
};

/** The priority of a member may have changed. */
const reelect = (rows: Rows, endpoint: EndpointRow, at: At): void => {
  const row = rows.get(endpoint.sandboxIncarnation ?? '');
  if (!row || at.endpoints.get(endpoint.id)?.gatewayPriority === endpoint.gatewayPriority) return;
  rows.set(row.incarnation, { ...row, gateways: elected(row.members, at), changedPosition: at.position });
};

const lease = (rows: Rows, event: EventOf<'PortsLeased'>, at: At): void => {
  for (const id of new Set(event.data.ports.map(({ holder }) => holder))) {
    const row = rows.get(id);
    if (!row) continue;
    const { ports } = withFound({ ports: row.ports, update: null }, id, event.data);
    rows.set(id, { ...row, ports, changedPosition: at.position });
  }
};

const report = (rows: Rows, event: EventOf<'SandboxCreated' | 'SandboxRemoved'>, at: At): void => {
  const row = rows.get(event.data.sandbox.incarnation);
  if (!row) return;
  const status = nextStatus(sandboxTransitions, row.status, event.type);
  if (status === 'absent') rows.delete(row.incarnation);
  else if (status !== row.status) {
    const readyAt = readyAfter(row, status, event.meta.time);
    rows.set(row.incarnation, { ...row, status, readyAt, lost: null, changedPosition: at.position });
  }
};

type Rebooted = EventOf<'SandboxLost' | 'SandboxRestored' | 'SandboxReclaimed'>;

const lostAfter = (row: SandboxRow, { type, data, meta }: Rebooted): SandboxRow['lost'] => {
  if (type === 'SandboxRestored') return null;
  if (type === 'SandboxReclaimed') return row.lost && { ...row.lost, releasedAt: null };
  const lost = { bootId: data.bootId, since: meta.time, reason: data.reason };
  return { ...lost, releasedAt: releasedAt(row, lost) };
};

const reboot = (rows: Rows, event: Rebooted, at: At): void => {
  const row = rows.get(event.data.sandbox.incarnation);
  if (row) rows.set(row.incarnation, { ...row, lost: lostAfter(row, event), changedPosition: at.position });
};

export const sandboxes: Projection<SandboxRow> = {
  name: 'sandboxes',
  version: 5,
  handles: [
    'EndpointUpdateRequested',
    'EndpointUpdateFailed',
    'EndpointJoinRequested',
    'JoinSettled',
    'EndpointJoined',
    'EndpointLeaveRequested',
    'EndpointJoinFailed',
    'EndpointLeft',
    'EndpointLeaveReverted',
    'PortsLeased',
    'EndpointCreateFailed',
    'EndpointDeleted',
    'EndpointDeleteReverted',
    'SandboxCreated',
    'SandboxRemoved',
    'SandboxLost',
    'SandboxRestored',
    'SandboxReclaimed',
  ],
  apply: (rows, event, at) => {
    const { endpointBefore: before } = at;
    switch (event.type) {
      case 'SandboxCreated':
      case 'SandboxRemoved':
        report(rows, event, at);
        return;
      case 'SandboxLost':
      case 'SandboxRestored':
      case 'SandboxReclaimed':
        reboot(rows, event, at);
        return;
      case 'PortsLeased':
        lease(rows, event, at);
        return;
      case 'EndpointUpdateRequested':
      case 'EndpointUpdateFailed':
        if (before) reelect(rows, before, at);
        return;
      case 'JoinSettled':
      case 'EndpointJoined':
        if (before) plugged(rows, before, at);
        return;
      case 'EndpointLeaveReverted':
        stay(rows, event, at);
        break;
      case 'EndpointJoinRequested':
        join(rows, event, at);
        break;
      case 'EndpointLeaveRequested':
        if (before) leave(rows, before, event, at);
        return;
      default:
        // Only what the endpoints view took for its end, or for the end of its latest join, ends the membership.
        if (before && !at.endpoints.get(before.id)?.sandboxIncarnation) leave(rows, before, event, at);
    }
    if (before) parted(rows, before, at);
  },
  fields: ['id', 'incarnation', 'key', 'host', 'owned', 'status', 'hostname'],
  references: ['network', 'endpoint', 'sandbox'],
  refer: (row, reference) => {
    if (reference === 'network') return row.members.flatMap(({ network, networkId }) => [network, networkId]);
    if (reference === 'endpoint') return row.members.flatMap(({ endpoint, endpointId }) => [endpoint, endpointId]);
    return [row.id, row.incarnation];
  },
  keyOf: ({ incarnation }) => incarnation,
};
