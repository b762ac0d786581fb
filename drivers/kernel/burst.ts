/**
 * Whole sandboxes in the fewest system calls: a new namespace with its interfaces and routes by one batch to the host's socket
 * and one to the socket inside, and their removal. Making assumes that nothing is there yet; when anything is in the way, all
 * of it is taken back and the caller goes the careful way, object by object, which says what the matter was.
 */
import { type Device, formatTag, type Netns, type Resolver, type Route, type Veth } from '../objects.ts';
import { parseMac } from './address.ts';
import { announcementOf } from './announce.ts';
import { removeDevice } from './device.ts';
import { isFailure } from './failure.ts';
import { type Host, isIndexTaken, readLinks, skipIndexes, takeIndex } from './host.ts';
import { noteNamespace } from './lost-namespace.ts';
import type { Refusal } from './netlink.ts';
import { createFile, enter, pin, removeRecord, writeRecord } from './netns.ts';
import { encodeInner, innerOf } from './peer.ts';
import { bridgeIndex, encodePort } from './plug.ts';
import { routeEntry } from './route.ts';
import { getLinkByIndex, newRoute, newVeth, prepareLink } from './rtnetlink.ts';
import { discardNamespace, holdsNetns, unpinNamespace } from './sandbox.ts';
import { closeSpace, handOver, type Space, takeSpace } from './spare.ts';
import { revive, silence, type Transaction } from './transaction.ts';
import { ownEnds } from './veth.ts';

/** The objects of a plan that make one sandbox. */
export interface Sandbox {
  readonly netns: Netns;
  readonly veths: readonly Veth[];
  /** Made one by one. */
  readonly devices: readonly Device[];
  readonly routes: readonly Route[];
  readonly resolver: Resolver | null;
}

/** Indexes inside a new namespace: 1 is loopback. */
const firstInner = 2;

interface HostEnd {
  readonly index: number;
  /** Which message of the batch makes it. */
  readonly message: number;
}

/** Messages for the host's namespace; answers the host ends. */
const encodeOuter = (host: Host, { veths }: Sandbox, space: Space): readonly HostEnd[] => {
  const masters = veths.map((veth) => bridgeIndex(host, veth.bridge));
  const writer = host.writer.reset();
  return veths.map((veth, at) => {
    const [index, message] = [takeIndex(host), writer.count];
    const peer = { index: firstInner + at, name: veth.peer.name, mac: parseMac(veth.peer.mac) };
    newVeth(writer, { index, name: veth.name, mtu: veth.mtu, peer, namespace: space.descriptor });
    prepareLink(writer, index, { quiet: host.ipv6, alias: formatTag(veth.tag) });
    encodePort(host, index, masters[at] ?? 0, veth);
    return { index, message };
  });
};

/** Messages for the new namespace. It ends with a look at each interface, which makes the kernel finish bringing it up. */
const encodeInside = (host: Host, { veths, routes }: Sandbox, { socket, descriptor }: Space): void => {
  const { writer } = host;
  const inner = veths.map((veth, at) => innerOf(firstInner + at, veth));
  encodeInner(host, socket, inner, () => enter(host, descriptor));
  for (const route of routes) {
    const at = veths.findIndex((veth) => veth.peer.name === route.device);
    newRoute(writer, routeEntry(firstInner + at, route));
  }
  veths.forEach((_, at) => {
    getLinkByIndex(writer, firstInner + at);
  });
};

/** What fits a batch with ease: some 500 bytes an interface. */
const [vethsMax, routesMax] = [32, 256];

/** Whether `createSandbox` can do it. */
export const isCompact = ({ netns, veths, devices, routes }: Sandbox): boolean =>
  netns.owned &&
  devices.length === 0 &&
  veths.length <= vethsMax &&
  routes.length <= routesMax &&
  routes.every((route) => veths.some((veth) => veth.peer.name === route.device));

/** Runs both batches in the new namespace; false when anything was refused. */
const equip = (host: Host, sandbox: Sandbox, links: number[]): boolean => {
  const space = takeSpace(host, sandbox.resolver?.port ?? null);
  try {
    pin(space.descriptor, sandbox.netns.path);
    noteNamespace(host, sandbox.netns.path, space.descriptor);
    if (sandbox.veths.length > 0) {
      const ends = encodeOuter(host, sandbox, space);
      const refusals = host.route.request(host.writer);
      const notMade = new Set(refusals.map((refusal) => refusal.index));
      links.push(...ends.flatMap(({ index, message }) => (notMade.has(message) ? [] : [index])));
      const isTaken = (refusal: Refusal): boolean =>
        ends.some(({ index, message }) => message === refusal.index && isIndexTaken(host, index, refusal));
      if (refusals.some(isTaken)) skipIndexes(host);
      if (refusals.length > 0) return false;
    }
    encodeInside(host, sandbox, space);
    if (space.socket.request(host.writer).length > 0) return false;
    handOver(host, space, sandbox.netns.path);
    return true;
  } finally {
    closeSpace(space);
  }
};

/** Makes the file that a record stands for; without it the record goes. False when something is there. */
const createOrForget = (host: Host, { path }: Netns): boolean => {
  let made = false;
  try {
    made = createFile(path);
    return made;
  } finally {
    if (!made) removeRecord(host, path);
  }
};

/** Makes a sandbox where there is none; false, with everything taken back, when something was in the way. */
export const createSandbox = (transaction: Transaction, sandbox: Sandbox): boolean => {
  const { host } = transaction;
  const { netns } = sandbox;
  // Its file alone may have gone: that is for the careful way to see.
  if (host.namespaces.has(netns.path)) return false;
  if (!writeRecord(host, netns)) return false;
  if (!createOrForget(host, netns)) return false;
  const links: number[] = [];
  const run = (): void => {
    try {
      silence(host, links);
    } finally {
      discardNamespace(host, netns, links);
    }
  };
  let made = false;
  try {
    made = equip(host, sandbox, links);
  } catch (error) {
    if (!isFailure(error)) {
      run();
      throw error;
    }
  }
  if (!made) {
    run();
    return false;
  }
  for (const link of links) host.fresh.add(link);
  for (const veth of sandbox.veths) {
    host.fresh.add(bridgeIndex(host, veth.bridge));
    transaction.announcements.push(announcementOf(veth));
  }
  transaction.undo.push({ what: `remove sandbox ${netns.path}`, run });
  return true;
};

/**
 * Removes a sandbox with all its interfaces: the links are silenced and go with the namespace, as its routes do. False when the
 * namespace is not there to take them along, or stays.
 */
export const removeSandbox = (transaction: Transaction, { netns, veths, devices }: Sandbox): boolean => {
  const { host } = transaction;
  if (!netns.owned || !holdsNetns(host, netns)) return false;
  const names = veths.map((veth) => veth.name);
  const ends = ownEnds(host, veths, names.length === 0 ? [] : readLinks(host.route, host.writer, names));
  const indexes = ends.map((end) => end.index);
  const run = (): void => {
    for (const end of ends) {
      revive(host, end);
      host.fresh.add(end.index).add(end.master);
    }
  };
  transaction.undo.push({ what: `restore interfaces of ${netns.path}`, run });
  silence(host, indexes);
  for (const device of devices) removeDevice(transaction, device, false);
  unpinNamespace(transaction, netns, indexes);
  return true;
};
