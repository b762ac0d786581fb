/**
 * The driver `overlay`: one network on every host, whose frames travel between hosts in VXLAN (RFC 7348). Names, addresses and
 * identifiers are decided for all hosts together; what each host makes of it is the network's presence there.
 */
import type { EndpointFacts, NetworkFacts } from '../events/events.ts';
import type { Refusal } from '../events/refusals.ts';

import { joinObjects } from './bridge.ts';
import { prefixRule } from './bridge-options.ts';
import { builtIn, type Driver, nothingDesired } from './driver.ts';
import { checkRoutes } from './interfaces.ts';
import { checkMtu, mtuOption, mtuRule } from './mtu.ts';
import { encryptedPort } from './objects.ts';
import { checkOptions, type OptionRule, oneOf, wholeNumber } from './options.ts';
import { presenceObjects } from './overlay-network.ts';

/** Names are Docker's. */
const option = {
  vni: 'com.docker.network.driver.overlay.vxlanid_list',
  encrypted: 'encrypted',
  mtu: mtuOption,
  prefix: 'com.docker.network.container_iface_prefix',
} as const;

const networkRules: Readonly<Record<string, OptionRule>> = {
  // One network has one segment here, whatever its subnets.
  [option.vni]: wholeNumber(1, 2 ** 24 - 1),
  // Docker's command line gives it without a value.
  [option.encrypted]: oneOf(['', 'true', 'false']),
  [option.mtu]: mtuRule,
  [option.prefix]: prefixRule,
};

/** What VXLAN over IPv4 adds to a packet, bytes: Ethernet 14, VXLAN 8, UDP 8, IPv4 20. */
const vxlanOverhead = 50;

/**
 * What ESP adds to that (RFC 4303, RFC 4106), bytes: number and counter 8, nonce 8, padding to a multiple of four at most 3, its length and
 * the next header 2, check value 16.
 */
const espOverhead = 37;

/** UDP port: IANA's of VXLAN. */
const port = 4789;

/** The kernel's limit of ports on one bridge (bridge.ts), less the one that leads to other hosts. */
const endpointsMax = 1022;

type Options = Readonly<Record<string, string>>;

/** Other values are no reason to ask the host for anything: the checks refuse them. */
const isEncrypted = (options: Options): boolean => ['', 'true'].includes(options[option.encrypted] ?? 'false');

const overheadOf = (options: Options): number => vxlanOverhead + (isEncrypted(options) ? espOverhead : 0);

const checkNetwork = (network: NetworkFacts): Refusal | null => {
  const { options } = network;
  const problem = checkOptions('driver overlay', options, networkRules);
  if (problem) return problem;
  return checkMtu(network, 'MTU_UNFIT');
};

const checkEndpoint = (endpoint: EndpointFacts): Refusal | null =>
  checkOptions('an endpoint of driver overlay', endpoint.options, {}) ?? checkRoutes(endpoint);

export const overlayDriver: Driver = builtIn(
  {
    name: 'overlay',
    scope: 'realm',
    needs: (options) => [
      ...['netAdmin', 'netns', 'bridge', 'veth', 'nftables', 'vxlan'],
      ...(isEncrypted(options) ? ['esp'] : []),
    ],
    needsGateway: () => false,
    hasMac: true,
    defaultRoute: () => 'outlet',
    addresses: true,
    sandbox: 'own',
    exclusive: false,
    networksMax: Number.POSITIVE_INFINITY,
    endpointsMax,
    updatableOptions: [],
    mtu: (options, _config, _host, underlays) =>
      Number(options[option.mtu] ?? Math.min(...underlays) - overheadOf(options)),
    parentOf: () => null,
    tunnelOf: (options) => {
      const vni = options[option.vni];
      const encrypted = isEncrypted(options);
      return {
        port: encrypted ? encryptedPort : port,
        encrypted,
        overhead: overheadOf(options),
        vni: vni === undefined ? null : Number(vni),
      };
    },
    interfacePrefix: ({ options }) => options[option.prefix] ?? 'eth',
    canPublish: () => false,
    publishProblem: () => 'nothing leads from the host into it',
    defaultBindings: () => [],
    checkConfigure: (options) => checkOptions('driver overlay', options, {}),
    checkNetwork,
    checkEndpoint,
  },
  { ...nothingDesired, presence: presenceObjects, join: joinObjects },
);
