/**
 * Drivers whose endpoints are links of their own on a parent: `macvlan` and `ipvlan` differ in what such a link is and in which of
 * them can be on one parent together, and in nothing else.
 */
import type { DriverRules } from '../events/driver-rules.ts';
import type { NetworkFacts } from '../events/events.ts';
import { builtIn, type Driver, type HostContext, type Join, nothingDesired, tagOf } from './driver.ts';
import { addressesOf, checkRoutes, routesOf } from './interfaces.ts';
import { checkMtu, mtuOption, mtuRule } from './mtu.ts';
import type { DeviceSource, KernelObject } from './objects.ts';
import { checkOptions, type OptionRule } from './options.ts';
import {
  checkSharing,
  hasParent,
  lanOf,
  neededLinks,
  parentObjects,
  parentOf,
  parentOption,
  parentRule,
} from './parents.ts';

export interface SublinkKind {
  readonly name: 'macvlan' | 'ipvlan';
  /** Whether each link has a MAC of its own. */
  readonly hasMac: boolean;
  /** Options of a network beside its parent and MTU. */
  readonly options: Readonly<Record<string, OptionRule>>;
  /** What leads out of a network that has a parent. */
  readonly defaultRoute: DriverRules['defaultRoute'];
  readonly joinsMax?: NonNullable<DriverRules['joinsMax']>;
  /** The link of an endpoint on a parent. */
  source(network: NetworkFacts, parent: string): DeviceSource;
  /** Why a network cannot be on its parent beside another of this driver; null when it can. */
  unfit(network: NetworkFacts, other: NetworkFacts): string | null;
}

const joinObjects =
  ({ hasMac, source }: SublinkKind) =>
  (host: HostContext, join: Join): readonly KernelObject[] => {
    const { network, endpoint, sandbox, interface: name } = join;
    if (name === null || network.parent === null) return [];
    return [
      {
        kind: 'device',
        netns: sandbox.key,
        name,
        source: source(network, network.parent.link),
        mac: hasMac ? endpoint.mac : null,
        mtu: network.mtu,
        addresses: addressesOf(endpoint),
        birth: { sysctls: endpoint.sysctls, link: '' },
        tag: tagOf(host, 'endpoint', endpoint.id),
      },
      ...routesOf(host, join, name),
    ];
  };

export const sublinkDriver = (kind: SublinkKind): Driver => {
  const { name, hasMac, options: own, defaultRoute, joinsMax, unfit } = kind;
  const networkRules = { [parentOption]: parentRule, [mtuOption]: mtuRule, ...own };
  return builtIn(
    {
      name,
      scope: 'host',
      needs: (options) => ['netAdmin', 'netns', name, ...(hasParent(options) ? [] : ['veth'])],
      needsGateway: () => false,
      hasMac,
      defaultRoute: (options) => (hasParent(options) ? defaultRoute(options) : 'none'),
      ipams: ['plugin'],
      addresses: true,
      sandbox: 'own',
      exclusive: false,
      networksMax: Number.POSITIVE_INFINITY,
      endpointsMax: Number.POSITIVE_INFINITY,
      ...(joinsMax && { joinsMax }),
      updatableOptions: [],
      // That of the parent where none is given.
      mtu: (options) => (options[mtuOption] === undefined ? null : Number(options[mtuOption])),
      lanOf,
      parentOf: parentOf(name),
      interfacePrefix: () => 'eth',
      publishProblem: () => 'its endpoints are reached at their own addresses, by whoever is on their network',
      canPublish: () => false,
      defaultBindings: () => [],
      checkConfigure: (options) => checkOptions(`driver ${name}`, options, {}),
      checkNetwork: (network, others) =>
        checkOptions(`driver ${name}`, network.options, networkRules) ??
        checkMtu(network) ??
        checkSharing(network, others, (other) => unfit(network, other)),
      checkEndpoint: (endpoint) =>
        checkOptions(`an endpoint of driver ${name}`, endpoint.options, {}) ?? checkRoutes(endpoint),
    },
    { ...nothingDesired, needs: neededLinks, network: parentObjects, join: joinObjects(kind) },
  );
};
