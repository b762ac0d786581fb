/** The invariants of networks, of a host and of the realm: names, addresses, MACs and subnets are held once, and by whom they belong to. */
import assert from 'node:assert/strict';
import { isRevertible } from '../../events/envelope.ts';
import { overlaps, parseCidr, parseSubnet } from '../../events/ip.ts';
import { holderOf } from '../../events/ipam.ts';
import type { BoundaryState, EndpointRow, NetworkRow, SharedState } from '../../events/state.ts';
import type { Realm } from '../../services/lib/realm.ts';

export const unique = (what: string, keys: readonly string[]): void => {
  assert.equal(new Set(keys).size, keys.length, `${what} held twice: ${keys.toSorted().join(', ')}`);
};

export const holdsName = (row: { readonly status: string }): boolean =>
  row.status !== 'deleting' && row.status !== 'stuck';
const bare = (cidr: string): string => cidr.slice(0, cidr.indexOf('/'));

/** Where networks are kept: of a host, or those of the realm. */
type Home = Pick<SharedState, 'networks' | 'networkNames' | 'cells'>;

/** An endpoint with the state of its host. */
interface Located {
  readonly row: EndpointRow;
  readonly home: BoundaryState;
}

const checkNetwork = ({ cells }: Home, { facts }: NetworkRow, located: readonly Located[]): void => {
  const endpoints = located.map(({ row }) => row);
  const cell = cells.get(facts.id);
  assert.ok(cell, `network ${facts.name} has no cell`);
  const cidrs = endpoints.flatMap(({ facts: { ipv4, ipv6 } }) => [ipv4, ipv6].filter((cidr) => cidr !== null));
  const reserved = (facts.configOnly ? [] : facts.subnets).flatMap(({ gateway, aux }) => [
    ...(gateway ? [gateway] : []),
    ...Object.values(aux),
  ]);
  unique(`address of ${facts.name}`, [...cidrs.map(bare), ...reserved]);
  unique(
    `MAC of ${facts.name}`,
    endpoints.flatMap((row) => row.facts.mac ?? []),
  );
  const named = endpoints.filter(holdsName);
  unique(
    `name in ${facts.name}`,
    named.map((row) => row.facts.name.toLowerCase()),
  );
  for (const row of named) assert.equal(cell.names.get(row.facts.name.toLowerCase()), row.facts.id);
  for (const id of cell.names.values()) {
    const { row, home } = located.find((one) => one.row.facts.id === id) ?? {};
    const leave = home?.intents.get(row?.leave?.intent ?? '');
    const isMoving = leave !== undefined && isRevertible(leave);
    assert.ok(row?.status !== 'deleting' || isMoving, 'a name is free at the delete intent, but for a move');
  }
  assert.equal(cell.endpoints.size, endpoints.length, `endpoints of ${facts.name}`);
  const held = cell.pools.reduce((sum, pool) => sum + pool.held.size, 0);
  assert.equal(held, cidrs.length + reserved.length, `addresses held in ${facts.name}`);
  for (const row of endpoints) {
    for (const cidr of [row.facts.ipv4, row.facts.ipv6]) {
      if (cidr === null) continue;
      const holders: string[] = cell.pools.flatMap((pool) => holderOf(pool, cidr)?.id ?? []);
      assert.deepEqual(holders, [row.facts.id], `${cidr} is its endpoint's`);
      assert.ok(facts.subnets.some(({ subnet }) => isInside(cidr, subnet)));
    }
  }
};

const isInside = (address: string, subnet: string): boolean => {
  const [inner, outer] = [parseCidr(address), parseSubnet(subnet)];
  return inner !== null && outer !== null && overlaps(inner.cidr, outer);
};

const checkSubnets = ({ networks }: Home): void => {
  const held = [...networks.values()].flatMap(({ facts }) =>
    (facts.configOnly ? [] : facts.subnets).map(({ subnet }) => ({
      subnet,
      facts,
      cidr: parseSubnet(subnet) ?? assert.fail(subnet),
    })),
  );
  for (const [index, one] of held.entries()) {
    for (const other of held.slice(index + 1)) {
      if (one.facts.ipam.overlap || other.facts.ipam.overlap) continue;
      assert.ok(!overlaps(one.cidr, other.cidr), `${one.subnet} of ${one.facts.name}, ${other.subnet}`);
    }
  }
};

/** @param located endpoints that may be in them */
export const checkNetworks = (home: Home, located: readonly Located[]): void => {
  const networks = [...home.networks.values()];
  const named = networks.filter(holdsName);
  unique(
    'network name',
    named.map(({ facts }) => facts.name.toLowerCase()),
  );
  for (const { facts } of named) assert.equal(home.networkNames.get(facts.name.toLowerCase()), facts.id);
  assert.equal(home.networkNames.size, named.length);
  assert.equal(home.cells.size, networks.length);
  for (const row of networks) {
    const inside = located.filter(({ row: { facts } }) => facts.networkId === row.facts.id);
    checkNetwork(home, row, inside);
  }
  checkSubnets(home);
};

/** Networks of the realm, with the endpoints that they have on any host. */
export const checkShared = ({ shared, boundaries }: Realm): void => {
  const located = [...boundaries.values()].flatMap(({ state: home }) =>
    [...home.endpoints.values()].map((row) => ({ row, home })),
  );
  checkNetworks(shared, located);
  const held = [...shared.networks.values()].flatMap(({ facts }) => {
    const [vni] = facts.subnets.flatMap((subnet) => subnet.vni ?? []);
    return vni === undefined ? [] : [[vni, facts.id] as const];
  });
  unique(
    'VXLAN identifier',
    held.map(([vni]) => String(vni)),
  );
  assert.deepEqual(new Map(shared.vnis), new Map(held), 'the index of identifiers is that of their holders');
};
