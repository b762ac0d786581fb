/** What a host's end that somebody has declared does to the state of its boundary: nothing of it is left, as far as is decided. */
import type { EventOf } from './envelope.ts';
import { endEndpoint } from './evolve-endpoints.ts';
import { endNetwork, endVacant } from './evolve-networks.ts';
import { letGo } from './evolve-regressed.ts';
import { removeSandbox } from './evolve-sandboxes.ts';
import { setRoutes } from './ipam.ts';
import type { BoundaryState } from './state.ts';
import type { Table } from './table.ts';

/** In an order of their own, since tables have none: what is released first is given out first. */
const inOrder = <V>(table: Table<string, V>): readonly V[] =>
  [...table.keys()].sort().flatMap((key) => table.get(key) ?? []);

const clear = <K, V>(table: Table<K, V>): void => {
  for (const key of [...table.keys()]) table.delete(key);
};

/** Whoever waits for one of them is told that it has failed. */
const endCommands = ({ commands, progress }: BoundaryState, position: number): void => {
  for (const key of [...progress.keys()]) {
    const row = commands.get(key);
    if (row) commands.set(key, { ...row, endedAt: position, ended: 'failed' });
    progress.delete(key);
  }
};

/**
 * Addresses, subnets and names of the realm's networks among them rest as after any release. A worker that has stated another epoch before
 * was not lost: then this says nothing. Complexity: what the host has.
 */
export const loseHost = (state: BoundaryState, event: EventOf<'HostLost'>, position: number): void => {
  const { host, epoch } = event.data;
  if (state.facts.get('host')?.epoch !== epoch) return;
  state.lost.set('epoch', epoch);
  endCommands(state, position);
  clear(state.intents);
  clear(state.expired);
  const networkIds = new Set<string>();
  for (const row of inOrder(state.endpoints)) {
    networkIds.add(row.facts.networkId);
    endEndpoint(state, row, event);
  }
  for (const row of inOrder(state.sandboxes)) removeSandbox(state, row);
  clear(state.occupants);
  for (const row of inOrder(state.networks)) endNetwork(state, row, event);
  clear(state.networkNames);
  // A network of the realm that is to go goes with the last of its endpoints.
  for (const id of networkIds) endVacant(state, id, event);
  clear(state.drivers);
  letGo(state, host, Date.parse(event.meta.time));
  clear(state.pressure);
  setRoutes(state.subnets, host, []);
  setRoutes(state.shared.subnets, host, []);
};
