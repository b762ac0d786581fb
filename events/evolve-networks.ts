/** How events change the networks of a boundary's state. */
import { type Event, type EventOf, needsExecution } from './envelope.ts';
import { isFailure, isIntent, type NetworkFacts, type NetworkSettings } from './events.ts';
import { endEndpoint } from './evolve-endpoints.ts';
import { holdAddresses } from './holdings.ts';
import { addressPool, holdSubnet, releaseSubnet } from './ipam.ts';
import { leaseOf } from './lifetime.ts';
import { isWide } from './settled.ts';
import {
  type BoundaryState,
  cellOf,
  homeOf,
  isRecordOnly,
  type NetworkCell,
  type NetworkRow,
  networkOf,
} from './state.ts';
import { networkTransitions, nextStatus } from './states.ts';
import { type Journal, Table } from './table.ts';
import { endUpdate } from './updates.ts';

/** Subnets that are its own: those of a network that only holds settings are for others, and a pool of all addresses is nobody's. */
const ownSubnets = ({ configOnly, subnets }: NetworkFacts): NetworkFacts['subnets'] =>
  configOnly ? [] : subnets.filter(({ subnet }) => !isWide(subnet));

/** What is unique in a network that nobody is in yet. */
export const ownCell = (journal: Journal, network: NetworkFacts): NetworkCell => ({
  endpoints: new Table(journal),
  names: new Table(journal),
  macs: new Table(journal),
  pools: ownSubnets(network).map((subnet) => addressPool(journal, subnet)),
  others: new Table(journal),
});

const createNetwork = (state: BoundaryState, event: EventOf<'NetworkCreateRequested'>): void => {
  const { network } = event.data;
  const home = homeOf(state, network.scope);
  if (home.networks.has(network.id)) return;
  const { id, time: createdAt } = event.meta;
  const status = needsExecution(event) ? 'creating' : 'active';
  const lease = leaseOf(network, event.meta);
  const { actor } = event.meta;
  const row = { facts: network, actor, status, intent: id, createdAt, update: null, isSettled: false, lease } as const;
  home.networks.set(network.id, row);
  home.networkNames.set(network.name.toLowerCase(), network.id);
  for (const { subnet, vni } of ownSubnets(network)) {
    const holder = { kind: 'network', id: network.id, name: network.name };
    if (network.scope === 'host') holdSubnet(state.subnets, subnet, holder);
    holdSubnet(state.shared.subnets, subnet, holder);
    if (vni === null) continue;
    state.shared.vnis.set(vni, network.id);
    state.shared.vniCursor.set('last', vni);
  }
  home.cells.set(network.id, ownCell(home.journal, network));
  if (network.outlet) state.outlets.set(network.id, true);
};

/** Subnets in the place of those that were asked for. What endpoints hold already they hold on. */
const settleNetwork = (state: BoundaryState, { data, meta }: EventOf<'NetworkSettled'>): void => {
  const row = state.networks.get(data.networkId);
  const cell = state.cells.get(data.networkId);
  if (!row || !cell) return;
  const { id, name } = row.facts;
  const facts = { ...row.facts, subnets: data.subnets };
  const wanted = new Set(ownSubnets(facts).map(({ subnet }) => subnet));
  const atMs = Date.parse(meta.time);
  for (const space of [state.subnets, state.shared.subnets]) {
    for (const { subnet } of ownSubnets(row.facts)) if (!wanted.has(subnet)) releaseSubnet(space, subnet, id, atMs);
    for (const subnet of wanted) holdSubnet(space, subnet, { kind: 'network', id, name });
  }
  const settled = { ...cell, pools: ownSubnets(facts).map((subnet) => addressPool(state.journal, subnet)) };
  for (const endpointId of cell.endpoints.keys()) {
    const endpoint = state.endpoints.get(endpointId);
    if (endpoint) holdAddresses(settled, endpoint.facts);
  }
  state.cells.set(id, settled);
  state.networks.set(id, { ...row, facts, isSettled: true });
};

