/**
 * Drivers that somebody else carries out: a plugin that a worker speaks to, or a program that is the worker of a host itself. What they
 * decide is settled or reported by them; here stands what can be said of them beforehand. Options are theirs.
 */

import { everywhere } from '../events/leases.ts';
import { builtIn, type Driver, type HostContext, type Join, nothingDesired, tagOf } from './driver.ts';
import { addressesOf, checkRoutes, routesOf } from './interfaces.ts';
import type { KernelObject } from './objects.ts';
import { checkOptions } from './options.ts';

/** The link that its carrier has made for it on the host, if any, with the addresses of the endpoint and the routes of both. */
const joinObjects = (host: HostContext, join: Join): readonly KernelObject[] => {
  const { plug, endpoint, sandbox, interface: name } = join;
  if (plug === null || plug.link === null || name === null) return [];
  const routes = [...endpoint.routes, ...plug.routes];
  return [
    {
      kind: 'device',
      netns: sandbox.key,
      name,
      source: { type: 'moved' },
      mac: endpoint.mac,
      mtu: null,
      addresses: addressesOf(endpoint),
      birth: { sysctls: endpoint.sysctls, link: plug.link },
      tag: tagOf(host, 'endpoint', endpoint.id),
    },
    ...routesOf(host, { ...join, endpoint: { ...endpoint, routes } }, name),
  ];
};

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
    { ...nothingDesired, join: joinObjects },
  );
