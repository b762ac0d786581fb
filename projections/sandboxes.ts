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
  /** When its namespace was there. */
  readonly readyAt: string | null;
  /** When the last endpoint left it. */
  readonly removingAt: string | null;
  /** In the order in which they joined. */
  readonly members: readonly SandboxMember[];
  readonly gateways: Gateways;
  /** Position of the commit that changed this row last. */
  readonly changedPosition: number;
}

type Rows = Map<string, SandboxRow>;

const join = (rows: Rows, event: EventOf<'EndpointJoinRequested'>, at: At): void => {
  // Its creation may have failed while the join was being decided.
  if (!at.before) return;
  const { endpointId, name: endpoint, networkId, sandbox, gateways } = event.data;
  const network = networkName(at, networkId);
  const member: SandboxMember = { endpointId, endpoint, networkId, network, interface: event.data.interface };
  const row = rows.get(sandbox.incarnation);
  const changedPosition = at.position;
  if (row) {
    rows.set(sandbox.incarnation, { ...row, members: [...row.members, member], gateways, changedPosition });
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
  const changedPosition = at.position;
  if (members.length > 0) {
    rows.set(row.incarnation, { ...row, members, gateways, changedPosition });
    return;
  }
  const cause = leaves ? event.type : 'EndpointJoinFailed';
  const status = nextStatus(sandboxTransitions, row.status, cause);
  if (status === 'absent') rows.delete(row.incarnation);
  else {
    const removingAt = status === 'removing' ? (row.removingAt ?? event.meta.time) : null;
    rows.set(row.incarnation, { ...row, status, removingAt, members, gateways, changedPosition });
  }
};

const report = (rows: Rows, event: EventOf<'SandboxCreated' | 'SandboxRemoved'>, at: At): void => {
  const row = rows.get(event.data.sandbox.incarnation);
  if (!row) return;
  const status = nextStatus(sandboxTransitions, row.status, event.type);
  if (status === 'absent') {
    rows.delete(row.incarnation);
    return;
  }
  const readyAt = event.type === 'SandboxCreated' ? (row.readyAt ?? event.meta.time) : row.readyAt;
  rows.set(row.incarnation, { ...row, status, readyAt, changedPosition: at.position });
};

export const sandboxes: Projection<SandboxRow> = {
  name: 'sandboxes',
  version: 1,
  handles: [
    'EndpointJoinRequested',
    'EndpointLeaveRequested',
    'EndpointJoinFailed',
    'EndpointCreateFailed',
    'EndpointDeleted',
    'SandboxCreated',
    'SandboxRemoved',
  ],
  apply: (rows, event, at) => {
    switch (event.type) {
      case 'EndpointJoinRequested':
        join(rows, event, at);
        return;
      case 'EndpointLeaveRequested':
        if (at.before) leave(rows, at.before, event, at);
        return;
      case 'EndpointJoinFailed':
      case 'EndpointCreateFailed':
      case 'EndpointDeleted': {
        const { before } = at;
        // Only what the endpoints view took for its end, or for the end of its latest join, ends the membership.
        if (before && at.endpoints.get(before.id)?.sandboxIncarnation == null) leave(rows, before, event, at);
        return;
      }
      case 'SandboxCreated':
      case 'SandboxRemoved':
        report(rows, event, at);
        return;
      default:
        return;
    }
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
