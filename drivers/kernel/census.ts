/** What of ours is there: links by their alias, namespaces by their record, elements by their comment. */
import { type KernelObject, type Netns, parseTag, type Resolver, type Route, type Tag, type Veth } from '../objects.ts';
import type { Census } from '../port.ts';
import { formatAddress, formatCidr, formatMac } from './address.ts';
import { describeDevice } from './device.ts';
import { describeFailure } from './failure.ts';
import { listFiles } from './files.ts';
import { type Forwarding, forwards, readForwarding } from './forwarding.ts';
import { goHome, type Host, listLinks } from './host.ts';
import { gatewaysOf, listAddresses, readSnapshot, type Snapshot } from './inside.ts';
import { close } from './libc.ts';
import { dropListeners } from './listener.ts';
import { exists, listRecords, openNamespace, removeRecord, unpin, within } from './netns.ts';
import { describeVeth, peerOf } from './pair.ts';
import { isolationOf, readNetfilter } from './port-flags.ts';
import type { LinkRecord } from './records.ts';
import { readResolver } from './resolver.ts';
import { entityOf } from './route.ts';
import { describeStub } from './stub.ts';
import type { Table } from './table.ts';
import { isDead } from './transaction.ts';
import { describeVlan } from './vlan.ts';
import { describeVxlan } from './vxlan-state.ts';

interface Findings {
  readonly objects: KernelObject[];
  readonly unknown: { readonly what: string; readonly reason: string }[];
}

interface OwnLink {
  readonly link: LinkRecord;
  readonly tag: Tag;
}

