/** Leases of host ports: who holds which, which are still to be found, and what is published for a sandbox. */
import type { Event } from './envelope.ts';
import type { EventData, PublishedPort } from './events.ts';
import { type Asked, allLeases, broughtBy, withFound } from './found-ports.ts';
import type { Family } from './ip.ts';
import type { BoundaryState, EndpointRow, PortHolder } from './state.ts';

/** All addresses of the host, of one family. */
export const everywhere = { 4: '0.0.0.0', 6: '::' } as const;
const wildcards: ReadonlySet<string> = new Set(Object.values(everywhere));

export const familyOf = (address: string): Family => (address.includes(':') ? 6 : 4);

const meet = (a: string, b: string): boolean =>
  a === b || ((wildcards.has(a) || wildcards.has(b)) && familyOf(a) === familyOf(b));

/** Whether some address is in both; a wildcard overlaps all of its family. */
export const addressesMeet = (some: readonly string[], others: readonly string[]): boolean =>
  some.some((a) => others.some((b) => meet(a, b)));

/** `tcp/8080` for each port of a lease; none while its host ports are still to be found. */
export const portKeys = ({ protocol, hostPort, count }: PublishedPort): readonly string[] =>
  hostPort === 0 ? [] : Array.from({ length: count }, (_, at) => `${protocol}/${hostPort + at}`);

type Owner = Pick<PortHolder, 'kind' | 'id'>;

const hold = (state: BoundaryState, { kind, id }: Owner, lease: PublishedPort): void => {
  const holder: PortHolder = { kind, id, addresses: lease.hostAddresses };
  for (const key of portKeys(lease)) state.ports.set(key, [...(state.ports.get(key) ?? []), holder]);
};

const same = (some: readonly string[], others: readonly string[]): boolean =>
  some.length === others.length && some.every((text, index) => text === others[index]);

const release = (state: BoundaryState, { id }: Owner, lease: PublishedPort): void => {
  for (const key of portKeys(lease)) {
    const holders = state.ports.get(key) ?? [];
    // One of them: another lease of the same owner may have the port too, while an update is open.
    const at = holders.findIndex((one) => one.id === id && same(one.addresses, lease.hostAddresses));
    if (at < 0) continue;
    if (holders.length === 1) state.ports.delete(key);
    else state.ports.set(key, holders.toSpliced(at, 1));
  }
};

const textOf = (lease: PublishedPort): string => JSON.stringify(lease);
const byText = (leases: readonly PublishedPort[]) => new Map(leases.map((lease) => [textOf(lease), lease]));

/** Replaces what an owner holds. Complexity: the ports that it holds more or less. */
export const holdInstead = (
  state: BoundaryState,
  owner: Owner,
  before: readonly PublishedPort[],
  after: readonly PublishedPort[],
): void => {
  if (before.length === 0 && after.length === 0) return;
  const [held, wanted] = [byText(before), byText(after)];
  for (const [text, lease] of held) if (!wanted.has(text)) release(state, owner, lease);
  for (const [text, lease] of wanted) if (!held.has(text)) hold(state, owner, lease);
};

const askedBy = ({ facts, update }: Pick<EndpointRow, 'facts' | 'update'>): Asked => ({ ports: facts.ports, update });

/** All leases that an endpoint holds: while updates of it are open, those from before them too. */
export const heldBy = (row: Pick<EndpointRow, 'facts' | 'update'>): readonly PublishedPort[] => allLeases(askedBy(row));

// ---------------------------------------------------------------- ports that the host finds

export interface OpenLease {
  /** An endpoint's id, or a sandbox's incarnation. */
  readonly holder: string;
  /** Place in the holder's list of ports. */
  readonly index: number;
  readonly port: PublishedPort;
}

const open = (holder: string, ports: readonly PublishedPort[]): readonly OpenLease[] =>
  ports.flatMap((port, index) => (port.hostPort === 0 ? [{ holder, index, port }] : []));

/** The ports of an open intent whose host ports are still to be found: it is not executed before they are leased. */
export const openLeases = (state: BoundaryState, intent: Event): readonly OpenLease[] => {
  switch (intent.type) {
    case 'EndpointCreateRequested': {
      const row = state.endpoints.get(intent.data.endpoint.id);
      return row ? open(row.facts.id, broughtBy(askedBy(row), intent.meta.id)) : [];
    }
    case 'EndpointUpdateRequested': {
      const row = state.endpoints.get(intent.data.endpointId);
      return row ? open(row.facts.id, broughtBy(askedBy(row), intent.meta.id)) : [];
    }
    case 'EndpointJoinRequested': {
      const { incarnation } = intent.data.sandbox;
      return open(incarnation, state.sandboxes.get(incarnation)?.facts.ports ?? []);
    }
    default:
      return [];
  }
};

/** Takes found ports into the facts of their holders. A holder that is gone by now needs none. */
export const takeLeased = (state: BoundaryState, leased: EventData<'PortsLeased'>): void => {
  for (const holder of new Set(leased.ports.map((found) => found.holder))) {
    const endpoint = state.endpoints.get(holder);
    if (endpoint) {
      const { ports, update } = withFound(askedBy(endpoint), holder, leased);
      const row = { ...endpoint, facts: { ...endpoint.facts, ports }, update };
      holdInstead(state, { kind: 'endpoint', id: holder }, heldBy(endpoint), heldBy(row));
      state.endpoints.set(holder, row);
    }
    const sandbox = state.sandboxes.get(holder);
    if (!sandbox) continue;
    const { ports } = withFound({ ports: sandbox.facts.ports, update: null }, holder, leased);
    holdInstead(state, { kind: 'sandbox', id: holder }, sandbox.facts.ports, ports);
    state.sandboxes.set(holder, { ...sandbox, facts: { ...sandbox.facts, ports } });
  }
};
