/** The subnets of one boundary (a host, or the realm): who holds which, and which one a new network gets. */

import { type Cidr, classesOf, containsCidr, type Family, formatCidr, parseCidr, parseSubnet } from './ip.ts';
import {
  type BlockTree,
  blockKey,
  blockOfKey,
  blockTree,
  firstBlock,
  holdersOf,
  isFree,
  overlapping,
  setBlock,
} from './ipam-blocks.ts';
import { type Choice, CULPRITS_MAX, chosen, type Holder, hasRested, type Quarantine } from './ipam-choice.ts';
import { Releases } from './ipam-releases.ts';
import { type Refusal, refuse } from './refusals.ts';
import { type Journal, Table } from './table.ts';

/** A block of addresses that is cut into subnets of prefix length `size`. */
export interface SubnetPool {
  readonly base: string;
  readonly size: number;
}

/** 1,024 small networks instead of Docker's thirty large ones, out of the way of what home and office networks use. */
export const DEFAULT_IPV4_POOLS: readonly SubnetPool[] = [{ base: '10.200.0.0/14', size: 24 }];

/** Of networks on all hosts: beside the block that hosts cut their own from, since they choose without looking at each other. */
export const DEFAULT_REALM_POOLS: readonly SubnetPool[] = [{ base: '10.204.0.0/14', size: 24 }];

/** The longest prefixes that leave room for a gateway and an endpoint. */
const PREFIX_MAX = { 4: 30, 6: 126 } as const;

/**
 * Routes wider than this are default routes in disguise (VPNs install 0.0.0.0/1 and 128.0.0.0/1): to avoid them would leave
 * nothing. 10.0.0.0/8 and fc00::/7 are the widest private blocks that a site may route.
 */
const ROUTE_PREFIX_MIN = { 4: 8, 6: 7 } as const;

/** Released subnets that are remembered per family; it bounds memory, and the search when the pools are used up. */
const RESTING_MAX = 4096;

interface FamilySubnets {
  readonly tree: BlockTree;
  readonly releases: Releases;
}

export interface SubnetSpace {
  readonly families: { readonly 4: FamilySubnets; readonly 6: FamilySubnets };
  /** The routes of each host, as they were last reported. */
  readonly routes: Table<string, readonly string[]>;
}

export function subnetSpace(journal: Journal): SubnetSpace {
  const ofFamily = (family: Family) => ({ tree: blockTree(journal, family), releases: new Releases(journal) });
  return { families: { 4: ofFamily(4), 6: ofFamily(6) }, routes: new Table(journal) };
}

/** The pool of automatic IPv6 subnets of a host: its /48 (RFC 4193), as HostFacts reports it, cut into /64. */
export function ulaPool(prefix: string): SubnetPool {
  return { base: prefix, size: 64 };
}

/** Why these pools cannot be cut into subnets, or null. */
export function checkPools(pools: readonly SubnetPool[]): Refusal | null {
  for (const { base, size } of pools) {
    const checked = checkForm(base);
    if (!checked.ok) return checked;
    if (!canCut(checked.value, size)) {
      const { family, prefix } = checked.value;
      const detail = `pool ${base} cannot be cut into /${size}: use ${prefix} to ${PREFIX_MAX[family]}`;
      return refuse('SUBNET_INVALID', detail);
    }
  }
  return null;
}

function canCut(pool: Cidr, size: number): boolean {
  return Number.isInteger(size) && size >= pool.prefix && size <= PREFIX_MAX[pool.family];
}

/** A subnet that is chosen: `isEarly` where its quarantine had to be cut short because nothing else was left. */
export interface ChosenSubnet {
  readonly subnet: string;
  readonly isEarly: boolean;
}

/**
 * The subnet of a new network: the first block of the pools that overlaps no network, no route of a host and none of the last
 * 4,096 released subnets; then the least recently released one; then, where only parts of other sizes were released, the first
 * block that nobody holds.
 */