/** A network that is undone takes its endpoints along: nothing of them could be named or reached any more. */
const endEndpoints = (state: BoundaryState, networkId: string, event: Event): void => {
  for (const id of [...(cellOf(state, networkId)?.endpoints.keys() ?? [])]) {
    const row = state.endpoints.get(id);
    if (row) endEndpoint(state, row, event);
  }
};

/** Nothing of a network is left, nor of what is in it. */
export const endNetwork = (state: BoundaryState, { facts }: NetworkRow, event: Event): void => {
  endEndpoints(state, facts.id, event);
  const home = homeOf(state, facts.scope);
  const atMs = Date.parse(event.meta.time);
  for (const { subnet, vni } of ownSubnets(facts)) {
    if (facts.scope === 'host') releaseSubnet(state.subnets, subnet, facts.id, atMs);
    releaseSubnet(state.shared.subnets, subnet, facts.id, atMs);
    if (vni !== null && state.shared.vnis.get(vni) === facts.id) state.shared.vnis.delete(vni);
  }
  home.networks.delete(facts.id);
  state.outlets.delete(facts.id);
  home.cells.delete(facts.id);
};

/**
 * A network that is only on record and is to be deleted ends with the last of its endpoints: nobody reports it, and until then hosts
 * have to know what it is that they take down.
 */
export const endVacant = (state: BoundaryState, networkId: string, event: Event): void => {
  const row = networkOf(state, networkId);
  if (row?.status !== 'deleting' || !isRecordOnly(row.facts)) return;
  if (cellOf(state, networkId)?.endpoints.size === 0) endNetwork(state, row, event);
};

const evolveNetwork = (state: BoundaryState, event: Event, id: string): void => {
  const row = networkOf(state, id);
  if (!row) return;
  const home = homeOf(state, row.facts.scope);
  const counts = isIntent(event.type) || event.meta.causationid === row.intent || event.type === 'NetworkCreateFailed';
  if (!counts) return;
  const status = nextStatus(networkTransitions, row.status, event.type);
  if (status === 'absent' || status === 'deleting') {
    const name = row.facts.name.toLowerCase();
    if (home.networkNames.get(name) === id) home.networkNames.delete(name);
  }
  if (status === 'absent') endNetwork(state, row, event);
  else home.networks.set(id, { ...row, status, intent: isIntent(event.type) ? event.meta.id : row.intent });
  if (!needsExecution(event)) endVacant(state, id, event);
};

// ---------------------------------------------------------------- updates

const settingsOf = ({ labels, mtu, dns, options, drift }: NetworkFacts): NetworkSettings => ({
  labels,
  mtu,
  dns,
  options,
  drift,
});

const updateNetwork = (state: BoundaryState, event: EventOf<'NetworkUpdateRequested'>): void => {
  const row = networkOf(state, event.data.networkId);
  if (!row) return;
  const update = needsExecution(event)
    ? { intent: event.meta.id, before: settingsOf(row.facts), earlier: row.update }
    : row.update;
  homeOf(state, row.facts.scope).networks.set(row.facts.id, {
    ...row,
    facts: { ...row.facts, ...event.data.settings },
    update,
  });
};

const networkUpdateReported = (
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

// ---------------------------------------------------------------- all

export type NetworkEvent = EventOf<
  | 'NetworkCreateRequested'
  | 'NetworkSettled'
  | 'NetworkUpdateRequested'
  | 'NetworkUpdated'
  | 'NetworkUpdateFailed'
  | 'NetworkDeleteRequested'
  | 'NetworkCreated'
  | 'NetworkCreateFailed'
  | 'NetworkDeleted'
  | 'NetworkDeleteFailed'
>;

export const evolveNetworks = (state: BoundaryState, event: NetworkEvent): void => {
  switch (event.type) {
    case 'NetworkCreateRequested':
      createNetwork(state, event);
      return;
    case 'NetworkSettled':
      settleNetwork(state, event);
      return;
    case 'NetworkUpdateRequested':
      updateNetwork(state, event);
      return;
    case 'NetworkUpdated':
    case 'NetworkUpdateFailed':
      networkUpdateReported(state, event);
      return;
    default:
      evolveNetwork(state, event, event.data.networkId);
  }
};
