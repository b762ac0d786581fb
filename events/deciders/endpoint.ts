/** Decisions about endpoints: creation with addresses, and deletion. */
import type { CommandData } from '../commands.ts';
import type { DriverRules } from '../driver-rules.ts';
import type { EndpointFacts, Fact, PublishedPort } from '../events.ts';
import type { Family } from '../ip.ts';
import {
  type AddressPool,
  checkAddress,
  chooseAddress,
  isUnicastMac,
  macFromIpv4,
  macFromIpv6,
  parseMac,
  withPrefix,
} from '../ipam.ts';
import { type Refusal, refuse } from '../refusals.ts';
import type { BoundaryState, EndpointRow, NetworkRow } from '../state.ts';
import { endpointAnswers } from '../states.ts';
import {
  accept,
  blame,
  type Context,
  type Decide,
  driverFor,
  endpointCulprit,
  endpointFor,
  found,
  networkFor,
  type Result,
} from './context.ts';

/** What CreateEndpoint and each network of AttachSandbox ask for. */
export type EndpointRequest = Omit<CommandData<'CreateEndpoint'>, 'network'>;
type InterfaceRequest = EndpointRequest['interfaces'][number];

const addressFor = (
  pool: AddressPool | undefined,
  wanted: string | undefined,
  context: Context,
): Result<string | null> => {
  if (!pool) {
    if (wanted === undefined) return found(null);
    return refuse('ADDRESS_INVALID', `the network has no addresses of the family of ${wanted}`, [
      { kind: 'address', id: wanted },
    ]);
  }
  if (wanted !== undefined) {
    const checked = checkAddress(pool, wanted);
    if (!checked.ok) return blame(checked, { kind: 'address', id: wanted });
    return found(withPrefix(pool, checked.value));
  }
  const chosen = chooseAddress(pool, context);
  return chosen.ok ? found(withPrefix(pool, chosen.value.address)) : chosen;
};

const withoutPrefix = (cidr: string): string => cidr.slice(0, cidr.indexOf('/'));

/** The MAC that follows from the addresses; where somebody asked for just that one before, one that follows from the id. */
const derivedMac = (ipv4: string | null, ipv6: string | null, isTaken: (mac: string) => boolean): string | null => {
  const fromAddress =
    ipv4 !== null ? macFromIpv4(withoutPrefix(ipv4)) : ipv6 !== null ? macFromIpv6(withoutPrefix(ipv6)) : null;
  if (fromAddress === null || !isTaken(fromAddress)) return fromAddress;
  for (let last = 0; last < 256; last++) {
    const other = `02:44${fromAddress.slice(5, -2)}${last.toString(16).padStart(2, '0')}`;
    if (!isTaken(other)) return other;
  }
  return null;
};

const macFor = (
  state: BoundaryState,
  networkId: string,
  wanted: string | undefined,
  addresses: { readonly ipv4: string | null; readonly ipv6: string | null },
): Result<string | null> => {
  const macs = state.cells.get(networkId)?.macs;
  if (wanted === undefined) return found(derivedMac(addresses.ipv4, addresses.ipv6, (mac) => macs?.has(mac) === true));
  const mac = parseMac(wanted);
  if (mac === null || !isUnicastMac(mac))
    return refuse('MAC_INVALID', `${wanted} is no unicast MAC address`, [{ kind: 'mac', id: wanted }]);
  const holder = state.endpoints.get(macs?.get(mac) ?? '');
  return holder
    ? refuse('MAC_IN_USE', `${mac} is held by endpoint ${holder.facts.name}`, [endpointCulprit(holder)])
    : found(mac);
};

/** Wildcard addresses overlap all others (design.md section 7, invariant 1). */
const portConflict = (state: BoundaryState, ports: readonly PublishedPort[]): Refusal | null => {
  for (const [index, port] of ports.entries()) {
    const id = `${port.protocol}/${port.hostPort}`;
    const overlaps = (address: string | null) =>
      address === null || port.hostAddress === null || address === port.hostAddress;
    const twice = ports
      .slice(0, index)
      .some((other) => `${other.protocol}/${other.hostPort}` === id && overlaps(other.hostAddress));
    if (twice) return refuse('PORT_IN_USE', `host port ${id} is asked for twice`, [{ kind: 'port', id }]);
    const holder = state.ports.get(id)?.find(({ address }) => overlaps(address));
    const endpoint = holder && state.endpoints.get(holder.endpointId);
    if (endpoint)
      return refuse('PORT_IN_USE', `host port ${id} is held by endpoint ${endpoint.facts.name}`, [
        endpointCulprit(endpoint),
      ]);
  }
  return null;
};

const nameConflict = (state: BoundaryState, network: NetworkRow, name: string): Refusal | null => {
  const id = state.cells.get(network.facts.id)?.names.get(name.toLowerCase());
  const row = id === undefined ? undefined : state.endpoints.get(id);
  if (!row || endpointAnswers.CreateEndpoint[row.status] === 'accepted') return null;
  return refuse('ENDPOINT_EXISTS', `endpoint ${row.facts.name} exists in network ${network.facts.name}`, [
    endpointCulprit(row),
  ]);
};