export function chooseSubnet(
  space: SubnetSpace,
  family: Family,
  pools: readonly SubnetPool[],
  quarantine: Quarantine,
): Choice<ChosenSubnet> {
  const { tree, releases } = space.families[family];
  const parsed = pools.flatMap(({ base, size }) => {
    const cidr = parseSubnet(base);
    return cidr?.family === family && canCut(cidr, size) ? [{ cidr, size }] : [];
  });
  for (const { cidr, size } of parsed) {
    const block = firstBlock(tree, cidr, size, 'unused');
    if (block !== null) return chosen({ subnet: formatCidr(block), isEarly: false });
  }
  for (const { key, atMs } of releases.oldestFirst()) {
    const block = blockOfKey(family, key);
    const fits = parsed.some(({ cidr, size }) => block.prefix === size && containsCidr(cidr, block));
    if (fits && isFree(tree, block)) {
      return chosen({ subnet: formatCidr(block), isEarly: !hasRested(atMs, quarantine) });
    }
  }
  for (const { cidr, size } of parsed) {
    const block = firstBlock(tree, cidr, size, 'free');
    if (block !== null) return chosen({ subnet: formatCidr(block), isEarly: true });
  }
  return refuseExhausted(tree, parsed);
}

function refuseExhausted(tree: BlockTree, pools: readonly { readonly cidr: Cidr; readonly size: number }[]): Refusal {
  const total = pools.reduce((sum, { cidr, size }) => sum + 2 ** (size - cidr.prefix), 0);
  const names = pools.map(({ cidr, size }) => `${formatCidr(cidr)} in /${size}`).join(', ');
  const detail = `all ${total} subnets of the IPv${tree.family} pools (${names || 'none configured'}) are in use`;
  const culprits = pools.flatMap(({ cidr }) => overlapping(tree, cidr, CULPRITS_MAX)).slice(0, CULPRITS_MAX);
  return refuse('SUBNET_POOL_EXHAUSTED', detail, culprits.map(culpritOf));
}

/**
 * A subnet that a command names: its canonical text, or why it cannot be had. `overlap`: the command allows it to overlap other
 * networks and routes. `prefixMax`: the longest prefix that the driver can use, where that is not /30 and /126. `lan`: routes that it may
 * overlap all the same.
 */
export function checkSubnet(
  space: SubnetSpace,
  text: string,
  options: {
    readonly overlap: boolean;
    readonly prefixMax?: Readonly<Record<Family, number>>;
    readonly lan?: readonly string[];
  },
): Choice<{ readonly family: Family; readonly subnet: string }> {
  const checked = checkForm(text);
  if (!checked.ok) return checked;
  const cidr = checked.value;
  const subnet = formatCidr(cidr);
  const prefixMax = (options.prefixMax ?? PREFIX_MAX)[cidr.family];
  if (cidr.prefix > prefixMax) return refuse('SUBNET_INVALID', `${subnet} is too small: use /${prefixMax} or wider`);
  const lan = new Set(options.lan?.flatMap((text) => canonicalOf(text) ?? []));
  const counts = ({ kind, id }: Holder): boolean => kind !== 'route' || !lan.has(id);
  const culprits = options.overlap ? [] : overlapping(space.families[cidr.family].tree, cidr, CULPRITS_MAX, counts);
  if (culprits.length === 0) return chosen({ family: cidr.family, subnet });
  return refuse('SUBNET_OVERLAPS', `${subnet} overlaps ${culprits.map(nameOf).join(', ')}`, culprits.map(culpritOf));
}

/** A route as `setRoutes` knows it. */
function canonicalOf(route: string): string | null {
  const cidr = parseCidr(route)?.cidr;
  return cidr === undefined ? null : formatCidr(cidr);
}

