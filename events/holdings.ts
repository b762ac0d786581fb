/** What an endpoint holds in its network: its addresses and its MAC. Folds only. */
import type { EndpointFacts } from './events.ts';
import { holdAddress, holderOf, releaseAddress } from './ipam.ts';
import type { NetworkCell } from './state.ts';

type Held = Pick<EndpointFacts, 'id' | 'name' | 'ipv4' | 'ipv6' | 'mac'>;

const addressesOf = ({ ipv4, ipv6 }: Held): readonly string[] =>
  [ipv4, ipv6].filter((cidr) => cidr !== null).map((cidr) => cidr.slice(0, cidr.indexOf('/')));

/** In the pool of its subnet, else among those that lie in none. */
export const holdAddresses = ({ pools, others }: NetworkCell, endpoint: Held): void => {
  const holder = { kind: 'endpoint', id: endpoint.id, name: endpoint.name };
  for (const address of addressesOf(endpoint)) {
    if (pools.some((pool) => holdAddress(pool, address, holder))) continue;
    if (pools.every((pool) => holderOf(pool, address) === null)) others.set(address, endpoint.id);
  }
};

export const hold = (cell: NetworkCell, endpoint: Held): void => {
  if (endpoint.mac !== null) cell.macs.set(endpoint.mac, endpoint.id);
  holdAddresses(cell, endpoint);
};

export const release = ({ macs, pools, others }: NetworkCell, endpoint: Held, atMs: number): void => {
  const { id, mac } = endpoint;
  if (mac !== null && macs.get(mac) === id) macs.delete(mac);
  for (const address of addressesOf(endpoint)) {
    for (const pool of pools) releaseAddress(pool, address, id, atMs);
    if (others.get(address) === id) others.delete(address);
  }
};
