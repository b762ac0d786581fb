/** The driver `host`: sandboxes are the host's own namespace, so there is nothing to make. */
import { builtIn, type Driver } from './driver.ts';
import { checkOptions } from './options.ts';
import { checkNoPorts } from './ports.ts';

export const hostDriver: Driver = builtIn(
  {
    name: 'host',
    capabilities: [],
    addresses: false,
    sandbox: 'host',
    exclusive: true,
    networksMax: 1,
    endpointsMax: Number.POSITIVE_INFINITY,
    mtu: () => null,
    checkConfigure: (options) => checkOptions('driver host', options, {}),
    checkNetwork: (network) => checkOptions('driver host', network.options, {}),
    checkEndpoint: (endpoint) => checkNoPorts('host', endpoint) ?? checkOptions('driver host', endpoint.options, {}),
  },
  { network: () => [], endpoint: () => [], join: () => [] },
);
