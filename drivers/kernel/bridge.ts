/** Bridges in the host's namespace. */
import { type Bridge, type Cidr, formatTag, type Tag } from '../objects.ts';
import { formatMac, parseMac } from './address.ts';
import { expectNone, foreign, ownership } from './failure.ts';
import { ensureForwarding, refuseAdvertisements } from './forwarding.ts';
import { type Host, isIndexTaken, readLink, skipIndexes, takeIndex } from './host.ts';
import { addressEntry, gatewaysOf, linkLocal, listAddresses, setAddresses } from './inside.ts';
import type { LinkRecord } from './records.ts';
import { newAddress, newBridge, prepareLink, setLink, setRouted } from './rtnetlink.ts';
import { isDead, moveAside, revive, silence, type Transaction, undoing, unmaking } from './transaction.ts';

const bury = (transaction: Transaction, name: string, index: number): void => {
  silence(transaction.host, [index]);
  transaction.host.bridges.delete(name);
  transaction.host.announcer.forget(name);
  transaction.reaps.push({ links: [index], namespace: -1 });
};

const withLinkLocal = (addresses: readonly Cidr[]): readonly Cidr[] =>
  addresses.some((cidr) => cidr.includes(':')) ? [...addresses, linkLocal] : addresses;

const create = (transaction: Transaction, bridge: Bridge): void => {
  const { host } = transaction;
  const index = takeIndex(host);
  const writer = host.writer.reset();
  // A bridge follows the MTU of its ports until its own is changed (br_change_mtu): so it is made with another one.
  const otherMtu = bridge.mtu < 65535 ? bridge.mtu + 1 : bridge.mtu - 1;
  newBridge(writer, { index, name: bridge.name, mac: parseMac(bridge.mac), mtu: otherMtu });
  prepareLink(writer, index, { quiet: host.ipv6, alias: formatTag(bridge.tag) });
  setRouted(writer, index, { forwarding: bridge.routed, routeLocalnet: bridge.routed });
  setLink(writer, index, { up: true, mtu: bridge.mtu });
  for (const cidr of withLinkLocal(bridge.addresses)) newAddress(writer, addressEntry(index, cidr));
  const unmake = (): void => undoing(host, (inner) => bury(inner, bridge.name, index));
  const asked = { index, name: bridge.name, alias: formatTag(bridge.tag) };
  const made = unmaking(transaction, `remove bridge ${bridge.name}`, asked, unmake);
  const refusals = host.route.request(writer);
  if (refusals[0]?.index === 0 && isIndexTaken(host, index, refusals[0])) {
    skipIndexes(host);
    create(transaction, bridge);
    return;
  }
  made.isThere = refusals[0]?.index !== 0 && refusals.every(({ errno }) => errno === 'ENODEV');
  expectNone(refusals);
  host.bridges.set(bridge.name, index);
  host.announcer.begin(bridge.name);
  refuseAdvertisements(host, bridge.name);
};

/** A bridge as it is. */
const observe = (host: Host, link: LinkRecord, tag: Tag): Bridge => ({
  kind: 'bridge',
  name: link.name,
  mac: formatMac(link.mac),
  mtu: link.mtu,
  addresses: gatewaysOf(listAddresses(host.route, host.writer), link.index),
  routed: link.routeLocalnet,
  tag,
});

const adjust = (host: Host, index: number, bridge: Bridge): void => {
  const { mtu, mac, tag, routed } = bridge;
  setLink(host.writer.reset(), index, { up: true, mtu, mac: parseMac(mac), alias: formatTag(tag) });
  setRouted(host.writer, index, { forwarding: routed, routeLocalnet: routed });
  expectNone(host.route.request(host.writer));
  setAddresses(host, host.route, index, withLinkLocal(bridge.addresses));
  refuseAdvertisements(host, bridge.name);
  host.bridges.set(bridge.name, index);
};

/** One without addresses, which every join of an overlay looks at. Others have more to them than is observed. */
const isAsWanted = (link: LinkRecord, observed: Bridge, wanted: Bridge): boolean =>
  wanted.addresses.length + observed.addresses.length === 0 &&
  !wanted.routed &&
  !observed.routed &&
  link.up &&
  link.alias === formatTag(wanted.tag) &&
  observed.mac === wanted.mac &&
  observed.mtu === wanted.mtu;

/** Makes a bridge be as wanted. One that is there has to carry one of the tags. */
export const ensureBridge = (transaction: Transaction, bridge: Bridge, tags: readonly Tag[]): void => {
  const { host } = transaction;
  const link = readLink(host.route, host.writer, bridge.name);
  ensureForwarding(transaction, bridge);
  if (link !== null && !isDead(host, link)) {
    if (link.kind !== 'bridge' || ownership(link.alias, tags) !== 'own') {
      throw foreign(link.kind || 'interface', link.name, link.alias);
    }
    const before = observe(host, link, tags.find((tag) => formatTag(tag) === link.alias) ?? bridge.tag);
    if (isAsWanted(link, before, bridge)) {
      host.bridges.set(bridge.name, link.index);
      refuseAdvertisements(host, bridge.name);
      return;
    }
    transaction.undo.push({ what: `restore bridge ${bridge.name}`, run: () => adjust(host, link.index, before) });
    adjust(host, link.index, bridge);
    return;
  }
  if (link !== null) moveAside(host, link);
  create(transaction, bridge);
};

export const removeBridge = (transaction: Transaction, bridge: Bridge): void => {
  const { host } = transaction;
  const link = readLink(host.route, host.writer, bridge.name);
  if (link === null || isDead(host, link)) return;
  const owner = ownership(link.alias, [bridge.tag]);
  if (owner === 'foreign') throw foreign(link.kind || 'interface', link.name, link.alias);
  // Another incarnation has taken the name: the one meant is gone.
  if (owner === 'other') return;
  const before = observe(host, link, bridge.tag);
  const run = (): void => {
    revive(host, link);
    adjust(host, link.index, before);
  };
  transaction.undo.push({ what: `restore bridge ${bridge.name}`, run });
  bury(transaction, bridge.name, link.index);
};
