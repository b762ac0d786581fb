/** Veth pairs one by one: with a look at what is there before anything is done. */
import { formatTag, type Tag, type Veth } from '../objects.ts';
import { announcementOf } from './announce.ts';
import { foreign, ownership } from './failure.ts';
import { type Host, readLink } from './host.ts';
import { readSnapshot } from './inside.ts';
import { close } from './libc.ts';
import { openNamespace, within } from './netns.ts';
import { adjustEnd, adjustPeer, buryVeth, describeVeth, peerOf, setPeerAside, takeBack } from './pair.ts';
import { createVeth, freshBridgeIndex } from './plug.ts';
import type { LinkRecord } from './records.ts';
import { isDead, revive, type Transaction } from './transaction.ts';

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
      const before = describeVeth(host, end, veth.bridge, veth.netns, peer, inside, tag);
      const master = freshBridgeIndex(host, veth.bridge);
      const routes = inside.routes.filter((route) => route.index === peer.index);
      const run = (): void => takeBack(host, end, before, routes);
      transaction.undo.push({ what: `restore veth ${veth.name}`, run });
      adjustEnd(host, end.index, master, veth);
      adjustPeer(host, socket, peer, veth);
      transaction.announcements.push(announcementOf(veth));
      return true;
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
  createVeth(transaction, veth);
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
