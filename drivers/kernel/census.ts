/** What of ours is there: links by their alias, namespaces by their record, elements by their comment. */
import { type KernelObject, type Netns, parseTag, type Route, type Tag, type Veth } from '../objects.ts';
import type { Census } from '../port.ts';
import { formatAddress, formatCidr, formatMac } from './address.ts';
import { describeFailure } from './failure.ts';
import { goHome, type Host, listLinks } from './host.ts';
import { addressesOf, listAddresses, readSnapshot, type Snapshot } from './inside.ts';
import { close } from './libc.ts';
import { exists, listRecords, openNamespace, removeRecord, unpin, within } from './netns.ts';
import { describeVeth, peerOf } from './pair.ts';
import type { LinkRecord } from './records.ts';
import { entityOf } from './route.ts';
import type { Table } from './table.ts';
import { isDead } from './transaction.ts';

interface Findings {
  readonly objects: KernelObject[];
  readonly unknown: { readonly what: string; readonly reason: string }[];
}

interface OwnLink {
  readonly link: LinkRecord;
  readonly tag: Tag;
}

/** The inside of a namespace of ours, or `null` when it could not be read. */
interface Inside {
  readonly netns: Netns;
  readonly snapshot: Snapshot | null;
}

/** Reads something; when it cannot be read, all that it would have told of is unknown. */
const attempt = <T>(findings: Findings, unknown: readonly string[], read: () => T): T | null => {
  try {
    return read();
  } catch (error) {
    const reason = describeFailure(error);
    findings.unknown.push(...unknown.map((what) => ({ what, reason })));
    return null;
  }
};

const ownTag = (host: Host, label: string): Tag | null => {
  const tag = parseTag(label);
  return tag && tag.realm === host.realm && tag.host === host.host ? tag : null;
};

/** Beginnings of keys (`objectKey`), for when nothing of a kind could be read. */
const kinds = { netns: 'netns ', route: 'route ', link: 'link ', element: 'element ' } as const;

/** Links of this realm and host, apart from those that only wait for the reaper. */
export const ownLinks = (host: Host, links: readonly LinkRecord[]): readonly OwnLink[] =>
  links.flatMap((link) => {
    const tag = isDead(host, link) ? null : ownTag(host, link.alias);
    return tag ? [{ link, tag }] : [];
  });

/** What is left of a namespace that was being made or removed when the process ended. */
const clearRemains = (host: Host, netns: Netns): void => {
  if (netns.owned && exists(netns.path)) unpin(netns.path);
  removeRecord(host, netns.path);
};

const readNamespace = (host: Host, netns: Netns): Snapshot | 'absent' => {
  const descriptor = openNamespace(netns.path);
  if (typeof descriptor !== 'number') return 'absent';
  try {
    return within(host, descriptor, (socket) => readSnapshot(host, socket));
  } finally {
    close(descriptor);
  }
};

const readInsides = (host: Host, findings: Findings, records: readonly Netns[]): readonly Inside[] =>
  records.flatMap((netns) => {
    // The path stands in the keys of all that is inside.
    const snapshot = attempt(findings, [netns.path], () => readNamespace(host, netns));
    if (snapshot === 'absent') {
      attempt(findings, [netns.path], () => clearRemains(host, netns));
      return [];
    }
    if (snapshot !== null) findings.objects.push(netns);
    return [{ netns, snapshot }];
  });

/** A bridge that is down is as good as one without addresses: shown so, it is repaired. */
const describeBridge = ({ link, tag }: OwnLink, addresses: Snapshot['addresses']): KernelObject => ({
  kind: 'bridge',
  name: link.name,
  mac: formatMac(link.mac),
  mtu: link.mtu,
  addresses: link.up ? addressesOf(addresses, link.index) : [],
  tag,
});

