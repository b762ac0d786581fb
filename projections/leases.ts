/**
 * View `leases`: sandboxes and networks that end unless somebody renews their leases, who has to and until when. Key: `sandbox INCARNATION`
 * or `network ID`.
 */
import type { EventOf } from '../events/envelope.ts';
import { expiresMs } from '../events/lifetime.ts';
import { type Asker, askerOf } from './asker.ts';
import { networks } from './networks.ts';
import type { At, Projection } from './projection.ts';
import { sandboxes } from './sandboxes.ts';

export interface LeaseRow {
  readonly kind: 'sandbox' | 'network';
  /** The incarnation of a sandbox, the id of a network. */
  readonly id: string;
  readonly name: string;
  /** Empty for a network of all hosts. */
  readonly host: string;
  /** Who it is for, in the words of whoever made it. */
  readonly owner: string | null;
  /** Who made it, and renews it. */
  readonly actor: Asker['actor'];
  readonly actorproof: Asker['actorproof'];
  readonly leaseMs: number;
  readonly renewedAt: string;
  readonly renewals: number;
  readonly expiresAt: string;
  /** When the first step of its end was taken. */
  readonly suspectedAt: string | null;
  readonly changedPosition: number;
}

type Rows = Map<string, LeaseRow>;
type Begun = EventOf<'EndpointJoinRequested' | 'EndpointLeaveReverted' | 'NetworkCreateRequested'>;

const untilOf = (renewedAt: string, leaseMs: number): string =>
  new Date(expiresMs({ renewedAt, leaseMs })).toISOString();

const begin = (rows: Rows, event: Begun, at: At): void => {
  const isNetwork = event.type === 'NetworkCreateRequested';
  const facts = isNetwork ? event.data.network : event.data.sandbox;
  const id = isNetwork ? event.data.network.id : event.data.sandbox.incarnation;
  const kind = isNetwork ? 'network' : 'sandbox';
  const there = (isNetwork ? at.networks : at.sandboxes).get(id);
  const { owner, leaseMs } = facts;
  if (leaseMs === null || !there || rows.has(`${kind} ${id}`)) return;
  const { time: renewedAt } = event.meta;
  rows.set(`${kind} ${id}`, {
    ...{ kind, id, name: isNetwork ? event.data.network.name : event.data.sandbox.id, host: there.host, owner },
    ...askerOf(event.meta),
    ...{ leaseMs, renewedAt, renewals: 0, expiresAt: untilOf(renewedAt, leaseMs), suspectedAt: null },
    changedPosition: at.position,
  });
};

const change = (rows: Rows, event: EventOf<'LeaseRenewed' | 'LeaseSuspected'>, { position }: At): void => {
  const { sandbox, network } = event.data;
  const key = sandbox ? `sandbox ${sandbox.incarnation}` : `network ${network?.id}`;
  const row = rows.get(key);
  if (!row) return;
  const { time } = event.meta;
  if (event.type === 'LeaseSuspected') {
    rows.set(key, { ...row, suspectedAt: time, changedPosition: position });
    return;
  }
  const { leaseMs, renewals } = event.data;
  const expiresAt = untilOf(time, leaseMs);
  rows.set(key, {
    ...row,
    leaseMs,
    renewals,
    renewedAt: time,
    expiresAt,
    suspectedAt: null,
    changedPosition: position,
  });
};

/** A network is nobody's to renew from its delete on. */
const end = (rows: Rows, { sandboxBefore, networkBefore, sandboxes: boxes, networks: nets }: At): void => {
  if (sandboxBefore && !boxes.has(sandboxBefore.incarnation)) rows.delete(`sandbox ${sandboxBefore.incarnation}`);
  if (!networkBefore) return;
  const network = nets.get(networkBefore.id);
  if (!network || network.status === 'deleting') rows.delete(`network ${networkBefore.id}`);
};

export const leases: Projection<LeaseRow> = {
  name: 'leases',
  version: 1,
  handles: [...new Set([...sandboxes.handles, ...networks.handles, 'LeaseRenewed', 'LeaseSuspected'] as const)],
  apply: (rows, event, at) => {
    switch (event.type) {
      case 'LeaseRenewed':
      case 'LeaseSuspected':
        change(rows, event, at);
        return;
      case 'NetworkCreateRequested':
      case 'EndpointJoinRequested':
      case 'EndpointLeaveReverted':
        begin(rows, event, at);
        return;
      default:
        if (rows.size > 0) end(rows, at);
    }
  },
  fields: ['kind', 'id', 'name', 'host', 'owner', 'actor'],
  references: ['network', 'sandbox'],
  refer: (row, reference) => (row.kind === reference ? [row.name, row.id] : []),
  keyOf: ({ kind, id }) => (kind === undefined || id === undefined ? undefined : `${kind} ${id}`),
};
