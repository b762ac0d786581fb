/** Makes veth pairs into namespaces that are there already. */
import { formatTag, type Veth } from '../objects.ts';
import { formatMac, parseMac } from './address.ts';
import { announcementOf } from './announce.ts';
import { expectNone, KernelFailure, refused } from './failure.ts';
import { deathMark, type Host, isIndexTaken, readLink, readLinkAt, skipIndexes, takeIndex } from './host.ts';
import { close } from './libc.ts';
import type { NetlinkSocket, Refusal } from './netlink.ts';
import { enter, within } from './netns.ts';
import { buryVeth, freeName, openOrFail, setPeerAside } from './pair.ts';
import { encodeInner, innerOf } from './peer.ts';
import { plainPort, portFlags, samePort } from './port-flags.ts';
import { decodeLink } from './records.ts';
import { getLinkByIndex, newVeth, prepareLink, setLink, setPort } from './rtnetlink.ts';
import { holdNamespace } from './sandbox.ts';
import {
  freePorts,
  isDead,
  moveAside,
  revive,
  stillThere,
  type Transaction,
  undoing,
  unmaking,
} from './transaction.ts';

/** Index of the bridge that a veth is to be a port of. */
export const bridgeIndex = (host: Host, name: string): number => {
  const known = host.bridges.get(name);
  if (known !== undefined) return known;
  const link = readLink(host.route, host.writer, name);
  if (link === null || isDead(host, link)) throw new KernelFailure('KERNEL_ERROR', `no bridge ${name}`, 'ENODEV');
  host.bridges.set(name, link.index);
  return link.index;
};

/** As `bridgeIndex`, from the kernel: another bridge may have the name by now. */
export const freshBridgeIndex = (host: Host, name: string): number => {
  host.bridges.delete(name);
  return bridgeIndex(host, name);
};

interface Plugged {
  readonly refusals: readonly Refusal[];
  /** Index of the peer inside the namespace. */
  readonly peer: number;
}

const request = (host: Host): Plugged => {
  let peer = 0;
  const refusals = host.route.request(host.writer, (reader, message) => {
    peer = decodeLink(reader, message)?.peer ?? 0;
  });
  return { refusals, peer };
};

/** Messages that make a new host end a port of its bridge. */
export const encodePort = (host: Host, index: number, master: number, veth: Veth): void => {
  setLink(host.writer, index, { up: true, master });
  const flags = portFlags(veth, host.netfilter);
  if (!samePort(flags, plainPort)) setPort(host.writer, index, flags);
};

const attach = (host: Host, index: number, master: number, veth: Veth): void => {
  encodePort(host, index, master, veth);
  getLinkByIndex(host.writer, index);
};

const discard = (host: Host, index: number, veth: Veth): void => {
  const end = readLinkAt(host.route, host.writer, index);
  if (end === null) return;
  undoing(host, (transaction) => {
    buryVeth(transaction, index);
    setPeerAside(transaction, end, veth);
  });
};

/** The host's half of a new pair; answers the peer's index inside the namespace. */
const plug = (transaction: Transaction, veth: Veth, descriptor: number): number => {
  const { host } = transaction;
  const master = freshBridgeIndex(host, veth.bridge);
  const index = takeIndex(host);
  const peer = { index: 0, name: veth.peer.name, mac: parseMac(veth.peer.mac) };
  host.writer.reset();
  newVeth(host.writer, { index, name: veth.name, mtu: veth.mtu, peer, namespace: descriptor });
  prepareLink(host.writer, index, { quiet: host.ipv6, alias: formatTag(veth.tag) });
  attach(host, index, master, veth);
  const [alias, on] = [formatTag(veth.tag), { name: veth.bridge, index: master }];
  const asked = { index, name: veth.name, alias, on, inner: { name: veth.peer.name, netns: veth.netns } };
  const made = unmaking(transaction, `remove veth ${veth.name}`, asked, () => discard(host, index, veth));
  let plugged = request(host);
  if (plugged.refusals[0]?.index === 0) {
    if (!isIndexTaken(host, index, plugged.refusals[0])) throw refused(plugged.refusals[0]);
    skipIndexes(host);
    return plug(transaction, veth, descriptor);
  }
  if (plugged.refusals[0]?.errno === 'EXFULL' && freePorts(host, master)) {
    host.writer.reset();
    attach(host, index, master, veth);
    plugged = request(host);
  }
  if (plugged.refusals[0]?.errno === 'EXFULL') {
    throw new KernelFailure('BRIDGE_FULL', `bridge ${veth.bridge} has no free port`, 'EXFULL');
  }
  // One that cannot be found any more was made, and is gone.
  made.isThere = plugged.refusals.every(({ errno }) => errno === 'ENODEV');
  expectNone(plugged.refusals);
  host.fresh.add(index).add(master);
  return plugged.peer;
};

/**
 * What is left inside of this pair when somebody else has given its host end another name, or has taken it to another namespace: its place is for the
 * pair that is made instead. Whatever else has that name is not ours to move.
 */
const buryRest = (transaction: Transaction, socket: NetlinkSocket, veth: Veth): void => {
  const { host } = transaction;
  const rest = readLink(socket, host.writer, veth.peer.name);
  if (rest?.kind !== 'veth') return;
  const end = readLinkAt(host.route, host.writer, rest.peer);
  if (end?.kind === 'veth' && end.peer === rest.index) {
    if (end.alias !== formatTag(veth.tag)) return;
    transaction.undo.push({ what: `restore veth ${end.name}`, run: () => revive(host, end) });
    buryVeth(transaction, end.index);
  } else if (formatMac(rest.mac) === veth.peer.mac) {
    // With the end that is out of reach, once the reaper comes to it.
    setLink(host.writer.reset(), rest.index, { up: false, alias: deathMark(host) });
    expectNone(socket.request(host.writer).filter(stillThere));
    moveAside(host, rest, socket, takeIndex(host));
    const namespace = holdNamespace(veth.netns);
    if (namespace >= 0) transaction.reaps.push({ links: [], namespace, inside: [rest.index] });
  }
};

/** Makes a pair whose names are free on both sides, or held by dead pairs only, or by what was this pair. */
export const createVeth = (transaction: Transaction, veth: Veth): void => {
  const { host } = transaction;
  const dead = readLink(host.route, host.writer, veth.name);
  if (dead !== null) moveAside(host, dead);
  const descriptor = openOrFail(veth.netns);
  try {
    within(host, descriptor, (socket) => {
      buryRest(transaction, socket, veth);
      freeName(host, socket, veth.peer.name, veth.netns);
      const index = plug(transaction, veth, descriptor);
      encodeInner(host, socket, [innerOf(index, veth)], () => enter(host, descriptor));
      getLinkByIndex(host.writer, index);
      expectNone(socket.request(host.writer));
      transaction.announcements.push(announcementOf(veth));
    });
  } finally {
    close(descriptor);
  }
};
