/**
 * A census of a part: of the links and namespaces that are named, so that what was noticed is looked at at once, and everything in slices. What
 * it costs depends on the part alone, never on how much else is there.
 */
import type { Tag } from '../objects.ts';
import type { Census, Extent } from '../port.ts';
import { describeHostLink, type Home, readInsides } from './census.ts';
import { addDevices, addVeth, type Inside } from './census-inside.ts';
import { readFile } from './files.ts';
import { attempt, censusOf, emptyFindings, type Findings, kinds, ownTag } from './findings.ts';
import { readForwarding } from './forwarding.ts';
import { goHome, type Host, readLinks, readLinksAt } from './host.ts';
import { listAddresses, listRoutes } from './inside.ts';
import { readRecord } from './netns.ts';
import { readNetfilter } from './port-flags.ts';
import type { LinkRecord } from './records.ts';
import type { Table } from './table.ts';
import { isDead } from './transaction.ts';

const tagOf = (host: Host, link: LinkRecord): Tag | null => (isDead(host, link) ? null : ownTag(host, link.alias));

/** Host ends of what is inside, and what devices stand on, with the bridges and parents of all of them, by index. */
const around = (
  host: Host,
  named: readonly LinkRecord[],
  insides: readonly Inside[],
): ReadonlyMap<number, LinkRecord> => {
  const found = new Map(named.map((link) => [link.index, link]));
  const add = (indexes: readonly number[]): void => {
    const missing = [...new Set(indexes)].filter((index) => index !== 0 && !found.has(index));
    for (const link of readLinksAt(host.route, host.writer, missing)) found.set(link.index, link);
  };
  add(insides.flatMap(({ snapshot }) => (snapshot?.links ?? []).map(({ peer }) => peer)));
  add([...found.values()].flatMap(({ master, kind, peer }) => (kind === 'vlan' ? [master, peer] : [master])));
  return found;
};

const addNamed = (host: Host, findings: Findings, named: readonly LinkRecord[], home: Home): void => {
  for (const link of named) {
    const tag = tagOf(host, link);
    if (tag) describeHostLink(findings, { link, tag }, home);
  }
};

const addInsides = (host: Host, findings: Findings, insides: readonly Inside[], home: Home): void => {
  for (const inside of insides) {
    addDevices(host, findings, inside, home.names);
    for (const { kind, peer, index } of inside.snapshot?.links ?? []) {
      const end = kind === 'veth' ? home.links.get(peer) : undefined;
      const tag = end ? tagOf(host, end) : null;
      if (end?.peer === index && tag?.entity === 'endpoint')
        addVeth(host, findings, { link: end, tag }, home.names.get(end.master) ?? '', [inside]);
    }
  }
};

const lookLinks = (host: Host, findings: Findings, { links: wanted }: Extent, insides: readonly Inside[]): void => {
  const named = readLinks(host.route, host.writer, wanted).filter((link) => link !== null);
  const found = around(host, named, insides);
  const isEmpty = wanted.length === 0;
  // Every namespace has its own.
  goHome(host);
  host.netfilter = readNetfilter();
  const home: Home = {
    links: found,
    names: new Map([...found.values()].map(({ index, name }) => [index, name])),
    addresses: isEmpty ? [] : listAddresses(host.route, host.writer),
    routes: isEmpty ? [] : listRoutes(host.route, host.writer),
    forwarding: readForwarding(host),
  };
  addNamed(host, findings, named, home);
  addInsides(host, findings, insides, home);
};

const settingsOf = (host: Host): Record<string, string> => ({
  'setting net.bridge.bridge-nf-call-iptables': host.netfilter.ipv4 ? '1' : '0',
  'setting net.bridge.bridge-nf-call-ip6tables': host.netfilter.ipv6 ? '1' : '0',
});

export const lookAt = (host: Host, table: Table, extent: Extent): Census => {
  const findings = emptyFindings();
  try {
    // Where the record of one is gone, so is what it says of it: it is as good as not there.
    const records = extent.namespaces.flatMap((path) => attempt(findings, [path], () => readRecord(host, path)) ?? []);
    const insides = readInsides(host, findings, records);
    const places = [...extent.links.map((name) => `${kinds.link}${name}`), ...extent.namespaces];
    attempt(findings, [...places, kinds.link], () => lookLinks(host, findings, extent, insides));
    Object.assign(findings.settings, settingsOf(host));
    if (extent.elements) {
      const found = attempt(findings, [kinds.element], () => ({ damage: table.mend(), elements: table.elements() }));
      if (found?.damage) findings.settings[`table inet ${table.name}`] = found.damage;
      findings.objects.push(...(found?.elements ?? []));
    }
    for (const path of extent.files) {
      const file = attempt(findings, [`file ${path}`], () => readFile(host, path));
      if (file) findings.objects.push(file);
    }
    return censusOf(findings);
  } finally {
    goHome(host);
  }
};