/** A host end whose peer is in none of our namespaces: a leftover, to be deleted or made anew. */
const describeLoose = ({ link, tag }: OwnLink, bridge: string): Veth => ({
  kind: 'veth',
  name: link.name,
  bridge,
  mtu: link.mtu,
  netns: '',
  peer: { name: '', mac: '', addresses: [] },
  tag,
});

/** Our routes over one interface. Their tag is that of the endpoint or the sandbox, by their protocol number. */
const describeRoutes = ({ netns, snapshot }: Inside, peer: LinkRecord, endpoint: Tag): readonly Route[] =>
  (snapshot?.routes ?? []).flatMap((record) => {
    const entity = entityOf(record.protocol);
    if (entity === undefined || record.index !== peer.index || record.gateway.length === 0) return [];
    return [
      {
        kind: 'route',
        netns: netns.path,
        destination: formatCidr({ address: record.destination, length: record.length }),
        gateway: formatAddress(record.gateway),
        device: peer.name,
        tag: entity === 'sandbox' ? netns.tag : endpoint,
      },
    ];
  });

/** A veth that is down at either end does not forward: shown as one without bridge or addresses, it is repaired. */
const describePair = (own: OwnLink, bridge: string, inside: Inside, peer: LinkRecord): Veth => {
  const { link, tag } = own;
  const snapshot = peer.up && inside.snapshot ? inside.snapshot : { addresses: [] };
  return describeVeth(link, link.up ? bridge : '', inside.netns.path, peer, snapshot, tag);
};

const addVeth = (findings: Findings, own: OwnLink, bridge: string, insides: readonly Inside[]): void => {
  for (const inside of insides) {
    const peer = peerOf(inside.snapshot?.links ?? [], own.link);
    if (peer === undefined) continue;
    findings.objects.push(describePair(own, bridge, inside, peer), ...describeRoutes(inside, peer, own.tag));
    return;
  }
  const unread = insides.find((inside) => inside.snapshot === null);
  if (unread === undefined) findings.objects.push(describeLoose(own, bridge));
  else {
    const reason = `its peer may be in ${unread.netns.path}, which could not be read`;
    findings.unknown.push({ what: `link ${own.link.name}`, reason });
  }
};

/** Complexity: peers are looked for by index, so one pass over the links of all namespaces and one over the host's. */
const indexInsides = (insides: readonly Inside[]): ReadonlyMap<number, readonly Inside[]> => {
  const byPeer = new Map<number, Inside[]>();
  for (const inside of insides) {
    for (const link of inside.snapshot?.links ?? []) {
      if (link.kind !== 'veth') continue;
      byPeer.set(link.peer, [...(byPeer.get(link.peer) ?? []), inside]);
    }
  }
  return byPeer;
};

const addLinks = (host: Host, findings: Findings, insides: readonly Inside[]): void => {
  const links = listLinks(host.route, host.writer);
  const addresses = listAddresses(host.route, host.writer);
  const names = new Map(links.map((link) => [link.index, link.name]));
  const byPeer = indexInsides(insides);
  const unread = insides.filter((inside) => inside.snapshot === null);
  for (const own of ownLinks(host, links)) {
    if (own.link.kind === 'bridge') findings.objects.push(describeBridge(own, addresses));
    else if (own.link.kind === 'veth') {
      const candidates = [...(byPeer.get(own.link.index) ?? []), ...unread];
      addVeth(findings, own, names.get(own.link.master) ?? '', candidates);
    }
  }
};

/** Reads everything. What cannot be read is listed as unknown, which is not absent. */
export const takeCensus = (host: Host, table: Table): Census => {
  const findings: Findings = { objects: [], unknown: [] };
  try {
    const { netns, route, link, element } = kinds;
    const records = attempt(findings, [netns, route, link], () => listRecords(host));
    if (records !== null) {
      const insides = readInsides(host, findings, records);
      attempt(findings, [link, route], () => addLinks(host, findings, insides));
    }
    findings.objects.push(...(attempt(findings, [element], () => table.elements()) ?? []));
    return findings;
  } finally {
    goHome(host);
  }
};