/** The subnet that a text names, if networks can have such a one at all. */
function checkForm(text: string): Choice<Cidr> {
  const code = 'SUBNET_INVALID';
  const parsed = parseCidr(text);
  if (parsed === null) return refuse(code, `${text} is not a subnet: write ADDRESS/PREFIX, such as 10.1.2.0/24`);
  const canonical = formatCidr(parsed.cidr);
  if (parsed.hasHostBits) return refuse(code, `${text} is an address inside a subnet: write ${canonical}`);
  // IPv4 link-local blocks serve point-to-point links of microVMs; on IPv6 every interface has the same one already.
  const classes = classesOf(parsed.cidr).filter((name) => name !== 'link-local' || parsed.cidr.family === 6);
  if (classes.length > 0) return refuse(code, `${canonical} has ${classes.join(' and ')} addresses`);
  return chosen(parsed.cidr);
}

function nameOf({ kind, id, name, cidr }: Holder & { readonly cidr: Cidr }): string {
  return kind === 'route' ? `route ${id} of host ${name}` : `${kind} ${name ?? id} (${formatCidr(cidr)})`;
}

function culpritOf({ kind, id, name, cidr }: Holder & { readonly cidr: Cidr }) {
  return { kind, id, ...(name === undefined ? {} : { name }), detail: formatCidr(cidr) };
}

/** Fold: the subnet belongs to this network (`kind: 'network'`). False if the fact is impossible or known already. */
export function holdSubnet(space: SubnetSpace, subnet: string, holder: Holder): boolean {
  const cidr = parseSubnet(subnet);
  if (cidr === null) return false;
  const { tree, releases } = space.families[cidr.family];
  const holders = holdersOf(tree, cidr);
  if (holders.some((other) => isSame(other, holder))) return false;
  releases.delete(blockKey(cidr));
  setBlock(tree, cidr, [...holders, holder], false);
  return true;
}

/** Fold: the network is gone, and its subnet rests. False if it did not hold it. */
export function releaseSubnet(space: SubnetSpace, subnet: string, networkId: string, atMs: number): boolean {
  const cidr = parseSubnet(subnet);
  if (cidr === null) return false;
  const { tree, releases } = space.families[cidr.family];
  const before = holdersOf(tree, cidr);
  const holders = before.filter(({ kind, id }) => kind === 'route' || id !== networkId);
  if (holders.length === before.length) return false;
  const rests = holders.every(({ kind }) => kind === 'route');
  if (rests) releases.add(blockKey(cidr), atMs);
  setBlock(tree, cidr, holders, rests);
  const oldest = releases.size > RESTING_MAX ? releases.oldest() : undefined;
  if (oldest !== undefined) {
    const block = blockOfKey(cidr.family, oldest.key);
    releases.delete(oldest.key);
    setBlock(tree, block, holdersOf(tree, block), false);
  }
  return true;
}

function isSame(a: Holder, b: Holder): boolean {
  return a.kind === b.kind && a.id === b.id && (a.kind !== 'route' || a.name === b.name);
}

/** Fold: the routes of a host, all of them, in place of those it had. Default routes are left out. */
export function setRoutes(space: SubnetSpace, host: string, routes: readonly string[]): void {
  const wanted = new Set<string>();
  for (const text of routes) {
    const cidr = parseCidr(text)?.cidr;
    if (cidr !== undefined && cidr.prefix >= ROUTE_PREFIX_MIN[cidr.family]) wanted.add(formatCidr(cidr));
  }
  const known = new Set(space.routes.get(host));
  for (const route of known) if (!wanted.has(route)) changeRoute(space, host, route, false);
  for (const route of wanted) if (!known.has(route)) changeRoute(space, host, route, true);
  space.routes.set(host, [...wanted]);
}

/** Unlike a network's subnet, a route leaves nothing to wait for when it goes. */
function changeRoute(space: SubnetSpace, host: string, route: string, isThere: boolean): void {
  const cidr = parseSubnet(route);
  if (cidr === null) return;
  const { tree, releases } = space.families[cidr.family];
  const holder = { kind: 'route', id: route, name: host };
  const others = holdersOf(tree, cidr).filter((other) => !isSame(other, holder));
  setBlock(tree, cidr, isThere ? [...others, holder] : others, releases.has(blockKey(cidr)));
}
