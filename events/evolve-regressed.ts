/** What is held for a kernel that has more than the log knows: addresses, MACs, host ports and subnets that nobody else is given. Folds only. */
import type { EventOf } from './envelope.ts';
import type { PublishedPort } from './events.ts';
import type { Held } from './held.ts';
import { holdAddress, holderOf, releaseAddress, setRoutes } from './ipam.ts';
import { holdInstead } from './leases.ts';
import { type BoundaryState, cellOf } from './state.ts';

/** Whose routes the subnets count as. */
const keeper = (host: string): string => `${host} (held)`;

const leasesOf = ({ ports }: Held): readonly PublishedPort[] =>
  ports.map(({ protocol, hostAddress, hostPort }) => ({
    protocol,
    hostAddresses: [hostAddress],
    hostPort,
    choice: null,
    port: hostPort,
    count: 1,
  }));

/** What the log knows it holds already. */
const isKnown = (state: BoundaryState, { id }: Held): boolean => state.endpoints.has(id) || state.sandboxes.has(id);

/** Addresses and MACs that nobody has. */
const holdFree = (state: BoundaryState, held: Held): void => {
  const { id, networkId, addresses, macs } = held;
  if (isKnown(state, held)) return;
  const cell = networkId === null ? undefined : cellOf(state, networkId);
  const holder = { kind: 'endpoint', id, name: 'held' };
  for (const address of cell ? addresses : []) {
    if (cell?.pools.some((pool) => holdAddress(pool, address, holder))) continue;
    const isFree = cell?.pools.every((pool) => holderOf(pool, address) === null) && !cell.others.has(address);
    if (isFree) cell?.others.set(address, id);
  }
  for (const mac of macs) if (cell && !cell.macs.has(mac)) cell.macs.set(mac, id);
};

const hold = (state: BoundaryState, held: Held): void => {
  if (isKnown(state, held)) return;
  holdFree(state, held);
  // A port may have several holders, so this one stays whoever else had it first.
  holdInstead(state, { kind: held.entity === 'sandbox' ? 'sandbox' : 'endpoint', id: held.id }, [], leasesOf(held));
};

/** An endpoint that had been given something that is held did not come to be: it is the kernel's alone again. */
export const holdOn = (state: BoundaryState): void => {
  for (const held of state.regressed.get('log')?.held ?? []) holdFree(state, held);
};

const release = (state: BoundaryState, held: Held, atMs: number): void => {
  const { id, networkId, addresses, macs } = held;
  if (isKnown(state, held)) return;
  const cell = networkId === null ? undefined : cellOf(state, networkId);
  for (const address of addresses) {
    for (const pool of cell?.pools ?? []) releaseAddress(pool, address, id, atMs);
    if (cell?.others.get(address) === id) cell.others.delete(address);
  }
  for (const mac of macs) if (cell?.macs.get(mac) === id) cell.macs.delete(mac);
  holdInstead(state, { kind: held.entity === 'sandbox' ? 'sandbox' : 'endpoint', id }, leasesOf(held), []);
};

const setSubnets = (state: BoundaryState, host: string, held: readonly Held[]): void => {
  const subnets = held.flatMap((one) => one.subnets);
  for (const space of [state.subnets, state.shared.subnets])
    if (subnets.length > 0 || space.routes.has(keeper(host))) setRoutes(space, keeper(host), subnets);
};

const releaseAll = (state: BoundaryState, atMs: number): void => {
  for (const held of state.regressed.get('log')?.held ?? []) release(state, held, atMs);
};

/** Nothing is held any more. */
export const letGo = (state: BoundaryState, host: string, atMs: number): void => {
  if (!state.regressed.has('log')) return;
  releaseAll(state, atMs);
  setSubnets(state, host, []);
  state.regressed.delete('log');
};

export const evolveRegressed = (state: BoundaryState, event: EventOf<'LogRegressed' | 'HostResumed'>): void => {
  const { host } = event.data;
  const atMs = Date.parse(event.meta.time);
  const row = state.regressed.get('log');
  if (event.type === 'HostResumed') {
    if (event.data.held === 'keep') {
      if (row) state.regressed.set('log', { ...row, status: 'kept' });
      return;
    }
    letGo(state, host, atMs);
    return;
  }
  const { held, stopped, done } = event.data;
  releaseAll(state, atMs);
  for (const one of held) hold(state, one);
  setSubnets(state, host, held);
  for (const intent of done) state.expired.delete(intent);
  if (stopped) state.regressed.set('log', { status: 'stopped', held });
  else state.regressed.delete('log');
};
