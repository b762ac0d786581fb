/** What of ours is there: links by their alias, namespaces by their record, elements by their comment. */
import { type KernelObject, type Netns, objectKey } from '../objects.ts';
import type { Census } from '../port.ts';
import { formatMac } from './address.ts';
import { addDevices, addVeth, type Inside, indexInsides, readNamespace } from './census-inside.ts';
import { routedOf } from './connected.ts';
import { listFiles } from './files.ts';
import { attempt, censusOf, emptyFindings, type Findings, kinds, type OwnLink, ownLinks } from './findings.ts';
import { type Forwarding, forwards, readForwarding } from './forwarding.ts';
import { goHome, type Host, listLinks } from './host.ts';
import { gatewaysOf, listAddresses, listRoutes, type Snapshot } from './inside.ts';
import { dropListeners } from './listener.ts';
import { exists, listRecords, removeRecord, unpin } from './netns.ts';
import { readNetfilter } from './port-flags.ts';
import type { LinkRecord } from './records.ts';
import { describeStub } from './stub.ts';
import type { Table } from './table.ts';
import { describeVlan } from './vlan.ts';
import { describeVxlan } from './vxlan-state.ts';

/** What is known of the host's namespace beside a link. */
export interface Home extends Pick<Snapshot, 'addresses' | 'routes'> {
  readonly links: ReadonlyMap<number, LinkRecord>;
  readonly names: ReadonlyMap<number, string>;
  readonly forwarding: Forwarding;
}

/** What is left of a namespace that was being made or removed when the process ended. */
const clearRemains = (host: Host, netns: Netns): void => {
  dropListeners(host, netns.path);
  if (netns.owned && exists(netns.path)) unpin(netns.path);
  removeRecord(host, netns.path);
};

export const readInsides = (host: Host, findings: Findings, records: readonly Netns[]): readonly Inside[] =>
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

const forwardingRemark = (
  { forwarding, routeLocalnet }: LinkRecord,
  isHostForwarding: boolean,
  host: Forwarding,
): string => {
  if (!isHostForwarding) return host.ipv4 ? 'net.ipv6.conf.all.forwarding is 0' : 'net.ipv4.ip_forward is 0';
  if (!forwarding) return 'forwarding is off';
  return routeLocalnet ? '' : 'route_localnet is off';
};

/** A bridge that is down is as good as one without addresses, and so is an address to whose subnet no route leads: shown so, it is repaired. */
const describeBridge = (findings: Findings, { link, tag }: OwnLink, home: Home): KernelObject => {
  const all = gatewaysOf(home.addresses, link.index);
  const routed = routedOf(all, home.routes, link.index);
  const addresses = link.up ? routed : [];
  const isHostForwarding = forwards(home.forwarding, { addresses: all });
  const isRouted = link.routeLocalnet && link.forwarding && isHostForwarding;
  const remark = !link.up
    ? 'down'
    : routed.length < all.length
      ? 'no route to its subnet'
      : isRouted
        ? ''
        : forwardingRemark(link, isHostForwarding, home.forwarding);
  if (remark !== '') findings.remarks[`${kinds.link}${link.name}`] = remark;
  return {
    kind: 'bridge',
    name: link.name,
    mac: formatMac(link.mac),
    mtu: link.mtu,
    addresses,
    routed: isRouted,
    tag,
  };
};

/** A link of ours in the host's namespace that is no end of an endpoint's pair. */
export const describeHostLink = (findings: Findings, own: OwnLink, home: Home): void => {
  const { link, tag } = own;
  const push = (object: KernelObject): void => {
    findings.objects.push(object);
    if (!link.up) findings.remarks[objectKey(object)] = 'down';
  };
  if (link.kind === 'bridge') findings.objects.push(describeBridge(findings, own, home));
  else if (link.kind === 'vxlan') push(describeVxlan(link, home.names, tag));
  else if (link.kind === 'vlan') push(describeVlan(link, home.names, tag));
  else if (link.kind === 'veth' && tag.entity === 'network')
    findings.objects.push(...describeStub(link, [...home.links.values()], tag));
};

const addLinks = (host: Host, findings: Findings, insides: readonly Inside[]): void => {
  const links = new Map(listLinks(host.route, host.writer).map((link) => [link.index, link]));
  const home: Home = {
    links,
    names: new Map([...links].map(([index, { name }]) => [index, name])),
    addresses: listAddresses(host.route, host.writer),
    routes: listRoutes(host.route, host.writer),
    forwarding: readForwarding(host),
  };
  const byPeer = indexInsides(insides);
  host.netfilter = readNetfilter();
  const unread = insides.filter((inside) => inside.snapshot === null);
  for (const inside of insides) addDevices(host, findings, inside, home.names);
  for (const own of ownLinks(host, links.values())) {
    if (own.link.kind !== 'veth' || own.tag.entity === 'network') describeHostLink(findings, own, home);
    else {
      const candidates = [...(byPeer.get(own.link.index) ?? []), ...unread];
      addVeth(host, findings, own, home.names.get(own.link.master) ?? '', candidates);
    }
  }
};

/** Whole again first, where others have changed it. */
const readTable = (table: Table): readonly KernelObject[] => {
  table.mend();
  return table.elements();
};

/** Reads everything. What cannot be read is listed as unknown, which is not absent. */
export const takeCensus = (host: Host, table: Table): Census => {
  const findings = emptyFindings();
  try {
    const { netns, route, resolver, link, device, element, file } = kinds;
    const records = attempt(findings, [netns, route, resolver, link, device], () => listRecords(host));
    if (records !== null) {
      const insides = readInsides(host, findings, records);
      attempt(findings, [link, device, route], () => addLinks(host, findings, insides));
    }
    findings.objects.push(...(attempt(findings, [element], () => readTable(table)) ?? []));
    findings.objects.push(...(attempt(findings, [file], () => listFiles(host)) ?? []));
    return censusOf(findings);
  } finally {
    goHome(host);
  }
};
