/**
 * View `ports`: every host port that is published or held, one row per lease and address of the host: what can be reached from where, and who
 * asked for it. As of then, it says the same of any moment. Key: `HOLDER/PROTOCOL/ADDRESS/PORT`, and what is asked for instead of a port that
 * is still to be found.
 */

import type { Event, EventOf } from '../events/envelope.ts';
import type { PortBinding, PublishedPort } from '../events/events.ts';
import { allLeases, broughtBy } from '../events/found-ports.ts';
import { type Asker, askerOf } from './asker.ts';
import type { EndpointRow } from './endpoints.ts';
import { type At, networkName, type Projection } from './projection.ts';
import type { SandboxRow } from './sandboxes.ts';

/** Who can reach a port that is published on an address: this host alone, whoever reaches that address, or anyone who reaches the host. */
export type Exposure = 'loopback' | 'address' | 'any';

export interface PortRow {
  readonly host: string;
  readonly protocol: PublishedPort['protocol'];
  readonly family: 4 | 6;
  readonly hostAddress: string;
  /** The first of `count`; 0 while the host looks for one. */
  readonly hostPort: number;
  readonly count: number;
  /** The first port inside, of as many. */
  readonly port: number;
  readonly exposure: Exposure;
  /** `finding` a host port, `held`, `bound` (it leads to `address`), or `releasing`: an update takes it away. */
  readonly status: 'finding' | 'held' | 'bound' | 'releasing';
  readonly holderKind: 'endpoint' | 'sandbox';
  /** Id of the endpoint, or incarnation of the sandbox. */
  readonly holderId: string;
  readonly holder: string;
  /** Of the endpoint that holds it; null where a sandbox does. */
  readonly networkId: string | null;
  readonly network: string | null;
  /** The sandbox that it leads into, or that holds it. */
  readonly sandbox: string | null;
  /** Where it leads now: the endpoint that carries the sandbox's default route, and its address. */
  readonly endpointId: string | null;
  readonly endpoint: string | null;
  readonly address: string | null;
  /** Who asked for it. */
  readonly actor: Asker['actor'];
  readonly actorproof: Asker['actorproof'];
  /** When it was asked for. */
  readonly since: string;
  /** Since when it leads to that address. */
  readonly boundSince: string | null;
  readonly changedPosition: number;
}

type Rows = Map<string, PortRow>;

export const exposureOf = (hostAddress: string): Exposure => {
  if (hostAddress === '0.0.0.0' || hostAddress === '::') return 'any';
  return hostAddress.startsWith('127.') || hostAddress === '::1' ? 'loopback' : 'address';
};

interface Slot {
  readonly key: string;
  readonly hostAddress: string;
  readonly lease: PublishedPort;
}

/** The rows of a holder's leases. Those whose host port is not found yet are told apart by what they ask for, and equal ones by number. */
const slotsOf = (holder: string, leases: readonly PublishedPort[]): readonly Slot[] => {
  if (leases.length === 0) return [];
  const asked = new Map<string, number>();
  return leases.flatMap((lease) =>
    lease.hostAddresses.map((hostAddress) => {
      const place = `${holder}/${lease.protocol}/${hostAddress}/`;
      if (lease.hostPort !== 0) return { key: `${place}${lease.hostPort}`, hostAddress, lease };
      const wanted = `${place}?${JSON.stringify(lease)}`;
      const again = asked.get(wanted) ?? 0;
      asked.set(wanted, again + 1);
      return { key: `${wanted}.${again}`, hostAddress, lease };
    }),
  );
};

interface Holder {
  readonly kind: PortRow['holderKind'];
  readonly id: string;
  readonly name: string;
  readonly networkId: string | null;
  readonly sandbox: string | null;
}

const endpointHolder = ({ id, name, networkId }: EndpointRow): Holder => ({
  kind: 'endpoint',
  id,
  name,
  networkId,
  sandbox: null,
});

const sandboxHolder = ({ id, incarnation }: SandboxRow): Holder => ({
  kind: 'sandbox',
  id: incarnation,
  name: id,
  networkId: null,
  sandbox: id,
});

const unbound = { endpointId: null, endpoint: null, address: null, boundSince: null } as const;

/** Leases that are there already stay as they are, with whoever asked for them first. */
const hold = (rows: Rows, holder: Holder, leases: readonly PublishedPort[], event: Event, at: At): void => {
  for (const { key, hostAddress, lease } of slotsOf(holder.id, leases)) {
    const row = rows.get(key);
    const { protocol, hostPort, count, port } = lease;
    if (row && row.port === port && row.count === count) {
      if (row.status !== 'releasing') continue;
      rows.set(key, { ...row, status: row.address === null ? 'held' : 'bound', changedPosition: at.position });
      continue;
    }
    rows.set(key, {
      ...{
        host: at.host ?? '',
        protocol,
        family: hostAddress.includes(':') ? 6 : 4,
        hostAddress,
        hostPort,
        count,
        port,
      },
      ...{ exposure: exposureOf(hostAddress), status: hostPort === 0 ? 'finding' : 'held' },
      ...{ holderKind: holder.kind, holderId: holder.id, holder: holder.name, networkId: holder.networkId },
      network: holder.networkId === null ? null : networkName(at, holder.networkId),
      sandbox: holder.sandbox,
      ...{ endpointId: unbound.endpointId, endpoint: unbound.endpoint, address: unbound.address },
      ...{ ...askerOf(event.meta), since: event.meta.time, boundSince: unbound.boundSince },
      changedPosition: at.position,
    });
  }
};

