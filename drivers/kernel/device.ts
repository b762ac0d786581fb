/**
 * Devices: interfaces inside sandboxes that have no end on the host. Those of kinds macvlan and ipvlan are born there; any other is
 * moved there and back (move.ts). The tag is the alias of the interface itself.
 */
import {
  type Device,
  type DeviceSource,
  formatMovedTag,
  formatTag,
  movedFrom,
  parseTag,
  type Tag,
} from '../objects.ts';
import { formatMac, parseMac } from './address.ts';
import { bear } from './birth.ts';
import { expectNone, KernelFailure } from './failure.ts';
import { deathMark, type Host, listLinks, readLink, readLinkAt } from './host.ts';
import { addressEntry, addressesOf, listRoutes, readSnapshot, type Snapshot, setAddresses } from './inside.ts';
import { close } from './libc.ts';
import { fetchLink, sendBack } from './move.ts';
import type { NetlinkSocket } from './netlink.ts';
import { enter, openNamespace, within } from './netns.ts';
import { freeName, openOrFail } from './pair.ts';
import { encodeInner, isQuiet } from './peer.ts';
import type { LinkRecord, RouteRecord } from './records.ts';
import { restoreRoutes } from './route.ts';
import { delAddress, deleteLink, getLinkByIndex, newNamespaceId, prepareLink, setLink } from './rtnetlink.ts';
import { holdNamespace } from './sandbox.ts';
import { sourceOf } from './sublink.ts';
import { isDead, moveAside, stillThere, type Transaction, undoing } from './transaction.ts';

/** Names of the host's links, by index. */
type Names = ReadonlyMap<number, string>;

/** A device as it is. */
export const describeDevice = (
  link: LinkRecord,
  netns: string,
  inside: Pick<Snapshot, 'addresses'>,
  names: Names,
  tag: Tag,
): Device => ({
  kind: 'device',
  netns,
  name: link.name,
  // What came from the host may be of any kind.
  source: movedFrom(link.alias) === null ? sourceOf(link, names.get(link.peer) ?? '') : { type: 'moved' },
  mac: formatMac(link.mac),
  mtu: link.mtu,
  // One that is down carries nothing: shown without addresses, it is repaired.
  addresses: link.up ? addressesOf(inside.addresses, link.index) : [],
  birth: { sysctls: {}, link: movedFrom(link.alias) ?? '' },
  tag,
});

/** The alias of a device. @param now the one that it has, which knows where it came from */
const aliasOf = ({ source, birth, tag }: Device, now = ''): string =>
  source.type === 'moved' ? formatMovedTag(tag, movedFrom(now) ?? birth.link) : formatTag(tag);

/** What was done at its birth is not seen, but for where it came from. */
const withBirth = (seen: Device, { birth }: Device): Device => ({
  ...seen,
  birth: { ...birth, link: seen.birth.link || birth.link },
});

const isPassthru = ({ source }: Device): boolean => source.type === 'macvlan' && source.mode === 'passthru';

const sameSource = (a: DeviceSource, b: DeviceSource): boolean =>
  Object.keys(a).length === Object.keys(b).length &&
  Object.entries(a).every(([key, value]) => (b as Readonly<Record<string, unknown>>)[key] === value);

/** The kernel takes the parent's MAC in mode passthru, and a moved one has its own: what is asked for is given afterwards. */
const lateChanges = (device: Device): { readonly mac?: Uint8Array; readonly mtu?: number } => {
  const isMoved = device.source.type === 'moved';
  return {
    ...(device.mac !== null && (isMoved || isPassthru(device)) && { mac: parseMac(device.mac) }),
    ...(device.mtu !== null && isMoved && { mtu: device.mtu }),
  };
};

/** So that what happens in there is heard of here: a device without an end on the host gives its namespace no number. */
const numberNamespace = (host: Host, descriptor: number): void => {
  newNamespaceId(host.writer.reset(), descriptor);
  expectNone(host.route.request(host.writer).filter(({ errno }) => errno !== 'EEXIST'));
};

