/** The driver `null` (alias `none`): a sandbox of its own with nothing but loopback. */
import { builtIn, type Driver } from './driver.ts';
import { checkOptions } from './options.ts';
import { checkNoPorts } from './ports.ts';

export const nullDriver: Driver = builtIn(
  {
    name: 'null',
    capabilities: ['netns'],
    addresses: false,
    sandbox: 'own',
    exclusive: true,
    networksMax: 1,
    endpointsMax: Number.POSITIVE_INFINITY,
    mtu: () => null,
    checkConfigure: (options) => checkOptions('driver null', options, {}),
    checkNetwork: (network) => checkOptions('driver null', network.options, {}),
    checkEndpoint: (endpoint) => checkNoPorts('null', endpoint) ?? checkOptions('driver null', endpoint.options, {}),
  },
  { network: () => [], endpoint: () => [], join: () => [] },
);
