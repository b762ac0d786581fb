/** What a namespace holds: links, addresses and routes, read by dumps of the socket that stands in it. */
import type { Cidr } from '../objects.ts';
import { broadcastOf, formatCidr, parseCidr } from './address.ts';
import { routedOf } from './connected.ts';
import { RT } from './constants.ts';
import { expectNone } from './failure.ts';
import { type Host, listLinks } from './host.ts';
import type { NetlinkSocket, Visit } from './netlink.ts';
import type { Message, MessageReader } from './reader.ts';
import { type AddressRecord, decodeAddress, decodeRoute, type LinkRecord, type RouteRecord } from './records.ts';
import { delAddress, dumpAddresses, dumpRoutes, type InterfaceAddress, newAddress } from './rtnetlink.ts';
import type { MessageWriter } from './writer.ts';

export interface Snapshot {
  readonly links: readonly LinkRecord[];
  readonly addresses: readonly AddressRecord[];
  /** Unicast routes of the main table. */
  readonly routes: readonly RouteRecord[];
}

/** Collects what a decoder makes of each message of a dump. */
const collect =
  <T>(decode: (reader: MessageReader, message: Message) => T | null) =>
  (): { readonly visit: Visit; readonly result: T[] } => {
    const result: T[] = [];
    const visit: Visit = (reader, message) => {
      const record = decode(reader, message);
      if (record !== null) result.push(record);
    };
    return { visit, result };
  };

export const listAddresses = (socket: NetlinkSocket, writer: MessageWriter): readonly AddressRecord[] => {
  dumpAddresses(writer.reset());
  return socket.dump(writer, collect(decodeAddress));
};

export const listRoutes = (socket: NetlinkSocket, writer: MessageWriter): readonly RouteRecord[] => {
  dumpRoutes(writer.reset());
  const routes = socket.dump(writer, collect(decodeRoute));
  return routes.filter((route) => route.table === RT.TABLE_MAIN && route.type === RT.UNICAST);
};

export const readSnapshot = (host: Host, socket: NetlinkSocket): Snapshot => ({
  links: listLinks(socket, host.writer),
  addresses: listAddresses(socket, host.writer),
  routes: listRoutes(socket, host.writer),
});

/**
 * A router solicits its neighbours from a link-local address (ndisc_send_ns): without one, forwarded IPv6 would find no endpoint.
 * This one is given to every bridge with IPv6, so it costs none of the traffic that a generated one would.
 */
export const linkLocal = 'fe80::1/64';

/** fe80::/10 */
const isLinkLocal = ({ address }: AddressRecord): boolean =>
  address.length === 16 && address[0] === 0xfe && ((address[1] ?? 0) & 0xc0) === 0x80;

/**
 * The addresses of a link in canonical text: IPv4 in the order in which they were added, then IPv6 likewise, link-local ones last
 * (the kernel lists by scope, the newest first). Link-local ones of IPv6 that were not given are generated, by the kernel or
 * by who lives in the namespace: they are passed over.
 */
export const addressesOf = (addresses: readonly AddressRecord[], index: number): readonly Cidr[] => {
  const own = addresses.filter((record) => record.index === index && (record.given || !isLinkLocal(record)));
  const ipv4 = own.filter(({ address }) => address.length === 4);
  const ipv6 = own.filter(({ address }) => address.length === 16).reverse();
  const [local, global] = [ipv6.filter(isLinkLocal), ipv6.filter((record) => !isLinkLocal(record))];
  return [...ipv4, ...global, ...local].map(formatCidr);
};

/** The addresses of a bridge without the one that each has. */
export const gatewaysOf = (addresses: readonly AddressRecord[], index: number): readonly Cidr[] =>
  addressesOf(addresses, index).filter((cidr) => cidr !== linkLocal);

/** An address as a link is given it. IPv4 has a broadcast address where its prefix leaves room for one. */
export const addressEntry = (index: number, cidr: Cidr): InterfaceAddress => {
  const prefix = parseCidr(cidr);
  const entry = { index, address: prefix.address, length: prefix.length };
  return prefix.address.length === 4 && prefix.length < 31 ? { ...entry, broadcast: broadcastOf(prefix) } : entry;
};

const change = (
  host: Host,
  socket: NetlinkSocket,
  encode: (writer: MessageWriter, entry: InterfaceAddress) => void,
  index: number,
  cidrs: readonly Cidr[],
  expected: string,
): void => {
  if (cidrs.length === 0) return;
  host.writer.reset();
  for (const cidr of cidrs) encode(host.writer, addressEntry(index, cidr));
  expectNone(socket.request(host.writer).filter((refusal) => refusal.errno !== expected));
};

const sameList = (a: readonly Cidr[], b: readonly Cidr[]): boolean =>
  a.length === b.length && a.every((cidr, at) => cidr === b[at]);

/** Takes away the addresses whose routes others have taken: given again, they bring them. */
const giveRoutes = (host: Host, socket: NetlinkSocket, index: number, addresses: readonly Cidr[]): void => {
  const routed = routedOf(addresses, listRoutes(socket, host.writer), index);
  const lost = addresses.filter((cidr) => !routed.includes(cidr));
  change(host, socket, delAddress, index, lost, 'EADDRNOTAVAIL');
  change(host, socket, newAddress, index, lost, 'EEXIST');
};

/**
 * Gives a link exactly these addresses in this order. Missing ones are added before others are removed: a link that lost its last
 * address would lose its routes too.
 */
export const setAddresses = (host: Host, socket: NetlinkSocket, index: number, wanted: readonly Cidr[]): void => {
  const present = (): readonly Cidr[] => addressesOf(listAddresses(socket, host.writer), index);
  giveRoutes(host, socket, index, present());
  const before = present();
  if (sameList(before, wanted)) return;
  const missing = wanted.filter((cidr) => !before.includes(cidr));
  change(host, socket, newAddress, index, missing, 'EEXIST');
  // A primary address may take its secondaries along.
  change(
    host,
    socket,
    delAddress,
    index,
    before.filter((cidr) => !wanted.includes(cidr)),
    'EADDRNOTAVAIL',
  );
  const after = present();
  if (sameList(after, wanted)) return;
  change(host, socket, delAddress, index, after, 'EADDRNOTAVAIL');
  change(host, socket, newAddress, index, wanted, 'EEXIST');
};
