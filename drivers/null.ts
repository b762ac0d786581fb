/** The driver `null` (alias `none`): a sandbox of its own with nothing but loopback. */
import { linkless } from '../events/driver-rules.ts';
import { builtIn, type Driver, nothingDesired } from './driver.ts';
import { checkIdleEndpoint } from './idle.ts';
import { checkOptions } from './options.ts';

export const nullDriver: Driver = builtIn(
  {
    ...linkless,
    name: 'null',
    needs: () => ['netns'],
    addresses: false,
    sandbox: 'own',
    exclusive: true,
    networksMax: 1,
    endpointsMax: Number.POSITIVE_INFINITY,
    checkConfigure: (options) => checkOptions('driver null', options, {}),
    checkNetwork: (network) => checkOptions('driver null', network.options, {}),
    checkEndpoint: (endpoint) => checkIdleEndpoint('null', endpoint),
  },
  nothingDesired,
);
