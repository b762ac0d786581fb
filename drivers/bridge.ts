/**
 * The driver `bridge`: one Linux bridge per network, one veth pair per joined endpoint. Isolation from other networks and
 * published ports are elements of sets and maps in the one nftables table.
 */
import { checkEndpoint, checkNetwork } from './bridge-checks.ts';
import { networkObjects } from './bridge-network.ts';
import { allowsIcc, bridgeOf, configRules, interfacePrefix, option, updatableOptions } from './bridge-options.ts';
import { defaultBindings, publishedBindings, publishedObjects, publishes, publishProblem } from './bridge-ports.ts';
import { builtIn, type Driver, type HostContext, type Join, tagOf } from './driver.ts';
import { addressesOf, routesOf } from './interfaces.ts';
import type { KernelObject } from './objects.ts';
import { checkOptions } from './options.ts';

/** The kernel's limit of ports on one bridge: BR_PORT_BITS 10, port number 0 unused (net/bridge/br_private.h). */
const portsMax = 1023;

/** Host end of a join's veth pair. Join ids are never used twice, so a pair that is still being removed is in nobody's way. */
const hostEnd = (join: Join): string => `cv${join.joinId}`;

/** A veth pair into the sandbox, with a port on the network's bridge, and the endpoint's own routes. */
export const joinObjects = (host: HostContext, join: Join): readonly KernelObject[] => {
  const { network, endpoint, sandbox, interface: device } = join;
  if (device === null || endpoint.mac === null) return [];
  const tag = tagOf(host, 'endpoint', endpoint.id);
  return [
    {
      kind: 'veth',
      name: hostEnd(join),
      bridge: bridgeOf(network),
      mtu: network.mtu ?? 1500,
      netns: sandbox.key,
      peer: { name: device, mac: endpoint.mac, addresses: addressesOf(endpoint) },
      isolated: !allowsIcc(network),
      birth: { sysctls: endpoint.sysctls },
      tag,
    },
    ...routesOf(host, join, device),
  ];
};

export const bridgeDriver: Driver = builtIn(
  {
    name: 'bridge',
    scope: 'host',
    needs: () => ['netAdmin', 'netns', 'bridge', 'veth', 'nftables'],
    needsGateway: () => true,
    hasMac: true,
    defaultRoute: () => 'gateway',
    ipams: ['plugin'],
    addresses: true,
    sandbox: 'own',
    exclusive: false,
    networksMax: Number.POSITIVE_INFINITY,
    endpointsMax: portsMax,
    updatableOptions,
    mtu: (options, config, host) => Number(options[option.mtu] ?? config[option.mtu] ?? host?.mtu ?? 1500),
    parentOf: () => null,
    interfacePrefix,
    canPublish: publishes,
    publishProblem,
    defaultBindings,
    checkConfigure: (options) => checkOptions('driver bridge', options, configRules),
    checkNetwork,
    checkEndpoint,
  },
  {
    // The way out of others is there while somebody goes that way.
    presence: (host, network) => (network.outlet ? networkObjects(host, network) : []),
    network: (host, network) => (network.outlet ? [] : networkObjects(host, network)),
    endpoint: () => [],
    join: joinObjects,
    publish: publishedObjects,
    bindingsOf: publishedBindings,
  },
);
