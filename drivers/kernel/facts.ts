/** What decisions need to know about this machine. */
import { readFileSync } from 'node:fs';
import type { KernelFacts } from '../port.ts';
import { formatCidr } from './address.ts';
import { ownLinks } from './findings.ts';
import { type Host, listLinks } from './host.ts';
import { listAddresses, listRoutes } from './inside.ts';
import { AnswerLost } from './netlink.ts';
import { probe } from './probe.ts';
import type { RouteRecord } from './records.ts';
import { isDead } from './transaction.ts';
import { underlayOf } from './underlay.ts';

const readText = (path: string): string => readFileSync(path, 'utf8').trim();

/** fe80::/10 is on every link, ff00::/8 is multicast: neither is a destination that a subnet could clash with. */
const isScoped = (destination: Uint8Array): boolean =>
  destination.length === 16 &&
  (destination[0] === 0xff || (destination[0] === 0xfe && ((destination[1] ?? 0) & 0xc0) === 0x80));

/** In order, each once. */
const destinationsOf = (routes: readonly RouteRecord[]): readonly string[] =>
  [...new Set(routes.map(({ destination: address, length }) => formatCidr({ address, length })))].sort();

const readNow = (host: Host, underlay: string | null): KernelFacts => {
  // The answer does not change while the system runs.
  host.capabilities ??= probe(host);
  const links = listLinks(host.route, host.writer);
  const own = new Set(ownLinks(host, links).map(({ link }) => link.index));
  const found = listRoutes(host.route, host.writer);
  const routes = found.filter((route) => route.length > 0 && !own.has(route.index) && !isScoped(route.destination));
  const foreign = links.filter((link) => link.up && !link.loopback && !own.has(link.index));
  const mtus = foreign.map((link) => link.mtu);
  const vlans = links.filter((link) => /\.[0-9]+$/.test(link.name) && !own.has(link.index) && !isDead(host, link));
  return {
    kernel: readText('/proc/sys/kernel/osrelease'),
    bootId: readText('/proc/sys/kernel/random/boot_id'),
    routes: destinationsOf(routes),
    linkRoutes: Object.fromEntries(
      [...links]
        .sort((a, b) => (a.name < b.name ? -1 : 1))
        .map(({ index, name }) => [name, destinationsOf(routes.filter((route) => route.index === index))] as const)
        .filter(([, destinations]) => destinations.length > 0),
    ),
    capabilities: host.capabilities,
    vlans: vlans.map(({ name }) => name).sort(),
    mtu: mtus.length > 0 ? Math.min(...mtus) : 1500,
    underlay: underlayOf(underlay, foreign, listAddresses(host.route, host.writer), found),
    underlayAsked: underlay,
  };
};

/** Null while others change links or routes faster than they can be read. @param underlay address or interface; null: as routes say */
export const readFacts = (host: Host, underlay: string | null = null): KernelFacts | null => {
  try {
    return readNow(host, underlay);
  } catch (error) {
    if (error instanceof AnswerLost) return null;
    throw error;
  }
};
