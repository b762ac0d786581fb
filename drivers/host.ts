/** The driver `host`: sandboxes are the host's own namespace, so there is nothing to make. */
import { linkless } from '../events/driver-rules.ts';
import type { NetworkFacts } from '../events/events.ts';
import { type Refusal, refuse } from '../events/refusals.ts';
import { builtIn, type Driver, nothingDesired } from './driver.ts';
import { checkIdleEndpoint } from './idle.ts';
import { checkOptions } from './options.ts';

/** Names are resolved as on the host: there are no files of a sandbox to say otherwise. */
const checkDns = ({ dns }: NetworkFacts): Refusal | null =>
  Object.values(dns).every((given) => given === null)
    ? null
    : refuse('OPTION_UNSUPPORTED', 'driver host resolves names as the host does, so dns would have no effect', [
        { kind: 'field', id: 'dns' },
      ]);

export const hostDriver: Driver = builtIn(
  {
    ...linkless,
    name: 'host',
    needs: () => [],
    addresses: false,
    sandbox: 'host',
    exclusive: true,
    networksMax: 1,
    endpointsMax: Number.POSITIVE_INFINITY,
    checkConfigure: (options) => checkOptions('driver host', options, {}),
    checkNetwork: (network) => checkOptions('driver host', network.options, {}) ?? checkDns(network),
    checkEndpoint: (endpoint) => checkIdleEndpoint('host', endpoint),
  },
  nothingDesired,
);
