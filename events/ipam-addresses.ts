/** The addresses of one subnet of one network: who holds which, and which one the next endpoint gets. */
import type { Subnet } from './events.ts';
import {
  type AddressRange,
  broadcastAddress,
  type Cidr,
  contains,
  formatCidr,
  formatIp,
  hostRange,
  lastAddress,
  networkAddress,
  parseIp,
  parseSubnet,
} from './ip.ts';
import { type Choice, chosen, type Holder, hasRested, type Quarantine } from './ipam-choice.ts';
import { Releases } from './ipam-releases.ts';
import { refuse } from './refusals.ts';
import { type Journal, Table } from './table.ts';

export interface AddressPool {
  readonly subnet: Cidr;
  /** What automatic addresses are taken from: the ip-range or the subnet, without its reserved addresses. May be empty. */
  readonly range: AddressRange;
  readonly held: Table<bigint, Holder>;
  /** Addresses of the range that were released and not held since. */
  readonly releases: Releases;
  /** The lowest address of the range that was never held; what lies below it is in `held` or `releases`. */
  readonly cursor: Table<'next', bigint>;
  readonly rememberMax: number;
}

/**
 * From so many released addresses on, those that have rested go before never-used ones: in a /8 or a /64, where never-used ones
 * do not run out, memory would otherwise grow with every endpoint that ever was. A /20 never gets there.
 */
const REMEMBER_MAX = 4_096;

/** Stands for what is no subnet: events of ours never say such, but a fold does not throw. */
const NOWHERE: Cidr = { family: 4, base: 0n, prefix: 32 };

/** The pool of a subnet as an event states it, gateway and auxiliary addresses held. */
export function addressPool(
  journal: Journal,
  facts: Omit<Subnet, 'family' | 'vni' | 'pool'>,
  rememberMax = REMEMBER_MAX,
): AddressPool {
  const subnet = parseSubnet(facts.subnet);
  const range = (facts.range === null ? null : parseSubnet(facts.range)) ?? subnet;
  const pool = {
    subnet: subnet ?? NOWHERE,
    range: subnet === null || range === null ? { first: 1n, last: 0n } : automaticRange(subnet, range),
    held: new Table<bigint, Holder>(journal),
    releases: new Releases(journal),
    cursor: new Table<'next', bigint>(journal),
    rememberMax,
  };
  if (facts.gateway !== null) holdAddress(pool, facts.gateway, { kind: 'gateway', id: facts.gateway });
  for (const [name, address] of Object.entries(facts.aux)) holdAddress(pool, address, { kind: 'aux', id: name });
  return pool;
}

/** The addresses of `range` that hosts of `subnet` may have. */
export function automaticRange(subnet: Cidr, range: Cidr): AddressRange {
  const hosts = hostRange(subnet);
  const last = lastAddress(range);
  return { first: range.base > hosts.first ? range.base : hosts.first, last: last < hosts.last ? last : hosts.last };
}

/** An address that is chosen: `isEarly` where its quarantine had to be cut short because nothing else was left. */
export interface ChosenAddress {
  readonly address: string;
  readonly isEarly: boolean;
}

/**
 * The address that the next endpoint gets: the lowest never-used one; when there is none, the one released longest ago. That
 * keeps an address out of use for as long as the pool allows, so quarantine yields under pressure by itself: where even the one
 * released longest ago has not rested, no other has. O(1).
 */
