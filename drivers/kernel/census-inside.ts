/** What of ours is inside namespaces, and the pairs that lead there. */
import { fstatSync } from 'node:fs';
import { type Netns, objectKey, type Resolver, type Route, type Tag, type Veth } from '../objects.ts';
import { formatAddress, formatCidr } from './address.ts';
import { routedOf } from './connected.ts';
import { describeDevice } from './device.ts';
import { type Findings, kinds, type OwnLink, ownLinks } from './findings.ts';
import type { Host } from './host.ts';
import { addressesOf, readSnapshot, type Snapshot } from './inside.ts';
import { close } from './libc.ts';
import { openNamespace, within } from './netns.ts';
import { describeVeth, peerOf } from './pair.ts';
import { isolationOf, otherNetfilters } from './port-flags.ts';
import type { LinkRecord } from './records.ts';
import { readResolver } from './resolver.ts';
import { entityOf } from './route.ts';

/** What of ours is in a namespace. */
interface Contents {
  readonly snapshot: Snapshot;
  readonly resolver: Resolver | null;
}

/** The inside of a namespace of ours, or `null` when it could not be read. */
export interface Inside {
  readonly netns: Netns;
  readonly snapshot: Snapshot | null;
}

export const readNamespace = (host: Host, netns: Netns): Contents | 'absent' => {
  const descriptor = openNamespace(netns.path);
  if (typeof descriptor !== 'number') return 'absent';
  try {
    if (netns.owned) host.namespaces.set(netns.path, fstatSync(descriptor).ino);
    return within(host, descriptor, (socket) => {
      const snapshot = readSnapshot(host, socket);
      return { snapshot, resolver: readResolver(host, netns) };
    });
  } finally {
    close(descriptor);
  }
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

/** The addresses of a snapshot without those to whose subnets no route leads: given again, they bring one. */
const withRoutes = (snapshot: Snapshot, { index }: LinkRecord): Pick<Snapshot, 'addresses'> => {
  const all = addressesOf(snapshot.addresses, index);
  const routed = new Set(routedOf(all, snapshot.routes, index));
  return { addresses: snapshot.addresses.filter((record) => record.index !== index || routed.has(formatCidr(record))) };
};

/**
 * A veth that is down at either end does not forward, and one whose flags as a port are wrong forwards too much or too little:
 * shown as one without bridge or addresses, it is repaired.
 */
const describePair = (
  host: Host,
  findings: Findings,
  own: OwnLink,
  bridge: string,
  inside: Inside,
  peer: LinkRecord,
): Veth => {
  const { link, tag } = own;
  const snapshot = peer.up && inside.snapshot ? withRoutes(inside.snapshot, peer) : { addresses: [] };
  // One that is no port has no flags to speak of.
  const isRight = link.master === 0 || isolationOf(link.port, host.netfilter) !== null;
  const veth = describeVeth(host, link, link.up && isRight ? bridge : '', inside.netns.path, peer, snapshot, tag);
  const key = objectKey(veth);
  const remark = !link.up ? 'down' : !peer.up ? 'down inside' : isRight ? '' : 'other flags as a port';
  if (remark !== '') findings.remarks[key] = remark;
  // As it should be, if the packet filter saw what it saw before.
  const isOutdated = otherNetfilters(host.netfilter).some((other) => isolationOf(link.port, other) !== null);
  if (link.up && peer.up && !isRight && isOutdated) findings.outdated.push(key);
  return veth;
};

export const addVeth = (
  host: Host,
  findings: Findings,
  own: OwnLink,
  bridge: string,
  insides: readonly Inside[],
): void => {
  for (const inside of insides) {
    const peer = peerOf(inside.snapshot?.links ?? [], own.link);
    if (peer === undefined) continue;
    const pair = describePair(host, findings, own, bridge, inside, peer);
    findings.objects.push(pair, ...describeRoutes(inside, peer, own.tag));
    return;
  }
  const unread = insides.find((inside) => inside.snapshot === null);
  if (unread === undefined) findings.objects.push(describeLoose(own, bridge));
  else {
    const reason = `its peer may be in ${unread.netns.path}, which could not be read`;
    findings.unknown.push({ what: `${kinds.link}${own.link.name}`, reason });
  }
};

/** Complexity: peers are looked for by index, so one pass over the links of all namespaces and one over the host's. */
export const indexInsides = (insides: readonly Inside[]): ReadonlyMap<number, readonly Inside[]> => {
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
export const addDevices = (
  host: Host,
  findings: Findings,
  inside: Inside,
  names: ReadonlyMap<number, string>,
): void => {
  const { netns, snapshot } = inside;
  for (const { link, tag } of ownLinks(host, snapshot?.links ?? [])) {
    if (snapshot === null) return;
    const device = describeDevice(link, netns.path, withRoutes(snapshot, link), names, tag);
    if (!link.up) findings.remarks[objectKey(device)] = 'down';
    findings.objects.push(device, ...describeRoutes(inside, link, tag));
  }
};
