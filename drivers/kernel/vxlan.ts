/** Tunnels in the host's namespace. A kernel has one for each segment and port, wherever it is now: what is in the way is looked for. */
import { encryptedPort, formatTag, type Tag, type Vxlan } from '../objects.ts';
import { parseAddress } from './address.ts';
import { guard } from './associations.ts';
import { expectNone, foreign, KernelFailure, ownership, refused } from './failure.ts';
import { type Host, isIndexTaken, listLinks, readLink, readLinkAt, skipIndexes, takeIndex } from './host.ts';
import type { Refusal } from './netlink.ts';
import { restorePeers } from './peers.ts';
import { freshBridgeIndex } from './plug.ts';
import type { LinkRecord } from './records.ts';
import { deleteLink, prepareLink, setLink, setPort } from './rtnetlink.ts';
import { freePorts, isDead, moveAside, revive, silence, type Transaction, undoing, unmaking } from './transaction.ts';
import { newVxlan } from './vxlan-link.ts';
import { isAsWanted, isSameTunnel, observe, tunnelPort } from './vxlan-state.ts';

/** Deletes a link here and now, which takes 16 to 35 ms. A reaper may have been there first. */
const deleteNow = (host: Host, index: number): void => {
  deleteLink(host.writer.reset(), index);
  expectNone(host.route.request(host.writer).filter(({ errno }) => errno !== 'ENODEV'));
};

const bury = (transaction: Transaction, index: number): void => {
  silence(transaction.host, [index]);
  transaction.reaps.push({ links: [index], namespace: -1 });
};

/** Messages that make it a port of its bridge, and bring it up. */
const encodePort = (host: Host, index: number, master: number, vxlan: Vxlan): void => {
  setLink(host.writer, index, { master, mtu: vxlan.mtu });
  setPort(host.writer, index, tunnelPort);
  setLink(host.writer, index, { up: true });
};

/** Sends them behind those that `encode` writes; frees a place on a bridge that is full of dead ports. */
const attach = (host: Host, index: number, vxlan: Vxlan, encode: () => void): readonly Refusal[] => {
  const master = freshBridgeIndex(host, vxlan.bridge);
  host.fresh.add(index).add(master);
  host.writer.reset();
  encode();
  encodePort(host, index, master, vxlan);
  const refusals = host.route.request(host.writer);
  if (refusals[0]?.errno !== 'EXFULL' || !freePorts(host, master)) return refusals;
  host.writer.reset();
  encodePort(host, index, master, vxlan);
  return host.route.request(host.writer);
};

const explained = (refusal: Refusal, vxlan: Vxlan): KernelFailure => {
  if (refusal.errno === 'EXFULL') {
    return new KernelFailure('BRIDGE_FULL', `bridge ${vxlan.bridge} has no free port`, refusal.errno);
  }
  if (refusal.errno === 'EADDRINUSE') {
    const text = `UDP port ${vxlan.port} is a program's, or a tunnel's of another form`;
    return new KernelFailure('PORT_IN_USE', text, refusal.errno);
  }
  return refused(refusal);
};

/** The tunnels that have the segment at the port, as far as they are in this namespace. */
const rivalsOf = (host: Host, { vni, port }: Vxlan): readonly LinkRecord[] =>
  listLinks(host.route, host.writer).filter(({ tunnel }) => tunnel?.vni === vni && tunnel.port === port);

/**
 * Removes what is in the way where it is a left-over of ours. That nothing is to be seen may be a reaper's doing, unless it is so for the
 * `last` time. @throws KernelFailure FOREIGN_OBJECT, naming what is not ours
 */
const clearTheWay = (transaction: Transaction, vxlan: Vxlan, last: boolean): void => {
  const { host } = transaction;
  const rivals = rivalsOf(host, vxlan);
  const segment = `VNI ${vxlan.vni} at port ${vxlan.port}`;
  if (rivals.length === 0 && last) {
    throw new KernelFailure('FOREIGN_OBJECT', `a vxlan device in another namespace has ${segment}`, 'EEXIST');
  }
  for (const rival of rivals) {
    if (!isDead(host, rival) && ownership(rival.alias, [vxlan.tag]) === 'foreign') {
      const text = `vxlan ${rival.name} (index ${rival.index}) has ${segment}`;
      throw new KernelFailure('FOREIGN_OBJECT', text, 'EEXIST');
    }
  }
  for (const rival of rivals) replaceable(transaction, rival);
};

/** Deletes a tunnel of ours; where it was alive, undoing makes one like it. */
const replaceable = (transaction: Transaction, link: LinkRecord): void => {
  const { host } = transaction;
  if (!isDead(host, link)) {
    const master = link.master === 0 ? null : readLinkAt(host.route, host.writer, link.master);
    const before = observe(link, master?.name ?? '');
    // Without a bridge it led nowhere, and is not missed.
    if (master !== null) {
      const run = (): void => {
        undoing(host, (inner) => create(inner, before.vxlan, before.alias));
        restorePeers(host, link.name);
      };
      transaction.undo.push({ what: `restore vxlan ${link.name}`, run });
    }
  }
  deleteNow(host, link.index);
};

