/**
 * A link that leads nowhere, for networks without a parent: a veth pair with both ends in the host's namespace, both up, so that what
 * stands on it has a carrier. A dummy would do as well, and is not in every kernel.
 */
import { formatTag, type Stub, type Tag } from '../objects.ts';
import { expectNone, foreign, KernelFailure, ownership } from './failure.ts';
import { freeIndex, type Host, readLink, readLinkAt } from './host.ts';
import type { LinkRecord } from './records.ts';
import { newVeth, prepareLink, setLink } from './rtnetlink.ts';
import { isDead, moveAside, revive, silence, type Transaction, undoing, unmaking } from './transaction.ts';

const farPrefix = 'cq';

/** `cq0123456789ab` for `cp0123456789ab`. */
const farName = (name: string): string => `${farPrefix}${name.slice(farPrefix.length)}`;

/**
 * The stub that a link is an end of, when it is the end with its name; `links` are all of the host's. One that is down at either end
 * carries nothing: shown without an MTU, it is repaired.
 */
export const describeStub = (link: LinkRecord, links: readonly LinkRecord[], tag: Tag): readonly Stub[] => {
  if (link.name.startsWith(farPrefix)) return [];
  const far = links.find(({ index }) => index === link.peer);
  const isWhole = link.up && far?.up === true && far.mtu === link.mtu;
  return [{ kind: 'stub', name: link.name, mtu: isWhole ? link.mtu : 0, tag }];
};

/** Locally administered, and different for every link of a host. */
const macOf = (index: number): Uint8Array =>
  Uint8Array.of(2, 0x42, (index >>> 24) & 255, (index >>> 16) & 255, (index >>> 8) & 255, index & 255);

const bury = (transaction: Transaction, links: readonly number[]): void => {
  silence(transaction.host, links);
  transaction.reaps.push({ links, namespace: -1 });
};

/** In the batch that makes it: one without an alias would be nobody's. */
const encodeAdjust = (host: Host, links: readonly number[], { mtu, tag }: Pick<Stub, 'mtu' | 'tag'>): void => {
  const { writer } = host;
  for (const index of links) prepareLink(writer, index, { quiet: host.ipv6, alias: formatTag(tag) });
  for (const index of links) setLink(writer, index, { up: true, mtu });
};

const adjust = (host: Host, links: readonly number[], stub: Stub): void => {
  host.writer.reset();
  encodeAdjust(host, links, stub);
  expectNone(host.route.request(host.writer));
};

const make = (transaction: Transaction, stub: Stub): void => {
  const { host } = transaction;
  const [index, far] = [freeIndex(host, host.route), freeIndex(host, host.route)];
  const peer = { index: far, name: farName(stub.name), mac: macOf(far) };
  const unmake = (): void => undoing(host, (inner) => bury(inner, [index, far]));
  unmaking(transaction, `remove stub ${stub.name}`, { index, name: stub.name, alias: formatTag(stub.tag) }, unmake);
  newVeth(host.writer.reset(), { index, name: stub.name, mtu: stub.mtu, peer });
  encodeAdjust(host, [index, far], stub);
  expectNone(host.route.request(host.writer));
};

/** Makes a stub be as wanted. One that is there has to carry one of the tags. */
export const ensureStub = (transaction: Transaction, stub: Stub, tags: readonly Tag[]): void => {
  const { host } = transaction;
  for (const name of [stub.name, farName(stub.name)]) {
    const link = readLink(host.route, host.writer, name);
    if (link === null) continue;
    if (isDead(host, link)) moveAside(host, link);
    else if (link.kind !== 'veth' || ownership(link.alias, tags) !== 'own')
      throw foreign(link.kind || 'interface', name, link.alias);
  }
  const link = readLink(host.route, host.writer, stub.name);
  if (link === null) {
    make(transaction, stub);
    return;
  }
  const far = readLinkAt(host.route, host.writer, link.peer);
  if (far === null) throw new KernelFailure('KERNEL_ERROR', `other end of ${stub.name} is gone`, 'ENODEV');
  const run = (): void => {
    const writer = host.writer.reset();
    for (const end of [link, far]) setLink(writer, end.index, { up: end.up, mtu: end.mtu, alias: end.alias });
    expectNone(host.route.request(writer));
  };
  transaction.undo.push({ what: `restore stub ${stub.name}`, run });
  adjust(host, [link.index, far.index], stub);
};

export const removeStub = (transaction: Transaction, stub: Stub): void => {
  const { host } = transaction;
  const link = readLink(host.route, host.writer, stub.name);
  if (link === null || isDead(host, link)) return;
  const owner = ownership(link.alias, [stub.tag]);
  if (owner === 'foreign') throw foreign(link.kind || 'interface', link.name, link.alias);
  if (owner === 'other') return;
  const far = readLinkAt(host.route, host.writer, link.peer);
  const ends = far === null ? [link] : [link, far];
  const run = (): void => {
    for (const end of ends) revive(host, end);
  };
  transaction.undo.push({ what: `restore stub ${stub.name}`, run });
  bury(
    transaction,
    ends.map(({ index }) => index),
  );
};
