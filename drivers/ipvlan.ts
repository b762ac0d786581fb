/**
 * The driver `ipvlan`: endpoints share the MAC of an interface of the host, and are told apart by their addresses. In the modes l3 and
 * l3s they are reached by routing, without ARP or ND.
 */
import type { NetworkFacts } from '../events/events.ts';
import { builtIn, type Driver, type HostContext, type Join, tagOf } from './driver.ts';
import { addressesOf, checkRoutes, routesOf } from './interfaces.ts';
import type { DeviceSource, KernelObject } from './objects.ts';
import { checkOptions, oneOf } from './options.ts';
import {
  checkMtu,
  checkSharing,
  commonRules,
  hasParent,
  mtuOf,
  neededLinks,
  parentObjects,
  parentOf,
} from './parents.ts';

const modeOption = 'ipvlan_mode';
const flagOption = 'ipvlan_flag';

type Source = Extract<DeviceSource, { type: 'ipvlan' }>;

const modes = ['l2', 'l3', 'l3s'] as const satisfies readonly Source['mode'][];
const flags = ['bridge', 'private', 'vepa'] as const satisfies readonly Source['flag'][];

const networkRules = { ...commonRules, [modeOption]: oneOf(modes), [flagOption]: oneOf(flags) };

type Optioned = Pick<NetworkFacts, 'options'>;
const modeOf = ({ options }: Optioned): Source['mode'] => modes.find((mode) => mode === options[modeOption]) ?? 'l2';
const flagOf = ({ options }: Optioned): Source['flag'] =>
  flags.find((flag) => flag === options[flagOption]) ?? 'bridge';

const joinObjects = (host: HostContext, join: Join): readonly KernelObject[] => {
  const { network, endpoint, sandbox, interface: name } = join;
  if (name === null || network.parent === null) return [];
  const source = { type: 'ipvlan', parent: network.parent.link, mode: modeOf(network), flag: flagOf(network) } as const;
  return [
    {
      kind: 'device',
      netns: sandbox.key,
      name,
      source,
      mac: null,
      mtu: network.mtu,
      addresses: addressesOf(endpoint),
      birth: { sysctls: endpoint.sysctls, link: '' },
      tag: tagOf(host, 'endpoint', endpoint.id),
    },
    ...routesOf(host, join, name),
  ];
};

/** Mode and flag are the parent's, not an interface's (ipvlan_set_port_mode). */
const fits =
  (network: NetworkFacts) =>
  (other: NetworkFacts): string | null => {
    if (modeOf(network) === modeOf(other) && flagOf(network) === flagOf(other)) return null;
    return `it is in mode ${modeOf(other)} with flag ${flagOf(other)}, for all networks on it`;
  };

export const ipvlanDriver: Driver = builtIn(
  {
    name: 'ipvlan',
    scope: 'host',
    needs: (options) => ['netAdmin', 'netns', 'ipvlan', ...(hasParent(options) ? [] : ['veth'])],
    needsGateway: () => false,
    hasMac: false,
    defaultRoute: (options) => {
      if (!hasParent(options)) return 'none';
      return modeOf({ options }) === 'l2' ? 'gateway' : 'link';
    },
    addresses: true,
    sandbox: 'own',
    exclusive: false,
    networksMax: Number.POSITIVE_INFINITY,
    endpointsMax: Number.POSITIVE_INFINITY,
    updatableOptions: [],
    mtu: mtuOf,
    parentOf: parentOf('ipvlan'),
    interfacePrefix: () => 'eth',
    publishProblem: () => null,
    canPublish: () => false,
    defaultBindings: () => [],
    checkConfigure: (options) => checkOptions('driver ipvlan', options, {}),
    checkNetwork: (network, others) =>
      checkOptions('driver ipvlan', network.options, networkRules) ??
      checkMtu(network) ??
      checkSharing(network, others, fits(network)),
    checkEndpoint: (endpoint) =>
      checkOptions('an endpoint of driver ipvlan', endpoint.options, {}) ?? checkRoutes(endpoint),
  },
  {
    needs: neededLinks,
    presence: () => [],
    network: parentObjects,
    endpoint: () => [],
    join: joinObjects,
    publish: () => [],
    bindingsOf: () => [],
  },
);
