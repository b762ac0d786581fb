/** 802.1q sub-interfaces of the host's links, made for networks. A name says which one it is, so they outlive no network twice. */
import { formatTag, type Tag, type Vlan } from '../objects.ts';
import { requireParent } from './birth.ts';
import { expectNone, foreign, KernelFailure, ownership } from './failure.ts';
import { freeIndex, type Host, readLink } from './host.ts';
import type { Refusal } from './netlink.ts';
import type { LinkRecord } from './records.ts';
import { deleteLink, prepareLink, setLink } from './rtnetlink.ts';
import { newSublink } from './sublink.ts';
import { isDead, revive, silence, stillThere, type Transaction, undoing, unmaking } from './transaction.ts';

/** A vlan as it is; `names` are those of the host's links, by index. */
export const describeVlan = (link: LinkRecord, names: ReadonlyMap<number, string>, tag: Tag): Vlan => ({
  kind: 'vlan',
  name: link.name,
  parent: names.get(link.peer) ?? '',
  id: link.sublink.vlan,
  tag,
});

/** Comes up with its parent, when that does (vlan_device_event). */
const parentIsDown = ({ errno }: Refusal): boolean => errno === 'ENETDOWN';

const bury = (transaction: Transaction, index: number): void => {
  silence(transaction.host, [index]);
  transaction.reaps.push({ links: [index], namespace: -1 });
};

const setUp = (host: Host, index: number): void => {
  setLink(host.writer.reset(), index, { up: true });
  expectNone(host.route.request(host.writer).filter((refusal) => !parentIsDown(refusal)));
};

const make = (transaction: Transaction, vlan: Vlan): void => {
  const { host } = transaction;
  const parent = requireParent(host, vlan.parent);
  const index = freeIndex(host, host.route);
  const writer = host.writer.reset();
  newSublink(writer, { index, name: vlan.name, parent: parent.index }, { kind: 'vlan', id: vlan.id });
  // Behind it at once: one without an alias would be nobody's.
  prepareLink(writer, index, { quiet: host.ipv6, alias: formatTag(vlan.tag) });
  const unmake = (): void => undoing(host, (inner) => bury(inner, index));
  unmaking(transaction, `remove vlan ${vlan.name}`, { index, name: vlan.name, alias: formatTag(vlan.tag) }, unmake);
  expectNone(host.route.request(writer));
  setUp(host, index);
};

/** A parent has a number once: a dead one that has it must be gone first. The reaper may be quicker. */
const clear = (host: Host, { index }: LinkRecord): void => {
  deleteLink(host.writer.reset(), index);
  expectNone(host.route.request(host.writer).filter(stillThere));
};

/** Takes over one that is there. Several networks may want it: whichever comes last has its tag on it. */
const takeOver = (transaction: Transaction, link: LinkRecord, vlan: Vlan): void => {
  const { host } = transaction;
  const parent = requireParent(host, vlan.parent);
  if (link.peer !== parent.index || link.kind !== 'vlan' || link.sublink.vlan !== vlan.id) {
    throw new KernelFailure('KERNEL_ERROR', `vlan ${vlan.name} is there with another number or parent`, 'EEXIST');
  }
  const run = (): void => revive(host, link);
  transaction.undo.push({ what: `restore vlan ${vlan.name}`, run });
  prepareLink(host.writer.reset(), link.index, { quiet: host.ipv6, alias: formatTag(vlan.tag) });
  expectNone(host.route.request(host.writer));
  setUp(host, link.index);
};

/** Makes a vlan be there. One that is there has to be ours, whichever network's. */
export const ensureVlan = (transaction: Transaction, vlan: Vlan, tags: readonly Tag[]): void => {
  const { host } = transaction;
  const link = readLink(host.route, host.writer, vlan.name);
  if (link !== null && !isDead(host, link)) {
    if (ownership(link.alias, tags) === 'foreign') throw foreign(link.kind || 'interface', link.name, link.alias);
    takeOver(transaction, link, vlan);
    return;
  }
  if (link !== null) clear(host, link);
  make(transaction, vlan);
};

/** Another network's stays. */
export const removeVlan = (transaction: Transaction, vlan: Vlan): void => {
  const { host } = transaction;
  const link = readLink(host.route, host.writer, vlan.name);
  if (link === null || isDead(host, link) || ownership(link.alias, [vlan.tag]) === 'other') return;
  if (ownership(link.alias, [vlan.tag]) === 'foreign') throw foreign(link.kind || 'interface', link.name, link.alias);
  transaction.undo.push({ what: `restore vlan ${vlan.name}`, run: () => revive(host, link) });
  bury(transaction, link.index);
};
