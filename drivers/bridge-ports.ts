/** Published ports of the driver `bridge`: translated at the host in the nat modes, opened at the endpoint itself in mode routed. */
import type { NetworkFacts, PortBinding, PublishedPort } from '../events/events.ts';
import { canCarry } from '../events/gateways.ts';
import type { Family } from '../events/ip.ts';
import { everywhere, familyOf } from '../events/leases.ts';
import { element, holdsGateway } from './bridge-network.ts';
import { configuredBinding, gatewayMode, hasFamily } from './bridge-options.ts';
import { type HostContext, type Publication, tagOf } from './driver.ts';
import { type Element, objectKey, type Tag } from './objects.ts';

/** Whether ports on host addresses of this family can be published through the network. */
export const publishes = (network: NetworkFacts, family: Family): boolean =>
  canCarry(network, family) && holdsGateway(network, family);

/**
 * Where a port without an address of its own is published. 127.0.0.1 unless somebody says more, so that publishing exposes
 * nothing by itself; nothing translates in mode routed, so there it is the endpoint that is reached.
 */
export const defaultBindings = (network: NetworkFacts, config: Readonly<Record<string, string>>): readonly string[] =>
  ([4, 6] as const).flatMap((family) => {
    if (!publishes(network, family)) return [];
    if (gatewayMode(network, family) === 'routed') return [everywhere[family]];
    const configured = configuredBinding(network.options, family) ?? configuredBinding(config, family);
    return configured ?? (family === 4 ? '127.0.0.1' : []);
  });

const addressOf = ({ family, endpoint }: Publication): string | null => {
  const cidr = family === 4 ? endpoint.ipv4 : endpoint.ipv6;
  return cidr === null ? null : cidr.slice(0, cidr.indexOf('/'));
};

/** An address of the host as mode and kernel understand it: mode routed has none, so only "everywhere" opens a port there. */
const hostAddresses = ({ family, network }: Publication, port: PublishedPort): readonly string[] =>
  port.hostAddresses.filter(
    (host) => familyOf(host) === family && (gatewayMode(network, family) !== 'routed' || host === everywhere[family]),
  );

const translated = (
  port: PublishedPort,
  at: number,
  host: string,
  to: { readonly family: Family; readonly address: string; readonly tag: Tag },
): Element => {
  const key = [port.protocol, String(port.hostPort + at)];
  const data = [to.address, String(port.port + at)];
  return host === everywhere[to.family]
    ? element(`dnat${to.family}`, key, data, to.tag)
    : element(`dnat${to.family}ip`, [host, ...key], data, to.tag);
};

/** One element per port and host address, none where the network publishes nothing or a port's host port is still to be found. */
export const publishedObjects = (host: HostContext, publication: Publication): readonly Element[] => {
  const { family, network, sandbox, ports } = publication;
  const address = addressOf(publication);
  if (address === null || !publishes(network, family)) return [];
  const tag = tagOf(host, 'sandbox', sandbox.incarnation);
  const routed = gatewayMode(network, family) === 'routed';
  const elements = new Map<string, Element>();
  for (const port of ports) {
    if (port.hostPort === 0) continue;
    for (const from of hostAddresses(publication, port)) {
      for (let at = 0; at < port.count; at++) {
        const one = routed
          ? element(`routed${family}`, [address, port.protocol, String(port.port + at)], [], tag)
          : translated(port, at, from, { family, address, tag });
        elements.set(objectKey(one), one);
      }
    }
  }
  return [...elements.values()];
};

/** Where each lease is reached: at addresses of the host, or in mode routed at the endpoint's own. */
export const publishedBindings = (publication: Publication): readonly PortBinding[] => {
  const { family, network, ports } = publication;
  const address = addressOf(publication);
  if (address === null || !publishes(network, family)) return [];
  const routed = gatewayMode(network, family) === 'routed';
  return ports.flatMap((lease) => {
    const { protocol, hostPort, port, count } = lease;
    if (hostPort === 0) return [];
    return hostAddresses(publication, lease).map((hostAddress) =>
      routed
        ? { protocol, hostAddress: address, hostPort: port, address, port, count }
        : { protocol, hostAddress, hostPort, address, port, count },
    );
  });
};

/** Why a port at this address cannot be published through the network; null when it can. */
export const publishProblem = (network: NetworkFacts, hostAddress: string): string | null => {
  const family = familyOf(hostAddress);
  if (!hasFamily(network, family)) return `the network has no IPv${family}`;
  if (network.internal) return 'the network is internal';
  if (!publishes(network, family)) return `the host has no IPv${family} address on the network`;
  if (gatewayMode(network, family) !== 'routed' || hostAddress === everywhere[family]) return null;
  return `in gateway mode routed the endpoint is reached at its own address: give ${everywhere[family]}, or none`;
};
