/**
 * Drivers that somebody else carries out: a plugin that a worker speaks to, or a program that is the worker of a host itself. What they
 * decide is settled or reported by them; here stands what can be said of them beforehand. Options are theirs.
 */

import { everywhere } from '../events/leases.ts';
import { builtIn, type Driver, nothingDesired } from './driver.ts';
import { checkRoutes } from './interfaces.ts';
import { checkOptions } from './options.ts';

/** The driver of that name; whether anybody carries it out is not known here. */
export const remoteDriver = (name: string): Driver =>
  builtIn(
    {
      name,
      remote: true,
      scope: 'host',
      needs: () => [],
      needsGateway: () => true,
      hasMac: true,
      defaultRoute: () => 'endpoint',
      ipams: ['null', 'plugin'],
      addresses: true,
      sandbox: 'own',
      exclusive: false,
      networksMax: Number.POSITIVE_INFINITY,
      endpointsMax: Number.POSITIVE_INFINITY,
      updatableOptions: [],
      mtu: () => null,
      parentOf: () => null,
      interfacePrefix: () => 'eth',
      canPublish: (network, family) => (family === 4 ? network.ipv4 : network.ipv6) && !network.internal,
      publishProblem: () => null,
      defaultBindings: (network) => [
        ...(network.ipv4 ? [everywhere[4]] : []),
        ...(network.ipv6 ? [everywhere[6]] : []),
      ],
      checkConfigure: (options) => checkOptions(`driver ${name}`, options, {}),
      checkNetwork: () => null,
      checkEndpoint: (endpoint) => checkRoutes(endpoint),
    },
    nothingDesired,
  );