const capacity = (state: BoundaryState, network: NetworkRow, rules: DriverRules): Refusal | null => {
  const size = state.cells.get(network.facts.id)?.endpoints.size ?? 0;
  if (size < rules.endpointsMax) return null;
  const culprit = { kind: 'network', id: network.facts.id, name: network.facts.name, detail: `${size} endpoints` };
  return refuse(
    'NETWORK_FULL',
    `network ${network.facts.name} has all ${rules.endpointsMax} endpoints that driver ${rules.name} takes`,
    [culprit],
  );
};

const addressesFor = (
  state: BoundaryState,
  network: NetworkRow,
  wanted: InterfaceRequest,
  rules: DriverRules,
  context: Context,
) => {
  if (!rules.addresses) {
    const asked = wanted.ipv4 ?? wanted.ipv6 ?? wanted.mac;
    if (asked === undefined) return found({ ipv4: null, ipv6: null, mac: null });
    return refuse('DRIVER_FORBIDS', `endpoints of driver ${rules.name} have no addresses`, [
      { kind: 'address', id: asked },
    ]);
  }
  const pool = (family: Family) =>
    state.cells.get(network.facts.id)?.pools.find(({ subnet }) => subnet.family === family);
  const ipv4 = addressFor(pool(4), wanted.ipv4, context);
  if (!ipv4.ok) return ipv4;
  const ipv6 = addressFor(pool(6), wanted.ipv6, context);
  if (!ipv6.ok) return ipv6;
  const addresses = { ipv4: ipv4.value, ipv6: ipv6.value };
  const mac = macFor(state, network.facts.id, wanted.mac, addresses);
  return mac.ok ? found({ ...addresses, mac: mac.value }) : mac;
};

/** An interface that was allocated on another host is recorded as it is: the same checks, but nothing is chosen in its place. */
const complete = (wanted: InterfaceRequest, network: NetworkRow): Refusal | null => {
  if (wanted.allocated !== true) return null;
  if ((wanted.ipv4 !== undefined || !network.facts.ipv4) && (wanted.ipv6 !== undefined || !network.facts.ipv6))
    return null;
  return refuse(
    'ADDRESS_INVALID',
    'an interface that is marked as allocated must carry its addresses of every family of the network',
    [{ kind: 'network', id: network.facts.id, name: network.facts.name }],
  );
};

/**
 * The facts of a new endpoint in a network, or why it cannot be.
 * @param claimed ports of other endpoints that the same command makes
 */
export const newEndpoint = (
  state: BoundaryState,
  network: NetworkRow,
  request: EndpointRequest,
  origin: EndpointFacts['origin'],
  context: Context,
  claimed: readonly PublishedPort[] = [],
): Result<EndpointFacts> => {
  const rules = driverFor(network.facts.driver, context, state.facts.get('host'));
  if (!rules.ok) return rules;
  const [wanted = {}] = request.interfaces;
  const inTheWay =
    nameConflict(state, network, request.name) ?? capacity(state, network, rules.value) ?? complete(wanted, network);
  if (inTheWay) return inTheWay;
  const addresses = addressesFor(state, network, wanted, rules.value, context);
  if (!addresses.ok) return addresses;
  const endpoint: EndpointFacts = {
    id: context.newId(),
    networkId: network.facts.id,
    name: request.name,
    ...addresses.value,
    static: wanted.ipv4 !== undefined || wanted.ipv6 !== undefined,
    aliases: request.aliases,
    ports: request.ports.map(({ hostAddress, ...port }) => ({ ...port, hostAddress: hostAddress ?? null })),
    options: request.options,
    labels: request.labels,
    gc: request.gc ?? null,
    origin,
  };
  const problem =
    rules.value.checkEndpoint(endpoint, network.facts) ?? portConflict(state, [...claimed, ...endpoint.ports]);
  return problem ?? found(endpoint);
};

export const createEndpoint: Decide<'CreateEndpoint'> = (state, { network: ref, ...request }, context) => {
  const network = networkFor(state, ref, 'CreateEndpoint');
  if (!network.ok) return network;
  const endpoint = newEndpoint(state, network.value, request, 'endpoint', context);
  return endpoint.ok ? accept({ type: 'EndpointCreateRequested', data: { endpoint: endpoint.value } }) : endpoint;
};

/** The fact that an endpoint is to be deleted. */
export const deletion = (
  { facts }: EndpointRow,
  cause: 'command' | 'detach' | 'garbage',
  garbage: { readonly since: string; readonly reason: string; readonly lastSandbox: string | null } | null = null,
): Fact => ({
  type: 'EndpointDeleteRequested',
  data: { endpointId: facts.id, networkId: facts.networkId, name: facts.name, cause, garbage },
});

export const deleteEndpoint: Decide<'DeleteEndpoint'> = (state, data) => {
  const found = endpointFor(state, data, 'DeleteEndpoint');
  return found.ok ? accept(deletion(found.value.endpoint, 'command')) : found;
};
