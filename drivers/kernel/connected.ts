/** Routes that come with an address: to everybody in its subnet. Somebody may take one away and leave the address. */
import type { Cidr } from '../objects.ts';
import { formatCidr, parseCidr } from './address.ts';
import type { RouteRecord } from './records.ts';

/** `10.0.0.0/24` for `10.0.0.1/24`; null for an address that is alone in its subnet, and for link-local ones, which have none in our table. */
const subnetOf = (cidr: Cidr): string | null => {
  const { address, length } = parseCidr(cidr);
  if (length === 8 * address.length || cidr.startsWith('fe80:')) return null;
  const subnet = address.map((byte, at) => byte & (0xff << Math.max(0, 8 - Math.max(0, length - 8 * at))));
  return formatCidr({ address: subnet, length });
};

/** Those of the addresses of a link to whose subnets it has a route. */
export const routedOf = (
  addresses: readonly Cidr[],
  routes: readonly RouteRecord[],
  index: number,
): readonly Cidr[] => {
  const own = routes.filter((route) => route.index === index && route.gateway.length === 0);
  const there = new Set(own.map(({ destination: address, length }) => formatCidr({ address, length })));
  return addresses.filter((cidr) => {
    const subnet = subnetOf(cidr);
    return subnet === null || there.has(subnet);
  });
};
