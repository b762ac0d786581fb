/** The two ends of veth pairs that are there: found, described, changed, and put aside. */
import { formatTag, type Tag, type Veth } from '../objects.ts';
import { formatMac, parseMac } from './address.ts';
import { expectNone, foreign, KernelFailure } from './failure.ts';
import { type Host, listLinks, readLink, readLinkAt } from './host.ts';
import { addressesOf, listRoutes, readSnapshot, type Snapshot, setAddresses } from './inside.ts';
import { close } from './libc.ts';
import type { NetlinkSocket } from './netlink.ts';
import { openNamespace, within } from './netns.ts';
import { isQuiet } from './peer.ts';
import { isolationOf, portFlags } from './port-flags.ts';
import type { LinkRecord, RouteRecord } from './records.ts';
import { restoreRoutes } from './route.ts';
import { getLinkByIndex, prepareLink, setLink, setPort } from './rtnetlink.ts';
import { isDead, moveAside, revive, silence, type Transaction } from './transaction.ts';

export const openOrFail = (path: string): number => {
  const found = openNamespace(path);
  if (typeof found === 'number') return found;
  throw new KernelFailure('NETNS_UNUSABLE', found === 'absent' ? `no file ${path}` : `${path} is no network namespace`);
};

export const buryVeth = (transaction: Transaction, index: number): void => {
  silence(transaction.host, [index]);
  transaction.reaps.push({ links: [index], namespace: -1 });
};

/** The peer of a host end among the links of a namespace: each end names the other's index. */
export const peerOf = (links: readonly LinkRecord[], hostEnd: LinkRecord): LinkRecord | undefined =>
  links.find((link) => link.kind === 'veth' && link.index === hostEnd.peer && link.peer === hostEnd.index);

const isPairOf = (end: LinkRecord, peer: LinkRecord): boolean => end.kind === 'veth' && end.peer === peer.index;

/** Frees the name of an interface to be inside a namespace, when only something that waits for the reaper has it. */
export const freeName = (host: Host, socket: NetlinkSocket, name: string, netns: string): void => {
  const holder = readLink(socket, host.writer, name);
  if (holder === null) return;
  if (isDead(host, holder)) {
    moveAside(host, holder, socket);
    return;
  }
  const end = holder.kind === 'veth' ? readLinkAt(host.route, host.writer, holder.peer) : null;
  if (end === null || !isPairOf(end, holder) || !isDead(host, end)) {
    throw foreign(holder.kind || 'interface', `${holder.name} in ${netns}`, holder.alias);
  }
  moveAside(host, holder, socket, end.index);
};

/** A veth as it is. */
export const describeVeth = (
  host: Host,
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
  isolated: isolationOf(end.port, host.netfilter) ?? false,
  birth: { sysctls: {} },
  tag,
});

export const adjustPeer = (host: Host, socket: NetlinkSocket, peer: LinkRecord, veth: Veth): void => {
  const routes = listRoutes(socket, host.writer).filter((route) => route.index === peer.index);
  const writer = host.writer.reset();
  const mac = parseMac(veth.peer.mac);
  prepareLink(writer, peer.index, { quiet: isQuiet(host, veth.birth) });
  // A hardware address that is given again makes the kernel forget all neighbours (arp_netdev_event).
  const changed = formatMac(mac) === formatMac(peer.mac) ? {} : { mac };
  setLink(writer, peer.index, { name: veth.peer.name, mtu: veth.mtu, ...changed });
  setLink(writer, peer.index, { up: true });
  getLinkByIndex(writer, peer.index);
  expectNone(socket.request(writer));
  setAddresses(host, socket, peer.index, veth.peer.addresses);
  restoreRoutes(host, socket, routes);
};

export const adjustEnd = (host: Host, index: number, master: number, veth: Veth): void => {
  setLink(host.writer.reset(), index, { up: true, master, mtu: veth.mtu, alias: formatTag(veth.tag) });
  setPort(host.writer, index, portFlags(veth, host.netfilter));
  expectNone(host.route.request(host.writer));
  host.fresh.add(index).add(master);
};

/** Puts both ends of a pair back to how they were seen. */
export const takeBack = (host: Host, end: LinkRecord, before: Veth, routes: readonly RouteRecord[]): void => {
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

/** Frees the peer's name at once: in a namespace that lives on, the next interface may be called the same. */
export const setPeerAside = (transaction: Transaction, end: LinkRecord, veth: Veth): void => {
  const { host } = transaction;
  const descriptor = openNamespace(veth.netns);
  if (typeof descriptor !== 'number') return;
  try {
    within(host, descriptor, (socket) => {
      const inside = readSnapshot(host, socket);
      const peer = peerOf(inside.links, end);
      if (peer === undefined) return;
      const before = describeVeth(host, end, veth.bridge, veth.netns, peer, inside, veth.tag);
      const routes = inside.routes.filter((route) => route.index === peer.index);
      transaction.undo.push({ what: `restore veth ${veth.name}`, run: () => takeBack(host, end, before, routes) });
      moveAside(host, peer, socket, end.index);
    });
  } finally {
    close(descriptor);
  }
};