export function chooseAddress(pool: AddressPool, quarantine: Quarantine): Choice<ChosenAddress> {
  const { family } = pool.subnet;
  const oldest = pool.releases.oldest();
  const isEarly = oldest !== undefined && !hasRested(oldest.atMs, quarantine);
  const isCrowded = oldest !== undefined && !isEarly && pool.releases.size >= pool.rememberMax;
  const next = nextUnused(pool);
  if (next <= pool.range.last && !isCrowded) return chosen({ address: formatIp(family, next), isEarly: false });
  if (oldest !== undefined) return chosen({ address: formatIp(family, oldest.key), isEarly });
  const id = formatCidr(pool.subnet);
  const size = pool.range.last - pool.range.first + 1n;
  const detail = `all ${size} addresses that ${id} has for endpoints are held (${pool.held.size} with static ones)`;
  return refuse('ADDRESS_POOL_EXHAUSTED', detail, [
    { kind: 'subnet', id, detail: `held ${pool.held.size}, size ${size}` },
  ]);
}

/** The address that somebody asks for, in canonical text, or why it cannot be had. It may lie outside the ip-range or rest. */
export function checkAddress(pool: AddressPool, text: string): Choice<string> {
  const { subnet } = pool;
  const subnetText = formatCidr(subnet);
  const ip = parseIp(text);
  if (ip === null) return refuse('ADDRESS_INVALID', `${text} is not an IP address`);
  if (ip.family !== subnet.family) return refuse('ADDRESS_INVALID', `${text} is not an IPv${subnet.family} address`);
  const address = formatIp(ip.family, ip.value);
  const inSubnet = [{ kind: 'subnet', id: subnetText }];
  if (!contains(subnet, ip)) return refuse('ADDRESS_OUTSIDE_SUBNET', `${address} is not in ${subnetText}`, inSubnet);
  if (ip.value === networkAddress(subnet)) {
    return refuse('ADDRESS_RESERVED', `${address} stands for the subnet ${subnetText} itself`, inSubnet);
  }
  if (ip.value === broadcastAddress(subnet)) {
    return refuse('ADDRESS_RESERVED', `${address} is the broadcast address of ${subnetText}`, inSubnet);
  }
  const holder = pool.held.get(ip.value);
  if (holder === undefined) return chosen(address);
  const culprit = { ...holder, detail: address };
  return refuse('ADDRESS_IN_USE', `${address} is held by ${holder.kind} ${holder.name ?? holder.id}`, [culprit]);
}

/** Fold: the address, with or without its prefix length, is this holder's. False if the fact is impossible or known already. */
export function holdAddress(pool: AddressPool, address: string, holder: Holder): boolean {
  const value = valueIn(pool, address);
  if (value === null || pool.held.has(value)) return false;
  pool.held.set(value, holder);
  pool.releases.delete(value);
  const before = nextUnused(pool);
  let next = before;
  while (next <= pool.range.last && (pool.held.has(next) || pool.releases.has(next))) next += 1n;
  if (next !== before) pool.cursor.set('next', next);
  return true;
}

/** Fold: the holder has given the address back at this time. False if it was not this holder's. */
export function releaseAddress(pool: AddressPool, address: string, holderId: string, atMs: number): boolean {
  const value = valueIn(pool, address);
  if (value === null) return false;
  if (pool.held.get(value)?.id !== holderId) return false;
  pool.held.delete(value);
  // What lies outside the range is only ever given to somebody who asks for it, so nothing has to be remembered.
  if (value >= pool.range.first && value <= pool.range.last) pool.releases.add(value, atMs);
  return true;
}

/** Whose the address is, or null. */
export function holderOf(pool: AddressPool, address: string): Holder | null {
  const value = valueIn(pool, address);
  return value === null ? null : (pool.held.get(value) ?? null);
}

/** The address with the prefix length of its subnet, as an interface carries it. */
export function withPrefix(pool: AddressPool, address: string): string {
  return `${address}/${pool.subnet.prefix}`;
}

function nextUnused(pool: AddressPool): bigint {
  return pool.cursor.get('next') ?? pool.range.first;
}

function valueIn(pool: AddressPool, text: string): bigint | null {
  const slash = text.indexOf('/');
  const ip = parseIp(slash < 0 ? text : text.slice(0, slash));
  return ip !== null && contains(pool.subnet, ip) ? ip.value : null;
}