/** Takes back the making of one whose name was free, so that whatever has the name is it; if it was made at all. */
const discard = (host: Host, device: Device): void => {
  const descriptor = openNamespace(device.netns);
  if (typeof descriptor !== 'number') return;
  try {
    within(host, descriptor, (socket) => {
      const link = readLink(socket, host.writer, device.name);
      if (link !== null) undoing(host, (transaction) => putAway(transaction, socket, link, device, [], true));
    });
  } finally {
    close(descriptor);
  }
};

/**
 * Makes a device whose name is free inside, or held by a dead link only.
 * @param from name on the host of one that is moved
 */
const make = (
  transaction: Transaction,
  socket: NetlinkSocket,
  descriptor: number,
  device: Device,
  from = device.birth.link,
): void => {
  const { host } = transaction;
  const { source, name, birth, addresses } = device;
  freeName(host, socket, name, device.netns);
  // Before it is there: the answer may be lost.
  transaction.undo.push({ what: `remove device ${name}`, run: () => discard(host, device) });
  const index =
    source.type === 'moved'
      ? fetchLink(host, socket, descriptor, device, from)
      : bear(host, socket, device, source, aliasOf(device));
  numberNamespace(host, descriptor);
  const inner = { index, name, birth, addresses, alias: aliasOf(device), ...lateChanges(device) };
  encodeInner(host, socket, [inner], () => enter(host, descriptor));
  getLinkByIndex(host.writer, index);
  expectNone(socket.request(host.writer));
};

/** Gives a device that is there the state of `device`; what that leaves open stays. */
const adjust = (host: Host, socket: NetlinkSocket, link: LinkRecord, device: Device): void => {
  const routes = listRoutes(socket, host.writer).filter((route) => route.index === link.index);
  const writer = host.writer.reset();
  prepareLink(writer, link.index, { quiet: isQuiet(host, device.birth), alias: aliasOf(device, link.alias) });
  // A hardware address that is given again makes the kernel forget all neighbours (arp_netdev_event).
  const isOther = device.mac !== null && device.mac !== formatMac(link.mac);
  if (link.name !== device.name) {
    setLink(writer, link.index, { up: false });
    setLink(writer, link.index, { name: device.name });
  }
  setLink(writer, link.index, {
    ...(isOther && { mac: parseMac(device.mac ?? '') }),
    ...(device.mtu !== null && { mtu: device.mtu }),
  });
  setLink(writer, link.index, { up: true });
  getLinkByIndex(writer, link.index);
  expectNone(socket.request(writer));
  setAddresses(host, socket, link.index, device.addresses);
  restoreRoutes(host, socket, routes);
};

/** Runs work in the namespace of a device, which has to be there. */
const inside = (host: Host, netns: string, work: (socket: NetlinkSocket, descriptor: number) => void): void => {
  const descriptor = openOrFail(netns);
  try {
    within(host, descriptor, (socket) => work(socket, descriptor));
  } finally {
    close(descriptor);
  }
};

/** Takes back a `retire`, or an adjustment: the name too, which another link may have had meanwhile. */
const takeBack = (host: Host, link: LinkRecord, before: Device, routes: readonly RouteRecord[]): void =>
  inside(host, before.netns, (socket) => {
    const now = readLinkAt(socket, host.writer, link.index);
    if (now === null) throw new KernelFailure('KERNEL_ERROR', `device ${before.name} is gone`, 'ENODEV');
    if (now.name !== before.name) freeName(host, socket, before.name, before.netns);
    adjust(host, socket, now, before);
    restoreRoutes(host, socket, routes);
  });

/**
 * Takes a device out of service at once, and frees its name. Its addresses go too: one of kind ipvlan would hold them against others on
 * its parent (ipvlan_addr_busy).
 */
const retire = (host: Host, socket: NetlinkSocket, link: LinkRecord, device: Device): void => {
  const writer = host.writer.reset();
  for (const cidr of device.addresses) delAddress(writer, addressEntry(link.index, cidr));
  setLink(writer, link.index, { up: false, alias: deathMark(host) });
  const refusals = socket.request(writer).filter(stillThere);
  expectNone(refusals.filter(({ errno }) => errno !== 'EADDRNOTAVAIL'));
  moveAside(host, link, socket);
};

