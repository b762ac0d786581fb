/** Veth pairs one by one, into a namespace that is there already: with a look at what is there before anything is done. */
import { formatTag, type Tag, type Veth } from '../objects.ts';
import { formatMac, parseMac } from './address.ts';
import { expectNone, foreign, KernelFailure, ownership, refused } from './failure.ts';
import { type Host, listLinks, readLink, skipIndexes, takeIndex } from './host.ts';
import { addressEntry, addressesOf, listRoutes, readSnapshot, type Snapshot, setAddresses } from './inside.ts';
import { close } from './libc.ts';
import type { NetlinkSocket, Refusal } from './netlink.ts';
import { openNamespace, within } from './netns.ts';
import { decodeLink, type LinkRecord, type RouteRecord } from './records.ts';
import { restoreRoutes } from './route.ts';
import { getLinkByIndex, newAddress, newVeth, setGenModeNone, setLink } from './rtnetlink.ts';
import { freePorts, isDead, moveAside, revive, silence, type Transaction, undoing } from './transaction.ts';

/** Index of the bridge that a veth is to be a port of. */
export const bridgeIndex = (host: Host, name: string): number => {
  const known = host.bridges.get(name);
  if (known !== undefined) return known;
  const link = readLink(host.route, host.writer, name);
  if (link === null || isDead(host, link)) throw new KernelFailure('KERNEL_ERROR', `no bridge ${name}`, 'ENODEV');
  host.bridges.set(name, link.index);
  return link.index;
};

const openOrFail = (path: string): number => {
  const found = openNamespace(path);
  if (typeof found === 'number') return found;
  throw new KernelFailure('NETNS_UNUSABLE', found === 'absent' ? `no file ${path}` : `${path} is no network namespace`);
};

const buryVeth = (transaction: Transaction, index: number): void => {
  silence(transaction.host, [index]);
  transaction.reaps.push({ links: [index], namespace: -1 });
};

/** Whether the first message, the one that makes the link, was refused. */
const notMade = (refusals: readonly Refusal[]): boolean => refusals[0]?.index === 0;

/** The host's half of a new pair; answers the peer's index inside the namespace. */
const plug = (transaction: Transaction, veth: Veth, descriptor: number, mayFree: boolean): number => {
  const { host } = transaction;
  const master = bridgeIndex(host, veth.bridge);
  const index = takeIndex(host);
  const peer = { index: 0, name: veth.peer.name, mac: parseMac(veth.peer.mac) };
  const writer = host.writer.reset();
  newVeth(writer, { index, name: veth.name, mtu: veth.mtu, peer, target: { descriptor } });
  setGenModeNone(writer, index);
  setLink(writer, index, { up: true, master, alias: formatTag(veth.tag) });
  getLinkByIndex(writer, index);
  let inner = 0;
  const refusals = host.route.request(writer, (reader, message) => {
    inner = decodeLink(reader, message)?.peer ?? 0;
  });
  if (!notMade(refusals)) {
    const run = (): void => undoing(host, (undo) => buryVeth(undo, index));
    transaction.undo.push({ what: `remove veth ${veth.name}`, run });
  }
  const [first] = refusals;
  if (first === undefined) {
    host.fresh.add(index).add(master);
    return inner;
  }
  if (first.index === 0 && first.errno === 'EBUSY') skipIndexes(host);
  else if (first.errno === 'EXFULL') {
    transaction.undo.pop()?.run();
    if (!mayFree || !freePorts(host, master)) {
      throw new KernelFailure('BRIDGE_FULL', `bridge ${veth.bridge} has no free port`, 'EXFULL');
    }
  } else throw refused(first);
  const again = readLink(host.route, host.writer, veth.name);
  if (again !== null) moveAside(host, again);
  return plug(transaction, veth, descriptor, false);
};

const create = (transaction: Transaction, veth: Veth): void => {
  const { host } = transaction;
  const descriptor = openOrFail(veth.netns);
  try {
    within(host, descriptor, (socket) => {
      const holder = readLink(socket, host.writer, veth.peer.name);
      if (holder !== null) throw foreign(holder.kind || 'interface', `${holder.name} in ${veth.netns}`, holder.alias);
      const index = plug(transaction, veth, descriptor, true);
      const writer = host.writer.reset();
      setGenModeNone(writer, index);
      setLink(writer, index, { up: true });
      for (const cidr of veth.peer.addresses) newAddress(writer, addressEntry(index, cidr));
      getLinkByIndex(writer, index);
      expectNone(socket.request(writer));
    });
  } finally {
    close(descriptor);
  }
};

/** The peer of a host end among the links of a namespace: each end names the other's index. */
export const peerOf = (links: readonly LinkRecord[], hostEnd: LinkRecord): LinkRecord | undefined =>
  links.find((link) => link.kind === 'veth' && link.index === hostEnd.peer && link.peer === hostEnd.index);

/** A veth as it is. */
export const describeVeth = (
  end: LinkRecord,
  bridge: string,
  netns: string,
  peer: LinkRecord,
  inside: Pick<Snapshot, 'addresses'>,
  tag: Tag,
): Veth => ({
  kind: 'veth',
  name: end.name,
  bridge,
  mtu: end.mtu,
  netns,
  peer: { name: peer.name, mac: formatMac(peer.mac), addresses: addressesOf(inside.addresses, peer.index) },
  tag,
});

