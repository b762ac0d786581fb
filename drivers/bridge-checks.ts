/** Which networks and endpoints the driver `bridge` refuses. What it takes, it acts on: nothing is ignored. */
import type { EndpointFacts, NetworkFacts } from '../events/events.ts';
import {
  broadcastAddress,
  classOf,
  contains,
  type Family,
  formatIp,
  networkAddress,
  parseCidr,
  parseIp,
} from '../events/ip.ts';
import { type Refusal, refuse } from '../events/refusals.ts';
import {
  bridgeOf,
  gatewayMode,
  hasFamily,
  inhibitsIpv4,
  masquerades,
  networkRules,
  option,
  trustedInterfaces,
} from './bridge-options.ts';
import { publishProblem } from './bridge-ports.ts';
import { checkOptions } from './options.ts';

/** RFC 8200 section 5: below it the kernel takes no IPv6 address. */
const ipv6MtuMin = 1280;

const checkMtu = ({ ipv6, mtu }: NetworkFacts): Refusal | null => {
  if (!ipv6 || mtu === null || mtu >= ipv6MtuMin) return null;
  const culprits = [{ kind: 'option', id: option.mtu, detail: String(mtu) }];
  return refuse('OPTION_INVALID', `IPv6 needs an MTU of at least ${ipv6MtuMin}, not ${mtu}`, culprits);
};

/** Options that mean one family. */
const familyOptions = {
  4: { mode: option.mode4, binding: option.binding4, source: option.source4 },
  6: { mode: option.mode6, binding: option.binding6, source: option.source6 },
} as const;

/** An option that another setting of the network leaves without effect, and why. */
type Contradiction = readonly [key: string, why: string];

const closed = 'nothing goes into or out of an internal network';

const familyContradiction = (network: NetworkFacts, family: Family): Contradiction | null => {
  const { options, internal } = network;
  const { mode, binding, source } = familyOptions[family];
  const given = (key: string): boolean => options[key] !== undefined;
  const stray = [mode, binding, source, ...(family === 4 ? [option.inhibitIpv4] : [])].find(given);
  if (stray !== undefined && !hasFamily(network, family)) return [stray, `the network has no IPv${family}`];
  const chosen = gatewayMode(network, family);
  if (chosen === 'isolated' && !internal) return [mode, 'gateway mode isolated is for internal networks'];
  if (internal) {
    const idle = [...(chosen === 'routed' || chosen === 'nat-unprotected' ? [mode] : []), binding, source].find(given);
    return idle === undefined ? null : [idle, closed];
  }
  if (given(source) && !masquerades(network)) return [source, `${option.masquerade} is false`];
  if (chosen === 'routed') {
    const idle = [source, binding].find(given);
    if (idle !== undefined) return [idle, 'gateway mode routed translates no addresses'];
  }
  if (family === 4 && given(binding) && inhibitsIpv4(network))
    return [binding, `the host has no IPv4 address on the network (${option.inhibitIpv4})`];
  return null;
};

const trustContradiction = (network: NetworkFacts): Contradiction | null => {
  const trusted = trustedInterfaces(network);
  if (trusted.length > 0 && network.internal) return [option.trusted, closed];
  return trusted.includes(bridgeOf(network)) ? [option.trusted, 'the bridge itself is no interface beyond it'] : null;
};

const checkCombinations = (network: NetworkFacts): Refusal | null => {
  const found = familyContradiction(network, 4) ?? familyContradiction(network, 6) ?? trustContradiction(network);
  if (found === null) return null;
  const [key, why] = found;
  const culprits = [{ kind: 'option', id: key, detail: network.options[key] ?? '' }];
  return refuse('OPTION_INVALID', `option ${key} can have no effect: ${why}`, culprits);
};

const checkName = (network: NetworkFacts, others: Iterable<NetworkFacts>): Refusal | null => {
  for (const other of others) {
    if (other.driver !== 'bridge' || bridgeOf(other) !== bridgeOf(network)) continue;
    const culprit = { kind: 'network', id: other.id, name: other.name };
    return refuse('DRIVER_FORBIDS', `bridge ${bridgeOf(network)} belongs to network ${other.name}`, [culprit]);
  }
  return null;
};