/**
 * Removes a device. In mode passthru there and then, as long as that takes: its parent is free for another only when it is gone.
 * @param reap whether its namespace lives on
 */
const putAway = (
  transaction: Transaction,
  socket: NetlinkSocket,
  link: LinkRecord,
  device: Device,
  routes: readonly RouteRecord[],
  reap: boolean,
): void => {
  const { host, undo, reaps } = transaction;
  const what = `restore device ${device.name}`;
  const remake = (from?: string): void =>
    undoing(host, (inner) => {
      inside(host, device.netns, (other, descriptor) => {
        make(inner, other, descriptor, device, from);
        restoreRoutes(host, other, routes);
      });
    });
  if (device.source.type === 'moved') {
    const name = sendBack(host, socket, link, device);
    undo.push({ what, run: () => remake(name) });
  } else if (isPassthru(device)) {
    deleteLink(host.writer.reset(), link.index);
    expectNone(socket.request(host.writer).filter(stillThere));
    undo.push({ what, run: () => remake() });
  } else {
    undo.push({ what, run: () => takeBack(host, link, device, routes) });
    retire(host, socket, link, device);
    const namespace = reap ? holdNamespace(device.netns) : -1;
    if (namespace >= 0) reaps.push({ links: [], namespace, inside: [link.index] });
  }
};

const carrierOf = (host: Host, links: readonly LinkRecord[], tags: readonly Tag[]): LinkRecord | undefined =>
  links.find((link) => !isDead(host, link) && tagAmong(tags, link) !== undefined);

const tagAmong = (tags: readonly Tag[], { alias }: LinkRecord): Tag | undefined => {
  const tag = parseTag(alias);
  return tag === null ? undefined : tags.find((candidate) => formatTag(candidate) === formatTag(tag));
};

const namesNow = (host: Host): Names =>
  new Map(listLinks(host.route, host.writer).map((link) => [link.index, link.name]));

/** Makes a device be as wanted. What is there already has to carry one of the tags. */
export const ensureDevice = (transaction: Transaction, device: Device, tags: readonly Tag[]): void => {
  const { host } = transaction;
  inside(host, device.netns, (socket, descriptor) => {
    const found = readSnapshot(host, socket);
    const link = carrierOf(host, found.links, tags);
    if (link === undefined) return make(transaction, socket, descriptor, device);
    const tag = tagAmong(tags, link) ?? device.tag;
    const seen = describeDevice({ ...link, up: true }, device.netns, found, namesNow(host), tag);
    const before = withBirth(seen, device);
    const routes = found.routes.filter((route) => route.index === link.index);
    if (!sameSource(before.source, device.source)) {
      putAway(transaction, socket, link, before, routes, true);
      return make(transaction, socket, descriptor, device);
    }
    if (link.name !== device.name) freeName(host, socket, device.name, device.netns);
    const run = (): void => takeBack(host, link, before, routes);
    transaction.undo.push({ what: `restore device ${device.name}`, run });
    adjust(host, socket, link, device);
  });
};

/** Removes a device; `reap` where its namespace lives on. Another one under its name is somebody else's, and stays. */
export const removeDevice = (transaction: Transaction, device: Device, reap = true): void => {
  const { host } = transaction;
  const descriptor = openNamespace(device.netns);
  if (typeof descriptor !== 'number') return;
  try {
    within(host, descriptor, (socket) => {
      const found = readSnapshot(host, socket);
      const link = carrierOf(host, found.links, [device.tag]);
      if (link === undefined) return;
      const before = describeDevice({ ...link, up: true }, device.netns, found, namesNow(host), device.tag);
      const routes = found.routes.filter((route) => route.index === link.index);
      putAway(transaction, socket, link, withBirth(before, device), routes, reap);
    });
  } finally {
    close(descriptor);
  }
};