const adjustPeer = (host: Host, socket: NetlinkSocket, peer: LinkRecord, veth: Veth): void => {
  const routes = listRoutes(socket, host.writer).filter((route) => route.index === peer.index);
  const writer = host.writer.reset();
  setGenModeNone(writer, peer.index);
  setLink(writer, peer.index, { name: veth.peer.name, mac: parseMac(veth.peer.mac), mtu: veth.mtu });
  setLink(writer, peer.index, { up: true });
  getLinkByIndex(writer, peer.index);
  expectNone(socket.request(writer));
  setAddresses(host, socket, peer.index, veth.peer.addresses);
  restoreRoutes(host, socket, routes);
};

const adjustEnd = (host: Host, index: number, master: number, veth: Veth): void => {
  setLink(host.writer.reset(), index, { up: true, master, mtu: veth.mtu, alias: formatTag(veth.tag) });
  expectNone(host.route.request(host.writer));
  host.fresh.add(index).add(master);
};

/** Brings a pair that is there into the wanted state; false when its peer is not in the namespace where it should be. */
const adjust = (transaction: Transaction, end: LinkRecord, veth: Veth, tag: Tag): boolean => {
  const { host } = transaction;
  const descriptor = openNamespace(veth.netns);
  if (typeof descriptor !== 'number') return false;
  try {
    return within(host, descriptor, (socket) => {
      const inside = readSnapshot(host, socket);
      const peer = peerOf(inside.links, end);
      if (peer === undefined) return false;
      const before = describeVeth(end, veth.bridge, veth.netns, peer, inside, tag);
      const master = bridgeIndex(host, veth.bridge);
      const routes = inside.routes.filter((route) => route.index === peer.index);
      const run = (): void => takeBack(host, end, before, routes);
      transaction.undo.push({ what: `restore veth ${veth.name}`, run });
      adjustEnd(host, end.index, master, veth);
      adjustPeer(host, socket, peer, veth);
      return true;
    });
  } finally {
    close(descriptor);
  }
};

/** Puts both ends of a pair back to how they were seen. */
const takeBack = (host: Host, end: LinkRecord, before: Veth, routes: readonly RouteRecord[]): void => {
  revive(host, end);
  const descriptor = openOrFail(before.netns);
  try {
    within(host, descriptor, (socket) => {
      const peer = peerOf(listLinks(socket, host.writer), end);
      if (peer === undefined) throw new KernelFailure('KERNEL_ERROR', `peer of ${end.name} is gone`, 'ENODEV');
      adjustEnd(host, end.index, end.master, before);
      adjustPeer(host, socket, peer, before);
      restoreRoutes(host, socket, routes);
    });
  } finally {
    close(descriptor);
  }
};

/** Makes a veth pair be as wanted. One that is there has to carry one of the tags. */
export const ensureVeth = (transaction: Transaction, veth: Veth, tags: readonly Tag[]): void => {
  const { host } = transaction;
  const end = readLink(host.route, host.writer, veth.name);
  if (end !== null && !isDead(host, end)) {
    if (end.kind !== 'veth' || ownership(end.alias, tags) !== 'own') {
      throw foreign(end.kind || 'interface', end.name, end.alias);
    }
    const tag = tags.find((candidate) => formatTag(candidate) === end.alias) ?? veth.tag;
    if (adjust(transaction, end, veth, tag)) return;
    transaction.undo.push({ what: `restore veth ${veth.name}`, run: () => revive(host, end) });
    buryVeth(transaction, end.index);
  }
  const dead = readLink(host.route, host.writer, veth.name);
  if (dead !== null) moveAside(host, dead);
  create(transaction, veth);
};

/** Frees the peer's name at once: in a namespace that lives on, the next interface may be called the same. */
const setPeerAside = (transaction: Transaction, end: LinkRecord, veth: Veth): void => {
  const { host } = transaction;
  const descriptor = openNamespace(veth.netns);
  if (typeof descriptor !== 'number') return;
  try {
    within(host, descriptor, (socket) => {
      const inside = readSnapshot(host, socket);
      const peer = peerOf(inside.links, end);
      if (peer === undefined) return;
      const before = describeVeth(end, veth.bridge, veth.netns, peer, inside, veth.tag);
      const routes = inside.routes.filter((route) => route.index === peer.index);
      transaction.undo.push({ what: `restore veth ${veth.name}`, run: () => takeBack(host, end, before, routes) });
      const writer = host.writer.reset();
      setLink(writer, peer.index, { up: false });
      setLink(writer, peer.index, { name: `cd${end.index.toString(36)}` });
      expectNone(socket.request(writer));
    });
  } finally {
    close(descriptor);
  }
};

/** The host ends that carry the tags of these veths; those that are gone, dead or another incarnation's are left out. */
export const ownEnds = (host: Host, veths: readonly Veth[], links: readonly (LinkRecord | null)[]): LinkRecord[] =>
  links.filter((link, at): link is LinkRecord => {
    const veth = veths[at];
    if (link === null || veth === undefined || isDead(host, link)) return false;
    const owner = ownership(link.alias, [veth.tag]);
    if (owner === 'foreign') throw foreign(link.kind || 'interface', link.name, link.alias);
    return owner === 'own';
  });

export const removeVeth = (transaction: Transaction, veth: Veth): void => {
  const { host } = transaction;
  const [end] = ownEnds(host, [veth], [readLink(host.route, host.writer, veth.name)]);
  if (end === undefined) return;
  transaction.undo.push({ what: `restore veth ${veth.name}`, run: () => revive(host, end) });
  buryVeth(transaction, end.index);
  setPeerAside(transaction, end, veth);
};