export const checkNetwork = (network: NetworkFacts, others: Iterable<NetworkFacts>): Refusal | null =>
  checkOptions('driver bridge', network.options, networkRules) ??
  checkMtu(network) ??
  checkCombinations(network) ??
  checkName(network, others);

const checkPorts = (endpoint: EndpointFacts, network: NetworkFacts): Refusal | null => {
  for (const { protocol, hostAddresses, hostPort, port } of endpoint.ports) {
    for (const address of hostAddresses) {
      const problem = publishProblem(network, address);
      if (problem === null) continue;
      const culprits = [{ kind: 'port', id: `${protocol}/${hostPort === 0 ? port : hostPort}`, detail: address }];
      return refuse('DRIVER_FORBIDS', `network ${network.name} publishes no port on ${address}: ${problem}`, culprits);
    }
  }
  return null;
};

/** The bridge has this one wherever it has an IPv6 address: a router solicits its neighbours from it (ndisc_send_ns). */
const bridgeLinkLocal = 'fe80::1';

const checkLinkLocal = ({ linkLocal }: EndpointFacts, { name, ipv6 }: NetworkFacts): Refusal | null => {
  if (!ipv6 || !linkLocal.some((cidr) => cidr.startsWith(`${bridgeLinkLocal}/`))) return null;
  const culprits = [{ kind: 'address', id: bridgeLinkLocal }];
  return refuse('ADDRESS_IN_USE', `${bridgeLinkLocal} is held by the bridge of network ${name}`, culprits);
};

/** The subnets that an interface has addresses in. */
const linksOf = ({ ipv4, ipv6, linkLocal }: EndpointFacts) =>
  [ipv4, ipv6, ...linkLocal].flatMap((cidr) => {
    const parsed = cidr === null ? null : parseCidr(cidr);
    return parsed ? [parsed.cidr] : [];
  });

const ownAddresses = ({ ipv4, ipv6, linkLocal }: EndpointFacts) =>
  [ipv4, ipv6, ...linkLocal].flatMap((cidr) => (cidr === null ? [] : cidr.slice(0, cidr.indexOf('/'))));

const routeProblem = (endpoint: EndpointFacts, { destination, gateway }: EndpointFacts['routes'][number]) => {
  const target = parseCidr(destination)?.cidr;
  if (!target) return 'the destination is no subnet';
  if (target.prefix === 0) return 'default routes follow the gateway priority of the endpoints';
  if (classOf({ family: target.family, value: target.base }) === 'loopback')
    return 'the loopback never leaves a sandbox';
  const links = linksOf(endpoint).filter(({ family }) => family === target.family);
  if (links.length === 0) return `the endpoint has no IPv${target.family} address`;
  if (links.some(({ base, prefix }) => base === target.base && prefix === target.prefix))
    return 'the endpoint is in that subnet already';
  const next = gateway === null ? null : parseIp(gateway);
  if (next === null) return gateway === null ? null : 'the gateway is no address';
  if (next.family !== target.family) return 'destination and gateway are of different families';
  const link = links.find((one) => contains(one, next));
  if (!link) return 'the gateway is in none of the endpoint’s subnets';
  if (ownAddresses(endpoint).includes(formatIp(next.family, next.value))) return 'the gateway is the endpoint itself';
  const isHost = next.value !== networkAddress(link) && next.value !== broadcastAddress(link);
  return isHost ? null : 'the gateway is the address of the subnet itself, or its broadcast address';
};

export const checkRoutes = (endpoint: EndpointFacts): Refusal | null => {
  const destinations = endpoint.routes.map(({ destination }) => destination);
  for (const [index, route] of endpoint.routes.entries()) {
    const twice = destinations.indexOf(route.destination) !== index;
    const problem = twice ? 'there are two routes to it' : routeProblem(endpoint, route);
    if (problem === null) continue;
    const culprits = [{ kind: 'route', id: route.destination, ...(route.gateway && { detail: route.gateway }) }];
    return refuse('ROUTE_INVALID', `no route to ${route.destination}: ${problem}`, culprits);
  }
  return null;
};

export const checkEndpoint = (endpoint: EndpointFacts, network: NetworkFacts): Refusal | null =>
  checkOptions('an endpoint of driver bridge', endpoint.options, {}) ??
  checkPorts(endpoint, network) ??
  checkLinkLocal(endpoint, network) ??
  checkRoutes(endpoint);
