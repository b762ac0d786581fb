/** Decisions about endpoints: creation with addresses, and deletion. */
import type { CommandData } from '../commands.ts';
import type { DriverRules } from '../driver-rules.ts';
import type { EndpointFacts, Fact, NetworkFacts, PublishedPort } from '../events.ts';
import { type Family, formatIp, parseIp } from '../ip.ts';
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
import { ipamOf } from '../settled.ts';
import { type BoundaryState, cellOf, type EndpointRow, isMoving, type NetworkRow } from '../state.ts';
import { endpointAnswers } from '../states.ts';
import {
  accept,
  blame,
  type Context,
  type Decide,
  driverOf,
  endpointCulprit,
  endpointFor,
  endpointIn,
  found,
  networkFor,
  type Result,
  sandboxOf,
} from './context.ts';
import { outletNetwork } from './outlet-network.ts';
import { type Claims, claim, leasesFor, outletOf, type PortRequest } from './ports.ts';
import { admissionTo } from './realm.ts';
import { checkSysctls, linkLocalOf, routesOf } from './settings.ts';

/** What CreateEndpoint and each network of AttachSandbox ask for. */
export type EndpointRequest = Omit<CommandData<'CreateEndpoint'>, 'network'>;
type InterfaceRequest = EndpointRequest['interfaces'][number];
type Addresses = Pick<EndpointFacts, 'ipv4' | 'ipv6' | 'mac' | 'wanted'>;

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
export const derivedMac = (
  ipv4: string | null,
  ipv6: string | null,
  isTaken: (mac: string) => boolean,
): string | null => {
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
  context: Context,
): Result<string | null> => {
  const macs = cellOf(state, networkId)?.macs;
  if (wanted === undefined) return found(derivedMac(addresses.ipv4, addresses.ipv6, (mac) => macs?.has(mac) === true));
  const mac = parseMac(wanted);
  if (mac === null || !isUnicastMac(mac))
    return refuse('MAC_INVALID', `${wanted} is no unicast MAC address`, [{ kind: 'mac', id: wanted }]);
  const holder = endpointIn(state, networkId, macs?.get(mac) ?? '', context)?.row;
  return holder
    ? refuse('MAC_IN_USE', `${mac} is held by endpoint ${holder.facts.name}`, [endpointCulprit(holder)])
    : found(mac);
};

const nameConflict = (state: BoundaryState, network: NetworkRow, name: string, context: Context): Refusal | null => {
  const id = cellOf(state, network.facts.id)?.names.get(name.toLowerCase());
  const holder = id === undefined ? undefined : endpointIn(state, network.facts.id, id, context);
  if (!holder) return null;
  const { home, row } = holder;
  // Where its deletion is part of a move its name is still its own: it may come back.
  const isFree = endpointAnswers.CreateEndpoint[row.status] === 'accepted' && !isMoving(home, sandboxOf(home, row));
  if (isFree) return null;
  return refuse('ENDPOINT_EXISTS', `endpoint ${row.facts.name} exists in network ${network.facts.name}`, [
    endpointCulprit(row),
  ]);
};

const capacity = (state: BoundaryState, network: NetworkRow, rules: DriverRules, context: Context): Refusal | null => {
  const endpoints = cellOf(state, network.facts.id)?.endpoints;
  // What limits a network of the realm is what each host makes of it.
  const all = endpoints?.size ?? 0;
  const size =
    rules.scope === 'realm' && all >= rules.endpointsMax
      ? [...(endpoints?.values() ?? [])].filter((host) => host === context.host).length
      : all;
  if (size < rules.endpointsMax) return null;
  const culprit = { kind: 'network', id: network.facts.id, name: network.facts.name, detail: `${size} endpoints` };
  return refuse(
    'NETWORK_FULL',
    `network ${network.facts.name} has all ${rules.endpointsMax} endpoints that driver ${rules.name} takes`,
    [culprit],
  );
};

