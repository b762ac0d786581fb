/**
 * The driver `macvlan`: endpoints are on the link layer of an interface of the host, each with a MAC of its own. The host itself
 * does not reach them there, nor do they it.
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

const modeOption = 'macvlan_mode';

type Mode = Extract<DeviceSource, { type: 'macvlan' }>['mode'];

/**
 * What endpoints on one parent may do with each other. `private`: nothing. `vepa`: what a switch outside sends back. `bridge`: all.
 * `passthru`: there is only one.
 */
const modes = ['private', 'vepa', 'bridge', 'passthru'] as const satisfies readonly Mode[];

const networkRules = { ...commonRules, [modeOption]: oneOf(modes) };

const modeOf = ({ options }: Pick<NetworkFacts, 'options'>): Mode =>
  modes.find((mode) => mode === options[modeOption]) ?? 'bridge';

const joinObjects = (host: HostContext, join: Join): readonly KernelObject[] => {
  const { network, endpoint, sandbox, interface: name } = join;
  if (name === null || network.parent === null) return [];
  const source = { type: 'macvlan', parent: network.parent.link, mode: modeOf(network) } as const;
  return [
    {
      kind: 'device',
      netns: sandbox.key,
      name,
      source,
      mac: endpoint.mac,
      mtu: network.mtu,
      addresses: addressesOf(endpoint),
      birth: { sysctls: endpoint.sysctls, link: '' },
      tag: tagOf(host, 'endpoint', endpoint.id),
    },
    ...routesOf(host, join, name),
  ];
};

const fits =
  (network: NetworkFacts) =>
  (other: NetworkFacts): string | null =>
    modeOf(network) === 'passthru' || modeOf(other) === 'passthru' ? 'mode passthru shares it with nobody' : null;

export const macvlanDriver: Driver = builtIn(
  {
    name: 'macvlan',
    scope: 'host',
    needs: (options) => ['netAdmin', 'netns', 'macvlan', ...(hasParent(options) ? [] : ['veth'])],
    needsGateway: () => false,
    hasMac: true,
    defaultRoute: (options) => (hasParent(options) ? 'gateway' : 'none'),
    addresses: true,
    sandbox: 'own',
    exclusive: false,
    networksMax: Number.POSITIVE_INFINITY,
    endpointsMax: Number.POSITIVE_INFINITY,
    updatableOptions: [],
    mtu: mtuOf,
    parentOf: parentOf('macvlan'),
    interfacePrefix: () => 'eth',
    publishProblem: () => null,
    canPublish: () => false,
    defaultBindings: () => [],
    checkConfigure: (options) => checkOptions('driver macvlan', options, {}),
    checkNetwork: (network, others) =>
      checkOptions('driver macvlan', network.options, networkRules) ??
      checkMtu(network) ??
      checkSharing(network, others, fits(network)),
    checkEndpoint: (endpoint) =>
      checkOptions('an endpoint of driver macvlan', endpoint.options, {}) ?? checkRoutes(endpoint),
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