/** How often something may be found in the way of a new tunnel. */
const obstaclesMax = 2;

/** Makes a tunnel whose name is free. */
const create = (transaction: Transaction, vxlan: Vxlan, alias: string, obstacles = 0): void => {
  const { host } = transaction;
  if (vxlan.port === encryptedPort) guard(host);
  const index = takeIndex(host);
  const link = { ...vxlan, index, local: parseAddress(vxlan.local) };
  const unmake = (): void => undoing(host, (inner) => bury(inner, index));
  unmaking(transaction, `remove vxlan ${vxlan.name}`, { index, name: vxlan.name, alias }, unmake);
  const refusals = attach(host, index, vxlan, () => {
    newVxlan(host.writer, link);
    prepareLink(host.writer, index, { quiet: host.ipv6, alias });
  });
  const [first] = refusals;
  if (first?.index === 0 && isIndexTaken(host, index, first)) {
    skipIndexes(host);
    create(transaction, vxlan, alias, obstacles);
  } else if (first?.index === 0 && first.errno === 'EEXIST' && obstacles < obstaclesMax) {
    clearTheWay(transaction, vxlan, obstacles === obstaclesMax - 1);
    create(transaction, vxlan, alias, obstacles + 1);
  } else if (first) throw explained(first, vxlan);
};

const adjust = (host: Host, index: number, vxlan: Vxlan, alias: string): void => {
  const [first] = attach(host, index, vxlan, () => setLink(host.writer, index, { alias }));
  if (first) throw explained(first, vxlan);
};

/** Makes a vxlan be as wanted. One that is there has to carry one of the tags. */
export const ensureVxlan = (transaction: Transaction, vxlan: Vxlan, tags: readonly Tag[]): void => {
  const { host } = transaction;
  const link = readLink(host.route, host.writer, vxlan.name);
  const alias = formatTag(vxlan.tag);
  if (link !== null && isDead(host, link)) {
    // It has the segment, most likely: to leave it to the reaper is no help.
    if (link.kind === 'vxlan') deleteNow(host, link.index);
    else moveAside(host, link);
  } else if (link !== null) {
    if (link.kind !== 'vxlan' || ownership(link.alias, tags) !== 'own') {
      throw foreign(link.kind || 'interface', link.name, link.alias);
    }
    if (isAsWanted(host, link, vxlan)) return;
    if (isSameTunnel(link, vxlan)) {
      transaction.undo.push({ what: `restore vxlan ${vxlan.name}`, run: () => putBack(host, link) });
      adjust(host, link.index, vxlan, alias);
      return;
    }
    replaceable(transaction, link);
  }
  create(transaction, vxlan, alias);
  // One that is made anew in its place is told what it was told.
  restorePeers(host, vxlan.name);
};

/** Puts a tunnel back to how it was seen. */
const putBack = (host: Host, link: LinkRecord): void => {
  revive(host, link);
  setLink(host.writer.reset(), link.index, { mtu: link.mtu });
  expectNone(host.route.request(host.writer));
  host.fresh.add(link.index).add(link.master);
};

export const removeVxlan = (transaction: Transaction, vxlan: Vxlan): void => {
  const { host } = transaction;
  buryLink(transaction, vxlan);
  // Last, so that undoing begins with it. A later plan of the same batch may make another tunnel under the name.
  const table = host.tunnels.get(vxlan.name);
  if (table === undefined) return;
  host.tunnels.delete(vxlan.name);
  const run = (): void => void host.tunnels.set(vxlan.name, table);
  transaction.undo.push({ what: `keep in mind the peers of ${vxlan.name}`, run });
};

const buryLink = (transaction: Transaction, vxlan: Vxlan): void => {
  const { host } = transaction;
  const link = readLink(host.route, host.writer, vxlan.name);
  if (link === null || isDead(host, link)) return;
  const owner = ownership(link.alias, [vxlan.tag]);
  if (owner === 'foreign') throw foreign(link.kind || 'interface', link.name, link.alias);
  if (owner === 'other') return;
  const run = (): void => {
    // What the plan made afterwards may have needed its segment.
    if (readLinkAt(host.route, host.writer, link.index) !== null) putBack(host, link);
    else undoing(host, (inner) => create(inner, observe(link, vxlan.bridge).vxlan, link.alias));
    // What was down has lost its neighbours.
    restorePeers(host, vxlan.name);
  };
  transaction.undo.push({ what: `restore vxlan ${vxlan.name}`, run });
  bury(transaction, link.index);
};