/** What is asked for, where a plugin manages the addresses: it answers when the endpoint is made. */
const addressesLater = (
  state: BoundaryState,
  { facts }: NetworkRow,
  request: InterfaceRequest,
  rules: DriverRules,
  context: Context,
): Result<Addresses> => {
  const wanted: NonNullable<EndpointFacts['wanted']> = { ipv4: null, ipv6: null };
  for (const family of [4, 6] as const) {
    const key = `ipv${family}` as const;
    const text = request[key];
    if (text === undefined) continue;
    const ip = parseIp(text);
    if (ip?.family !== family || !facts[key])
      return refuse('ADDRESS_INVALID', `${text} is no IPv${family} address that the network could have`, [
        { kind: 'address', id: text },
      ]);
    wanted[key] = formatIp(family, ip.value);
  }
  const open = { ipv4: null, ipv6: null, wanted };
  if (request.mac === undefined) return found({ ...open, mac: null });
  if (!rules.hasMac) return withoutMac(rules, request.mac);
  const mac = macFor(state, facts.id, request.mac, open, context);
  return mac.ok ? found({ ...open, mac: mac.value }) : mac;
};

const withoutMac = (rules: DriverRules, mac: string): Refusal =>
  refuse('DRIVER_FORBIDS', `endpoints of driver ${rules.name} have no MAC address of their own`, [
    { kind: 'mac', id: mac },
  ]);

