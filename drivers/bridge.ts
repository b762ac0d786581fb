/**
 * The driver `bridge`: one Linux bridge per network, one veth pair per joined endpoint, isolation from other networks by three
 * set elements per network in the one nftables table.
 */
import type { EndpointFacts, NetworkFacts } from '../events/events.ts';
import { type Refusal, refuse } from '../events/refusals.ts';
import { builtIn, type Driver, type HostContext, type Join, tagOf } from './driver.ts';
import type { KernelObject } from './objects.ts';
import { checkOptions, type OptionRule, wholeNumber } from './options.ts';
import { checkNoPorts } from './ports.ts';

/** Option names are Docker's, so that compose files and habits carry over. */
export const bridgeName = 'com.docker.network.bridge.name';
export const mtuOption = 'com.docker.network.driver.mtu';

/** IFNAMSIZ - 1 (include/uapi/linux/if.h) and what the kernel's dev_valid_name takes. */
const interfaceName: OptionRule = (value) =>
  /^[A-Za-z][A-Za-z0-9_.-]{0,14}$/.test(value) ? null : 'an interface name of at most 15 characters';

/** 68 is the least MTU of IPv4 (RFC 791), 1280 of IPv6 (RFC 8200): below it the kernel takes no IPv6 address. */
const ipv6MtuMin = 1280;
const networkRules = { [bridgeName]: interfaceName, [mtuOption]: wholeNumber(68, 65_535) };
const configRules = { [mtuOption]: wholeNumber(68, 65_535) };

/** The kernel's limit of ports on one bridge: BR_PORT_BITS 10, port number 0 unused (net/bridge/br_private.h). */
const portsMax = 1023;

export const bridgeOf = (network: NetworkFacts): string => network.options[bridgeName] ?? `cb${network.id}`;

/** Host end of a join's veth pair. Join ids are never used twice, so a pair that is still being removed is in nobody's way. */
const hostEnd = (join: Join): string => `cv${join.joinId}`;

const gatewayCidrs = (network: NetworkFacts): readonly string[] =>
  network.subnets.flatMap(({ gateway, subnet }) =>
    gateway === null ? [] : [`${gateway}/${subnet.slice(subnet.indexOf('/') + 1)}`],
  );

/** Locally administered and never moving: without it a bridge takes the lowest MAC of its ports (kernel.md section 5). */
const bridgeMac = (network: NetworkFacts): string => {
  const tail = [...network.id].reduce(
    (hash, char) => Math.imul(hash ^ char.charCodeAt(0), 0x01000193) >>> 0,
    0x811c9dc5,
  );
  const bytes = [tail >>> 24, (tail >>> 16) & 255, (tail >>> 8) & 255, tail & 255];
  return ['02', 'cb', ...bytes.map((byte) => byte.toString(16).padStart(2, '0'))].join(':');
};

const networkObjects = (host: HostContext, network: NetworkFacts): readonly KernelObject[] => {
  const name = bridgeOf(network);
  const tag = tagOf(host, 'network', network.id);
  const objects: KernelObject[] = [
    { kind: 'bridge', name, mac: bridgeMac(network), mtu: network.mtu ?? 1500, addresses: gatewayCidrs(network), tag },
    { kind: 'element', set: 'bridges', key: [name], tag },
    { kind: 'element', set: 'own', key: [name, name], tag },
  ];
  if (network.internal) objects.push({ kind: 'element', set: 'internal', key: [name], tag });
  return objects;
};

const joinObjects = (host: HostContext, join: Join): readonly KernelObject[] => {
  const { network, endpoint, sandbox } = join;
  if (join.interface === null || endpoint.mac === null) return [];
  return [
    {
      kind: 'veth',
      name: hostEnd(join),
      bridge: bridgeOf(network),
      mtu: network.mtu ?? 1500,
      netns: sandbox.key,
      peer: {
        name: join.interface,
        mac: endpoint.mac,
        addresses: [endpoint.ipv4, endpoint.ipv6].filter((cidr) => cidr !== null),
      },
      tag: tagOf(host, 'endpoint', endpoint.id),
    },
  ];
};

const checkNetwork = (network: NetworkFacts, others: Iterable<NetworkFacts>): Refusal | null => {
  const problem = checkOptions('driver bridge', network.options, networkRules);
  if (problem) return problem;
  const { mtu } = network;
  if (network.ipv6 && mtu !== null && mtu < ipv6MtuMin) {
    const culprits = [{ kind: 'option', id: mtuOption, detail: String(mtu) }];
    return refuse('OPTION_INVALID', `IPv6 needs an MTU of at least ${ipv6MtuMin}, not ${mtu}`, culprits);
  }
  for (const other of others) {
    if (other.driver !== 'bridge' || bridgeOf(other) !== bridgeOf(network)) continue;
    const culprit = { kind: 'network', id: other.id, name: other.name };
    return refuse('DRIVER_FORBIDS', `bridge ${bridgeOf(network)} belongs to network ${other.name}`, [culprit]);
  }
  return null;
};

const checkEndpoint = (endpoint: EndpointFacts): Refusal | null =>
  checkNoPorts('bridge', endpoint) ?? checkOptions('an endpoint of driver bridge', endpoint.options, {});

export const bridgeDriver: Driver = builtIn(
  {
    name: 'bridge',
    capabilities: ['netAdmin', 'netns', 'bridge', 'veth', 'nftables'],
    addresses: true,
    sandbox: 'own',
    exclusive: false,
    networksMax: Number.POSITIVE_INFINITY,
    endpointsMax: portsMax,
    mtu: (options, config, hostMtu) => Number(options[mtuOption] ?? config[mtuOption] ?? hostMtu),
    checkConfigure: (options) => checkOptions('driver bridge', options, configRules),
    checkNetwork,
    checkEndpoint,
  },
  { network: networkObjects, endpoint: () => [], join: joinObjects },
);