/** What of ours is in a namespace. */
interface Contents {
  readonly snapshot: Snapshot;
  readonly resolver: Resolver | null;
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
const kinds = {
  netns: 'netns ',
  device: 'device ',
  route: 'route ',
  resolver: 'resolver ',
  link: 'link ',
  element: 'element ',
  file: 'file ',
} as const;

/** Links of this realm and host, apart from those that only wait for the reaper. */
export const ownLinks = (host: Host, links: readonly LinkRecord[]): readonly OwnLink[] =>
  links.flatMap((link) => {
    const tag = isDead(host, link) ? null : ownTag(host, link.alias);
    return tag ? [{ link, tag }] : [];
  });

/** What is left of a namespace that was being made or removed when the process ended. */
const clearRemains = (host: Host, netns: Netns): void => {
  dropListeners(host, netns.path);
  if (netns.owned && exists(netns.path)) unpin(netns.path);
  removeRecord(host, netns.path);
};

const readNamespace = (host: Host, netns: Netns): Contents | 'absent' => {
  const descriptor = openNamespace(netns.path);
  if (typeof descriptor !== 'number') return 'absent';
  try {
    return within(host, descriptor, (socket) => {
      const snapshot = readSnapshot(host, socket);
      return { snapshot, resolver: readResolver(host, netns) };
    });
  } finally {
    close(descriptor);
  }
};

const readInsides = (host: Host, findings: Findings, records: readonly Netns[]): readonly Inside[] =>
  records.flatMap((netns) => {
    // The path stands in the keys of all that is inside.
    const contents = attempt(findings, [netns.path], () => readNamespace(host, netns));
    if (contents === 'absent') {
      attempt(findings, [netns.path], () => clearRemains(host, netns));
      return [];
    }
    if (contents !== null) findings.objects.push(netns, ...(contents.resolver ? [contents.resolver] : []));
    return [{ netns, snapshot: contents?.snapshot ?? null }];
  });

/** A bridge that is down is as good as one without addresses: shown so, it is repaired. */
const describeBridge = ({ link, tag }: OwnLink, found: Snapshot['addresses'], forwarding: Forwarding): KernelObject => {
  const addresses = gatewaysOf(found, link.index);
  return {
    kind: 'bridge',
    name: link.name,
    mac: formatMac(link.mac),
    mtu: link.mtu,
    addresses: link.up ? addresses : [],
    routed: link.routeLocalnet && link.forwarding && forwards(forwarding, { addresses }),
    tag,
  };
};

/** A host end whose peer is in none of our namespaces: a leftover, to be deleted or made anew. */
const describeLoose = ({ link, tag }: OwnLink, bridge: string): Veth => ({
  kind: 'veth',
  name: link.name,
  bridge,
  mtu: link.mtu,
  netns: '',
  peer: { name: '', mac: '', addresses: [] },
  isolated: false,
  birth: { sysctls: {} },
  tag,
});

/** Our routes over one interface. Their tag is that of the endpoint or the sandbox, by their protocol number. */
const describeRoutes = ({ netns, snapshot }: Inside, peer: LinkRecord, endpoint: Tag): readonly Route[] =>
  (snapshot?.routes ?? []).flatMap((record) => {
    const entity = entityOf(record.protocol);
    if (entity === undefined || record.index !== peer.index) return [];
    return [
      {
        kind: 'route',
        netns: netns.path,
        destination: formatCidr({ address: record.destination, length: record.length }),
        gateway: record.gateway.length > 0 ? formatAddress(record.gateway) : '',
        device: peer.name,
        tag: entity === 'sandbox' ? netns.tag : endpoint,
      },
    ];
  });

/**
 * A veth that is down at either end does not forward, and one whose flags as a port are wrong forwards too much or too little:
 * shown as one without bridge or addresses, it is repaired.
 */
const describePair = (host: Host, own: OwnLink, bridge: string, inside: Inside, peer: LinkRecord): Veth => {
  const { link, tag } = own;
  const snapshot = peer.up && inside.snapshot ? inside.snapshot : { addresses: [] };
  const isPort = link.up && isolationOf(link.port, host.netfilter) !== null;
  return describeVeth(host, link, isPort ? bridge : '', inside.netns.path, peer, snapshot, tag);
};

const addVeth = (host: Host, findings: Findings, own: OwnLink, bridge: string, insides: readonly Inside[]): void => {
  for (const inside of insides) {
    const peer = peerOf(inside.snapshot?.links ?? [], own.link);
    if (peer === undefined) continue;
    findings.objects.push(describePair(host, own, bridge, inside, peer), ...describeRoutes(inside, peer, own.tag));
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

/** Links inside a namespace that carry a tag of ours themselves: host ends have that of a veth. */
const addDevices = (host: Host, findings: Findings, inside: Inside, names: ReadonlyMap<number, string>): void => {
  const { netns, snapshot } = inside;
  for (const { link, tag } of ownLinks(host, snapshot?.links ?? [])) {
    if (snapshot === null) return;
    findings.objects.push(describeDevice(link, netns.path, snapshot, names, tag), ...describeRoutes(inside, link, tag));
  }
};

const addLinks = (host: Host, findings: Findings, insides: readonly Inside[]): void => {
  const links = listLinks(host.route, host.writer);
  const addresses = listAddresses(host.route, host.writer);
  const names = new Map(links.map((link) => [link.index, link.name]));
  const byPeer = indexInsides(insides);
  const forwarding = readForwarding(host);
  host.netfilter = readNetfilter();
  const unread = insides.filter((inside) => inside.snapshot === null);
  for (const inside of insides) addDevices(host, findings, inside, names);
  for (const own of ownLinks(host, links)) {
    if (own.link.kind === 'bridge') findings.objects.push(describeBridge(own, addresses, forwarding));
    else if (own.link.kind === 'vxlan') findings.objects.push(describeVxlan(own.link, names, own.tag));
    else if (own.link.kind === 'vlan') findings.objects.push(describeVlan(own.link, names, own.tag));
    else if (own.link.kind === 'veth' && own.tag.entity === 'network') {
      findings.objects.push(...describeStub(own.link, links, own.tag));
    } else if (own.link.kind === 'veth') {
      const candidates = [...(byPeer.get(own.link.index) ?? []), ...unread];
      addVeth(host, findings, own, names.get(own.link.master) ?? '', candidates);
    }
  }
};

/** Reads everything. What cannot be read is listed as unknown, which is not absent. */
export const takeCensus = (host: Host, table: Table): Census => {
  const findings: Findings = { objects: [], unknown: [] };
  try {
    const { netns, route, resolver, link, device, element, file } = kinds;
    const records = attempt(findings, [netns, route, resolver, link, device], () => listRecords(host));
    if (records !== null) {
      const insides = readInsides(host, findings, records);
      attempt(findings, [link, device, route], () => addLinks(host, findings, insides));
    }
    findings.objects.push(...(attempt(findings, [element], () => table.elements()) ?? []));
    findings.objects.push(...(attempt(findings, [file], () => listFiles(host)) ?? []));
    return findings;
  } finally {
    goHome(host);
  }
};