const addressesFor = (
  state: BoundaryState,
  network: NetworkRow,
  wanted: InterfaceRequest,
  rules: DriverRules,
  context: Context,
): Result<Addresses> => {
  if (!rules.addresses) {
    const asked = wanted.ipv4 ?? wanted.ipv6 ?? wanted.mac;
    if (asked === undefined) return found({ ipv4: null, ipv6: null, mac: null, wanted: null });
    return refuse('DRIVER_FORBIDS', `endpoints of driver ${rules.name} have no addresses`, [
      { kind: 'address', id: asked },
    ]);
  }
  if (ipamOf(network.facts) === 'plugin') return addressesLater(state, network, wanted, rules, context);
  const pool = (family: Family) =>
    cellOf(state, network.facts.id)?.pools.find(({ subnet }) => subnet.family === family);
  const ipv4 = addressFor(pool(4), wanted.ipv4, context);
  if (!ipv4.ok) return ipv4;
  const ipv6 = addressFor(pool(6), wanted.ipv6, context);
  if (!ipv6.ok) return ipv6;
  const addresses = { ipv4: ipv4.value, ipv6: ipv6.value, wanted: null };
  if (!rules.hasMac) {
    return wanted.mac === undefined ? found({ ...addresses, mac: null }) : withoutMac(rules, wanted.mac);
  }
  // The driver has one in mind, which is not known yet.
  if (rules.remote && wanted.mac === undefined) return found({ ...addresses, mac: null });
  const mac = macFor(state, network.facts.id, wanted.mac, addresses, context);
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

/** Nobody else on the link may have a link-local address that is asked for. O(endpoints), and only where one is. */
const linkLocalTaken = (
  state: BoundaryState,
  network: NetworkRow,
  cidrs: readonly string[],
  context: Context,
): Refusal | null => {
  if (cidrs.length === 0) return null;
  for (const id of cellOf(state, network.facts.id)?.endpoints.keys() ?? []) {
    const row = endpointIn(state, network.facts.id, id, context)?.row;
    const clash = row?.facts.linkLocal.find((cidr) => cidrs.includes(cidr));
    if (row && clash !== undefined)
      return refuse('ADDRESS_IN_USE', `${clash} is held by endpoint ${row.facts.name}`, [endpointCulprit(row)]);
  }
  return null;
};

type Extras = Pick<EndpointFacts, 'ports' | 'linkLocal' | 'routes'>;

/** What the endpoint has beside its addresses, as far as it does not stand in its facts as it was asked for. */
const extrasOf = (
  state: BoundaryState,
  network: NetworkRow,
  request: EndpointRequest,
  context: Context,
): Result<Extras> => {
  const { facts } = network;
  const sysctl = checkSysctls(request.sysctls, facts.ipv6);
  if (sysctl) return sysctl;
  const linkLocal = linkLocalOf(request.linkLocal, facts);
  if (!linkLocal.ok) return linkLocal;
  const taken = linkLocalTaken(state, network, linkLocal.value, context);
  if (taken) return taken;
  const routes = routesOf(request.routes);
  if (!routes.ok) return routes;
  const ports = portsThrough(state, facts, request.ports, context);
  return ports.ok ? found({ ports: ports.value, linkLocal: linkLocal.value, routes: routes.value }) : ports;
};

/** The leases of an endpoint's ports: of the families that its network can publish, or the way out that it is given. */
export const portsThrough = (
  state: BoundaryState,
  network: NetworkFacts,
  ports: readonly PortRequest[],
  context: Context,
): Result<PublishedPort[]> => {
  const what = `network ${network.name}`;
  if (ports.length === 0 || network.internal || network.defaultRoute !== 'outlet')
    return leasesFor(ports, outletOf(what, { 4: network, 6: network }, state, context));
  const way = outletNetwork(state, context);
  if (!way.ok) return way;
  return leasesFor(ports, outletOf(what, { 4: way.value.network, 6: null }, state, context));
};

/**
 * The facts of a new endpoint in a network, or why it cannot be.
 * @param claims ports of other endpoints that the same command makes; its own are added
 */
export const newEndpoint = (
  state: BoundaryState,
  network: NetworkRow,
  request: EndpointRequest,
  origin: EndpointFacts['origin'],
  context: Context,
  claims: Claims,
): Result<EndpointFacts> => {
  const rules = driverOf(network.facts, context, state.facts.get('host'));
  if (!rules.ok) return rules;
  const [wanted = {}] = request.interfaces;
  const inTheWay =
    nameConflict(state, network, request.name, context) ??
    capacity(state, network, rules.value, context) ??
    complete(wanted, network);
  if (inTheWay) return inTheWay;
  const addresses = addressesFor(state, network, wanted, rules.value, context);
  if (!addresses.ok) return addresses;
  const extras = extrasOf(state, network, request, context);
  if (!extras.ok) return extras;
  const { name, aliases, gatewayPriority, sysctls, links, services, options, labels } = request;
  const endpoint: EndpointFacts = {
    ...{ id: context.newId(), networkId: network.facts.id, name, ...addresses.value },
    static: wanted.ipv4 !== undefined || wanted.ipv6 !== undefined,
    ...{ aliases, ports: extras.value.ports, gatewayPriority, interface: request.interface ?? null, sysctls },
    ...{ linkLocal: extras.value.linkLocal, routes: extras.value.routes, links, services, options, labels },
    gc: request.gc ?? null,
    origin,
  };
  // Where its routes lead is seen when it has its addresses.
  const checked = endpoint.wanted === null ? endpoint : { ...endpoint, routes: [] };
  const problem = rules.value.checkEndpoint(checked, network.facts) ?? claim(state, claims, endpoint.ports);
  return problem ?? found(endpoint);
};

export const createEndpoint: Decide<'CreateEndpoint'> = (state, { network: ref, ...request }, context) => {
  const network = networkFor(state, ref, 'CreateEndpoint');
  if (!network.ok) return network;
  const endpoint = newEndpoint(state, network.value, request, 'endpoint', context, new Map());
  if (!endpoint.ok) return endpoint;
  const admission = admissionTo(state, network.value, endpoint.value, context);
  if (!admission.ok) return admission;
  return accept(...admission.value, { type: 'EndpointCreateRequested', data: { endpoint: endpoint.value } });
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