const free = (rows: Rows, holder: string, leases: readonly PublishedPort[]): void => {
  for (const { key } of slotsOf(holder, leases)) rows.delete(key);
};

/** Leases that an update takes away are on their way out as long as they are held for the case that it fails. */
const settle = (rows: Rows, before: EndpointRow, after: EndpointRow, event: Event, at: At): void => {
  const keysOf = (leases: readonly PublishedPort[]) => new Set(slotsOf(after.id, leases).map(({ key }) => key));
  const [wanted, held] = [keysOf(after.ports), keysOf(allLeases(after))];
  for (const { key } of slotsOf(before.id, allLeases(before))) {
    const row = rows.get(key);
    if (!row || wanted.has(key)) continue;
    if (!held.has(key)) rows.delete(key);
    else if (row.status !== 'releasing') rows.set(key, { ...row, status: 'releasing', changedPosition: at.position });
  }
  hold(rows, endpointHolder(after), after.ports, event, at);
};

/** Runs before the other views have folded the event in: the leases are known by what they were. */
export const nameFound = (rows: Rows, event: EventOf<'PortsLeased'>, at: At): void => {
  for (const { holder, index, hostPort } of event.data.ports) {
    const endpoint = at.endpoints.get(holder);
    const asked = endpoint ? broughtBy(endpoint, event.data.intent) : (at.sandboxes.get(holder)?.ports ?? []);
    const wanted = asked[index];
    if (wanted?.hostPort !== 0) continue;
    for (const { key, hostAddress, lease } of slotsOf(holder, asked)) {
      const row = lease === wanted ? rows.get(key) : undefined;
      if (!row) continue;
      rows.delete(key);
      const status = row.status === 'finding' ? 'held' : row.status;
      const found = `${holder}/${lease.protocol}/${hostAddress}/${hostPort}`;
      rows.set(found, { ...row, hostPort, status, changedPosition: at.position });
    }
  }
};

/** Where a lease leads now; null: nowhere. */
export interface Lead {
  readonly binding: PortBinding;
  readonly endpoint: EndpointRow;
  readonly sandbox: string;
}

/** Says of each lease of a holder where it leads. */
export const lead = (
  rows: Rows,
  holder: string,
  leases: readonly PublishedPort[],
  leadOf: (lease: PublishedPort, hostAddress: string) => Lead | null,
  { time, position }: { readonly time: string; readonly position: number },
): void => {
  for (const { key, hostAddress, lease } of slotsOf(holder, leases)) {
    const row = rows.get(key);
    if (!row) continue;
    const to = leadOf(lease, hostAddress);
    const address = to?.binding.address ?? null;
    if (row.address === address && row.endpointId === (to?.endpoint.id ?? null)) continue;
    const isHeld = row.status === 'bound' || row.status === 'held';
    rows.set(key, {
      ...row,
      status: isHeld ? (to ? 'bound' : 'held') : row.status,
      sandbox: to?.sandbox ?? (row.holderKind === 'sandbox' ? row.holder : null),
      endpointId: to?.endpoint.id ?? null,
      endpoint: to?.endpoint.name ?? null,
      address,
      boundSince: to ? time : null,
      changedPosition: position,
    });
  }
};

const ofEndpoint = (rows: Rows, event: Event, at: At): void => {
  const { endpointBefore: before } = at;
  const id = before?.id ?? (event.type === 'EndpointCreateRequested' ? event.data.endpoint.id : '');
  const after = at.endpoints.get(id);
  if (after === before) return;
  if (!after) free(rows, id, before ? allLeases(before) : []);
  else if (!before) hold(rows, endpointHolder(after), after.ports, event, at);
  else if (before.ports !== after.ports || before.update !== after.update) settle(rows, before, after, event, at);
};

const ofSandbox = (rows: Rows, event: Event, at: At): void => {
  const { sandboxBefore: before } = at;
  if (before && before.ports.length > 0 && !at.sandboxes.has(before.incarnation)) {
    free(rows, before.incarnation, before.ports);
  }
  if (event.type !== 'EndpointJoinRequested' && event.type !== 'EndpointLeaveReverted') return;
  const after = at.sandboxes.get(event.data.sandbox.incarnation);
  if (after && after.ports.length > 0) hold(rows, sandboxHolder(after), after.ports, event, at);
};

export const ports: Projection<PortRow> = {
  name: 'ports',
  version: 1,
  handles: [
    'EndpointCreateRequested',
    'EndpointCreateFailed',
    'EndpointUpdateRequested',
    'EndpointUpdated',
    'EndpointUpdateFailed',
    'EndpointJoinRequested',
    'EndpointJoinFailed',
    'EndpointLeft',
    'EndpointLeaveReverted',
    'EndpointDeleted',
    'SandboxRemoved',
  ],
  apply: (rows, event, at) => {
    ofEndpoint(rows, event, at);
    ofSandbox(rows, event, at);
  },
  fields: [
    'host',
    'protocol',
    'family',
    'hostAddress',
    'hostPort',
    'port',
    'exposure',
    'status',
    'holderKind',
    'actor',
  ],
  references: ['network', 'endpoint', 'sandbox'],
  refer: (row, reference) => {
    if (reference === 'network') return [row.network, row.networkId];
    if (reference === 'endpoint') {
      const held = row.holderKind === 'endpoint' ? [row.holder, row.holderId] : [];
      return [...held, row.endpoint, row.endpointId];
    }
    return [row.sandbox, row.holderKind === 'sandbox' ? row.holderId : null];
  },
};
