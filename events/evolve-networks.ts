/** How events change the networks of a boundary's state. */
import type { Event, EventOf } from './envelope.ts';
import { isFailure, isIntent, type NetworkFacts, type NetworkSettings } from './events.ts';
import { endEndpoint } from './evolve-endpoints.ts';
import { addressPool, holdSubnet, releaseSubnet } from './ipam.ts';
import type { BoundaryState, NetworkCell, NetworkRow } from './state.ts';
import { networkTransitions, nextStatus } from './states.ts';
import { Table } from './table.ts';
import { endUpdate } from './updates.ts';

/** Subnets that are its own: those of a network that only holds settings are for others. */
const ownSubnets = ({ configOnly, subnets }: NetworkFacts): NetworkFacts['subnets'] => (configOnly ? [] : subnets);

export const createNetwork = (state: BoundaryState, event: EventOf<'NetworkCreateRequested'>): void => {
  const { network } = event.data;
  if (state.networks.has(network.id)) return;
  const { id, time: createdAt } = event.meta;
  state.networks.set(network.id, { facts: network, status: 'creating', intent: id, createdAt, update: null });
  state.networkNames.set(network.name.toLowerCase(), network.id);
  for (const { subnet } of ownSubnets(network)) {
    holdSubnet(state.subnets, subnet, { kind: 'network', id: network.id, name: network.name });
  }
  const { journal } = state;
  const cell: NetworkCell = {
    endpoints: new Table(journal),
    names: new Table(journal),
    macs: new Table(journal),
    pools: ownSubnets(network).map((subnet) => addressPool(journal, subnet)),
  };
  state.cells.set(network.id, cell);
};

/** A network that is undone takes its endpoints along: nothing of them could be named or reached any more. */
const endEndpoints = (state: BoundaryState, networkId: string, event: Event): void => {
  for (const id of [...(state.cells.get(networkId)?.endpoints.keys() ?? [])]) {
    const row = state.endpoints.get(id);
    if (row) endEndpoint(state, row, event);
  }
};

const end = (state: BoundaryState, { facts }: NetworkRow, event: Event): void => {
  endEndpoints(state, facts.id, event);
  for (const { subnet } of ownSubnets(facts))
    releaseSubnet(state.subnets, subnet, facts.id, Date.parse(event.meta.time));
  state.networks.delete(facts.id);
  state.cells.delete(facts.id);
};

export const evolveNetwork = (state: BoundaryState, event: Event, id: string): void => {
  const row = state.networks.get(id);
  if (!row) return;
  const counts = isIntent(event.type) || event.meta.causationid === row.intent || event.type === 'NetworkCreateFailed';
  if (!counts) return;
  const status = nextStatus(networkTransitions, row.status, event.type);
  if (status === 'absent' || status === 'deleting') {
    const name = row.facts.name.toLowerCase();
    if (state.networkNames.get(name) === id) state.networkNames.delete(name);
  }
  if (status === 'absent') end(state, row, event);
  else state.networks.set(id, { ...row, status, intent: isIntent(event.type) ? event.meta.id : row.intent });
};

// ---------------------------------------------------------------- updates

const settingsOf = ({ labels, mtu, dns, options }: NetworkFacts): NetworkSettings => ({ labels, mtu, dns, options });

export const updateNetwork = (state: BoundaryState, event: EventOf<'NetworkUpdateRequested'>): void => {
  const row = state.networks.get(event.data.networkId);
  if (!row) return;
  const update = { intent: event.meta.id, before: settingsOf(row.facts), earlier: row.update };
  state.networks.set(row.facts.id, { ...row, facts: { ...row.facts, ...event.data.settings }, update });
};

export const networkUpdateReported = (
  state: BoundaryState,
  event: EventOf<'NetworkUpdated' | 'NetworkUpdateFailed'>,
): void => {
  const row = state.networks.get(event.data.networkId);
  const { causationid } = event.meta;
  const hasFailed = isFailure(event.type);
  // Done too late: it will be reported as taken back.
  if (!hasFailed && state.expired.has(causationid)) return;
  const ended = endUpdate(row?.update ?? null, causationid, hasFailed);
  if (!row || !ended) return;
  state.networks.set(row.facts.id, { ...row, facts: { ...row.facts, ...ended.restored }, update: ended.update });
};
