/** Routes inside sandboxes, through a gateway or on the link. */
import type { Route, Tag } from '../objects.ts';
import { formatAddress, formatCidr, parseAddress, parseCidr } from './address.ts';
import { expectNone, foreign, KernelFailure } from './failure.ts';
import { type Host, readLinkAt, requireLink } from './host.ts';
import { listRoutes } from './inside.ts';
import { close } from './libc.ts';
import type { NetlinkSocket } from './netlink.ts';
import { openNamespace, within } from './netns.ts';
import type { RouteRecord } from './records.ts';
import { delRoute, type LinkRoute, newRoute } from './rtnetlink.ts';
import type { Transaction } from './transaction.ts';

/**
 * A route has no room for a tag. Its protocol number says that it is ours, and what its tag stands for: the endpoint whose
 * interface it uses, or the sandbox. Numbers from RTPROT_STATIC (4) up are for user space; none of these is in use
 * (linux/rtnetlink.h, iproute2's rt_protos).
 */
const protocols = { endpoint: 211, sandbox: 212, network: 213 } as const;

const protocolOf = (tag: Tag): number => protocols[tag.entity];

/** What the tag of a route with this protocol stands for; undefined when the route is not ours. */
export const entityOf = (protocol: number): Tag['entity'] | undefined =>
  protocol === protocols.endpoint
    ? 'endpoint'
    : protocol === protocols.sandbox
      ? 'sandbox'
      : protocol === protocols.network
        ? 'network'
        : undefined;

export const routeEntry = (index: number, route: Route): LinkRoute => {
  const { address: destination, length } = parseCidr(route.destination);
  const gateway = route.gateway === '' ? new Uint8Array(0) : parseAddress(route.gateway);
  return { destination, length, gateway, index, protocol: protocolOf(route.tag) };
};

const sameAddress = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, at) => byte === b[at]);

const gatewayText = ({ gateway }: RouteRecord): string => (gateway.length > 0 ? formatAddress(gateway) : 'none');

const matches = (record: RouteRecord, route: Route): boolean =>
  formatCidr({ address: record.destination, length: record.length }) === route.destination;

/** Puts back routes that went with an address. One whose gateway is out of reach by now is left out: the next census shows it missing. */
export const restoreRoutes = (host: Host, socket: NetlinkSocket, routes: readonly RouteRecord[]): void => {
  const ours = routes.filter((route) => entityOf(route.protocol) !== undefined);
  if (ours.length === 0) return;
  host.writer.reset();
  for (const route of ours) newRoute(host.writer, route);
  socket.request(host.writer);
};

const inNamespace = (host: Host, path: string, work: (socket: NetlinkSocket) => void): void => {
  const descriptor = openNamespace(path);
  if (typeof descriptor !== 'number') throw new KernelFailure('NETNS_UNUSABLE', `${path} is no network namespace`);
  try {
    within(host, descriptor, work);
  } finally {
    close(descriptor);
  }
};

const put = (
  host: Host,
  socket: NetlinkSocket,
  encode: (writer: Host['writer'], entry: LinkRoute) => void,
  entry: LinkRoute,
): void => {
  encode(host.writer.reset(), entry);
  expectNone(socket.request(host.writer));
};

/** Our routes to a destination, and the first that is somebody else's. */
const present = (
  host: Host,
  socket: NetlinkSocket,
  route: Route,
): { readonly ours: readonly RouteRecord[]; readonly other: RouteRecord | undefined } => {
  const found = listRoutes(socket, host.writer).filter((record) => matches(record, route));
  const ours = found.filter((record) => entityOf(record.protocol) !== undefined);
  return { ours, other: found.find((record) => entityOf(record.protocol) === undefined) };
};

const drop = ({ host, undo }: Transaction, socket: NetlinkSocket, route: Route, record: RouteRecord): void => {
  put(host, socket, delRoute, record);
  const run = (): void => inNamespace(host, route.netns, (again) => put(host, again, newRoute, record));
  undo.push({ what: `restore route ${route.destination}`, run });
};

/** A namespace has one route of ours to a destination. */
const expectNoOther = (host: Host, socket: NetlinkSocket, route: Route, index: number | undefined): void => {
  if (index === undefined) return;
  const device = readLinkAt(socket, host.writer, index)?.name ?? `interface ${index}`;
  const text = `${route.destination} in ${route.netns} leads over ${device} already`;
  throw new KernelFailure('KERNEL_ERROR', text, 'EEXIST');
};

/** Makes a route be as wanted. One over another interface is only replaced when the route is `moved`: nobody asks for two. */
export const ensureRoute = (transaction: Transaction, route: Route, moved: boolean): void => {
  const { host } = transaction;
  inNamespace(host, route.netns, (socket) => {
    const device = requireLink(socket, host.writer, route.device);
    const entry = routeEntry(device.index, route);
    const { ours, other } = present(host, socket, route);
    const same = ours.some(
      (record) =>
        record.index === entry.index &&
        record.protocol === entry.protocol &&
        sameAddress(record.gateway, entry.gateway),
    );
    if (same) return;
    if (!moved) expectNoOther(host, socket, route, ours.find((record) => record.index !== entry.index)?.index);
    if (ours.length === 0 && other !== undefined) {
      throw foreign('route', `${route.destination} in ${route.netns}`, `gateway ${gatewayText(other)}`);
    }
    for (const record of ours) drop(transaction, socket, route, record);
    put(host, socket, newRoute, entry);
    const run = (): void => inNamespace(host, route.netns, (again) => put(host, again, delRoute, entry));
    transaction.undo.push({ what: `remove route ${route.destination}`, run });
  });
};

export const removeRoute = (transaction: Transaction, route: Route): void => {
  const { host } = transaction;
  const descriptor = openNamespace(route.netns);
  if (typeof descriptor !== 'number') return;
  close(descriptor);
  inNamespace(host, route.netns, (socket) => {
    const { ours, other } = present(host, socket, route);
    if (ours.length === 0 && other !== undefined) {
      throw foreign('route', `${route.destination} in ${route.netns}`, `gateway ${gatewayText(other)}`);
    }
    for (const record of ours) drop(transaction, socket, route, record);
  });
};
