/** Which networks and endpoints the driver `bridge` refuses. What it takes, it acts on: nothing is ignored. */
import type { EndpointFacts, NetworkFacts } from '../events/events.ts';
import type { Family } from '../events/ip.ts';
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
import { checkRoutes } from './interfaces.ts';
import { checkMtu } from './mtu.ts';
import { checkOptions } from './options.ts';

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

export const checkEndpoint = (endpoint: EndpointFacts, network: NetworkFacts): Refusal | null =>
  checkOptions('an endpoint of driver bridge', endpoint.options, {}) ??
  checkPorts(endpoint, network) ??
  checkLinkLocal(endpoint, network) ??
  checkRoutes(endpoint);
