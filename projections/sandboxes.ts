/**
 * View `sandboxes`: each sandbox with its members, from the first join that asks for it until it is removed. Key: its incarnation,
 * since a sandbox may be made anew while the one before is still being removed.
 */
import type { Event, EventOf } from '../events/envelope.ts';
import type { Gateways, SandboxFacts } from '../events/events.ts';
import { type SandboxStatus, sandboxTransitions } from '../events/states.ts';
import type { EndpointRow } from './endpoints.ts';
import { type At, networkName, type Projection } from './projection.ts';
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
  /** Since when its namespace is there. */
  readonly readyAt: string | null;
  /** Since when no endpoint is in it. */
  readonly removingAt: string | null;
  /** The endpoints in it, in the order in which they joined. */
  readonly members: readonly SandboxMember[];
  /** Ids of endpoints that were asked to leave it and have not been reported out of it. */
  readonly leaving: readonly string[];
  readonly gateways: Gateways;
  /** Position of the commit that changed this row last. */
  readonly changedPosition: number;
}

type Rows = Map<string, SandboxRow>;

/** Since when its namespace is there, in the state that it has come to. */
const readyAfter = (row: SandboxRow, status: SandboxRow['status'], time: string): string | null => {
  if (status === row.status) return row.readyAt;
  return status === 'ready' ? time : status === 'creating' ? null : row.readyAt;
};

const removingAfter = (row: SandboxRow, status: SandboxRow['status'], time: string): string | null => {
  if (status === row.status) return row.removingAt;
  return status === 'removing' ? time : null;
};

const join = (rows: Rows, event: EventOf<'EndpointJoinRequested'>, at: At): void => {
  // Its creation may have failed while the join was being decided.
  if (!at.endpointBefore) return;
  const { endpointId, name: endpoint, networkId, sandbox, gateways } = event.data;
  const network = networkName(at, networkId);
  const member: SandboxMember = { endpointId, endpoint, networkId, network, interface: event.data.interface };
  const row = rows.get(sandbox.incarnation);
  const changedPosition = at.position;
  if (row) {
    const after = nextStatus(sandboxTransitions, row.status, event.type);
    const status = after === 'absent' ? row.status : after;
    rows.set(sandbox.incarnation, {
      ...row,
      status,
      readyAt: readyAfter(row, status, event.meta.time),
      removingAt: removingAfter(row, status, event.meta.time),
      members: [...row.members, member],
      leaving: row.leaving.filter((id) => id !== endpointId),
      gateways,
      changedPosition,
    });
    return;
  }
  rows.set(sandbox.incarnation, {
    ...sandbox,
    host: at.host ?? '',
    status: 'creating',
    createdAt: event.meta.time,
    readyAt: null,
    removingAt: null,
    members: [member],
    leaving: [],
    gateways,
    changedPosition,
  });
};

/** Takes an endpoint out; the sandbox of the last one is desired no more from here on. */
const leave = (rows: Rows, endpoint: EndpointRow, event: Event, at: At): void => {
  const row = rows.get(endpoint.sandboxIncarnation ?? '');
  if (!row?.members.some(({ endpointId }) => endpointId === endpoint.id)) return;
  const members = row.members.filter(({ endpointId }) => endpointId !== endpoint.id);
  const leaves = event.type === 'EndpointLeaveRequested';
  const without = (id: string | null): string | null => (id === endpoint.id ? null : id);
  const { ipv4, ipv6 } = row.gateways;
  const gateways = leaves ? event.data.gateways : { ipv4: without(ipv4), ipv6: without(ipv6) };
  const leaving = leaves ? [...row.leaving, endpoint.id] : row.leaving;
  const cause = leaves ? event.type : 'EndpointJoinFailed';
  const status = members.length > 0 ? row.status : nextStatus(sandboxTransitions, row.status, cause);
  if (status === 'absent') rows.delete(row.incarnation);
  else {
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

const report = (rows: Rows, event: EventOf<'SandboxCreated' | 'SandboxRemoved'>, at: At): void => {
  const row = rows.get(event.data.sandbox.incarnation);
  if (!row) return;
  const status = nextStatus(sandboxTransitions, row.status, event.type);
  if (status === 'absent') rows.delete(row.incarnation);
  else if (status !== row.status) {
    const readyAt = readyAfter(row, status, event.meta.time);
    rows.set(row.incarnation, { ...row, status, readyAt, changedPosition: at.position });
  }
};

export const sandboxes: Projection<SandboxRow> = {
  name: 'sandboxes',
  version: 1,
  handles: [
    'EndpointJoinRequested',
    'EndpointLeaveRequested',
    'EndpointJoinFailed',
    'EndpointLeft',
    'EndpointCreateFailed',
    'EndpointDeleted',
    'SandboxCreated',
    'SandboxRemoved',
  ],
  apply: (rows, event, at) => {
    const { endpointBefore: before } = at;
    switch (event.type) {
      case 'SandboxCreated':
      case 'SandboxRemoved':
        report(rows, event, at);
        return;
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
