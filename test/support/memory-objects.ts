/** What the kernel in memory knows of the objects that it holds. */
import { parseCidr } from '../../drivers/kernel/address.ts';
import type { KernelObject } from '../../drivers/objects.ts';

/** Whether an address lies in a network. */
export const contains = (cidr: string, address: string): boolean => {
  const { address: base, length } = parseCidr(cidr);
  const other = parseCidr(`${address}/0`).address;
  if (base.length !== other.length) return false;
  return base.every(
    (byte, at) => ((byte ^ (other[at] ?? 0)) & (0xff00 >> Math.max(0, Math.min(8, length - 8 * at))) & 0xff) === 0,
  );
};

/** As Linux lists them: IPv4, then IPv6, of which link-local ones last. */
const inOrder = (addresses: readonly string[]): readonly string[] => {
  const place = (cidr: string): number => (cidr.startsWith('fe80:') ? 2 : cidr.includes(':') ? 1 : 0);
  return addresses.toSorted((a, b) => place(a) - place(b));
};

/** An object as a census shows it. What was done at its birth cannot be seen, but for where it came from. */
export const seen = (object: KernelObject): KernelObject => {
  if (object.kind === 'device') {
    const link = object.source.type === 'moved' ? object.birth.link : '';
    return { ...object, addresses: inOrder(object.addresses), birth: { sysctls: {}, link } };
  }
  if (object.kind !== 'veth') return object;
  const peer = { ...object.peer, addresses: inOrder(object.peer.addresses) };
  return { ...object, peer, birth: { sysctls: {} } };
};

/** Some of the settings that an interface has. */
export const settings =
  /^net\.ipv[46]\.(conf\.IFNAME\.(arp_notify|accept_ra|disable_ipv6|forwarding|log_martians|proxy_arp|rp_filter)|neigh\.IFNAME\.[a-z_]+)$/;
