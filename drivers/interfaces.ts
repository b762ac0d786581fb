/** What drivers that make links have in common: the addresses of an endpoint's interface, and the routes that go over it. */
import type { EndpointFacts } from '../events/events.ts';
import { broadcastAddress, classOf, contains, formatIp, networkAddress, parseCidr, parseIp } from '../events/ip.ts';
import { familyOf } from '../events/leases.ts';
import { type Refusal, refuse } from '../events/refusals.ts';
import { type HostContext, type Join, tagOf } from './driver.ts';
import type { KernelObject } from './objects.ts';

/** The order in which the kernel lists them. */
export const addressesOf = ({ ipv4, ipv6, linkLocal }: EndpointFacts): readonly string[] => {
  const given = [ipv4, ipv6, ...linkLocal].filter((cidr) => cidr !== null);
  return ([4, 6] as const).flatMap((family) => given.filter((cidr) => familyOf(cidr) === family));
};

/** The routes that the endpoint itself asks for. */
export const routesOf = (host: HostContext, join: Join, device: string): readonly KernelObject[] => {
  const { endpoint, sandbox } = join;
  const tag = tagOf(host, 'endpoint', endpoint.id);
  return endpoint.routes.map(({ destination, gateway }) => {
    return { kind: 'route', netns: sandbox.key, destination, gateway: gateway ?? '', device, tag };
  });
};

/** The subnets that an interface has addresses in. */
const linksOf = ({ ipv4, ipv6, linkLocal }: EndpointFacts) =>
  [ipv4, ipv6, ...linkLocal].flatMap((cidr) => {
    const parsed = cidr === null ? null : parseCidr(cidr);
    return parsed ? [parsed.cidr] : [];
  });

const ownAddresses = ({ ipv4, ipv6, linkLocal }: EndpointFacts) =>
  [ipv4, ipv6, ...linkLocal].flatMap((cidr) => (cidr === null ? [] : cidr.slice(0, cidr.indexOf('/'))));

const routeProblem = (endpoint: EndpointFacts, { destination, gateway }: EndpointFacts['routes'][number]) => {
  const target = parseCidr(destination)?.cidr;
  if (!target) return 'the destination is no subnet';
  if (target.prefix === 0) return 'default routes follow the gateway priority of the endpoints';
  if (classOf({ family: target.family, value: target.base }) === 'loopback')
    return 'the loopback never leaves a sandbox';
  const links = linksOf(endpoint).filter(({ family }) => family === target.family);
  if (links.length === 0) return `the endpoint has no IPv${target.family} address`;
  if (links.some(({ base, prefix }) => base === target.base && prefix === target.prefix))
    return 'the endpoint is in that subnet already';
  const next = gateway === null ? null : parseIp(gateway);
  if (next === null) return gateway === null ? null : 'the gateway is no address';
  if (next.family !== target.family) return 'destination and gateway are of different families';
  const link = links.find((one) => contains(one, next));
  if (!link) return 'the gateway is in none of the endpoint’s subnets';
  if (ownAddresses(endpoint).includes(formatIp(next.family, next.value))) return 'the gateway is the endpoint itself';
  const isHost = next.value !== networkAddress(link) && next.value !== broadcastAddress(link);
  return isHost ? null : 'the gateway is the address of the subnet itself, or its broadcast address';
};

export const checkRoutes = (endpoint: EndpointFacts): Refusal | null => {
  const destinations = endpoint.routes.map(({ destination }) => destination);
  for (const [index, route] of endpoint.routes.entries()) {
    const twice = destinations.indexOf(route.destination) !== index;
    const problem = twice ? 'there are two routes to it' : routeProblem(endpoint, route);
    if (problem === null) continue;
    const culprits = [{ kind: 'route', id: route.destination, ...(route.gateway && { detail: route.gateway }) }];
    return refuse('ROUTE_INVALID', `no route to ${route.destination}: ${problem}`, culprits);
  }
  return null;
};
