/** Which address of this machine other hosts reach it by. Pure. */
import type { KernelFacts } from '../port.ts';
import { formatAddress } from './address.ts';
import type { AddressRecord, LinkRecord, RouteRecord } from './records.ts';

/** 127.0.0.0/8 and 169.254.0.0/16 mean another machine everywhere. */
const isGlobal = ({ address }: AddressRecord): boolean =>
  address.length === 4 && address[0] !== 127 && !(address[0] === 169 && address[1] === 254);

const covers = ({ address, length }: AddressRecord, other: Uint8Array): boolean =>
  address.every((byte, at) => {
    const bits = Math.min(8, Math.max(0, length - 8 * at));
    const mask = (0xff << (8 - bits)) & 0xff;
    return (byte & mask) === ((other[at] ?? 0) & mask);
  });

/**
 * @param wanted an address or an interface of this machine; null: the address of the first default route's interface, one of the gateway's
 *   subnet before others, and where no default route is, the first global address
 * @param links those that count: up, not ours, not loopback
 * @param routes in the order of the kernel, which is that of their metrics
 */
export const underlayOf = (
  wanted: string | null,
  links: readonly LinkRecord[],
  addresses: readonly AddressRecord[],
  routes: readonly RouteRecord[],
): KernelFacts['underlay'] => {
  const globals = addresses.filter(isGlobal);
  const of = (address: AddressRecord | undefined): KernelFacts['underlay'] => {
    const link = links.find(({ index }) => index === address?.index);
    return address && link ? { address: formatAddress(address.address), device: link.name, mtu: link.mtu } : null;
  };
  const on = (link: LinkRecord | undefined): readonly AddressRecord[] =>
    globals.filter(({ index }) => index === link?.index);
  if (wanted !== null) {
    const named = links.find(({ name }) => name === wanted);
    return of(named ? on(named)[0] : globals.find(({ address }) => formatAddress(address) === wanted));
  }
  for (const { destination, length, gateway, index } of routes) {
    if (destination.length !== 4 || length > 0) continue;
    const candidates = on(links.find((link) => link.index === index));
    const found = of(candidates.find((address) => gateway.length === 4 && covers(address, gateway)) ?? candidates[0]);
    if (found) return found;
  }
  return of(globals.find(({ index }) => links.some((link) => link.index === index)));
};
