/** Published ports as the host has them: who else holds them, and which are free. */
import { readFileSync } from 'node:fs';
import type { Element, ElementSet } from '../objects.ts';
import type { PortSearch } from '../port.ts';
import { NL } from './constants.ts';
import { KernelFailure } from './failure.ts';
import { goHome, type Host } from './host.ts';
import { NetlinkSocket } from './netlink.ts';
import { canBind } from './own-address.ts';
import { type BoundSocket, canonical, holderOf, listSockets, overlaps, receives } from './sockdiag.ts';
import type { Table } from './table.ts';

/** A port of the host that leads elsewhere. */
export interface Mapping {
  readonly family: 4 | 6;
  readonly protocol: string;
  /** Canonical; `0.0.0.0` and `::` are all of the family. */
  readonly address: string;
  readonly port: number;
}

const wildcards = { 4: '0.0.0.0', 6: '::' } as const;

const familyOfSet = (set: ElementSet): 4 | 6 | null =>
  set === 'dnat4' || set === 'dnat4ip' ? 4 : set === 'dnat6' || set === 'dnat6ip' ? 6 : null;

/** What an element publishes; null for one that publishes nothing. */
export const mappingOf = ({ set, key }: Element): Mapping | null => {
  const family = familyOfSet(set);
  if (family === null) return null;
  const [address = '', protocol = '', port = ''] = key.length === 2 ? [wildcards[family], ...key] : key;
  return { family, protocol, address: canonical(address), port: Number(port) };
};

const withPort = (address: string, port: number): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;

const range = (text: string): readonly [number, number] => {
  const [from = 0, to = from] = text.split(/[\s-]+/).map(Number);
  return [from, to];
};

/** Without IPv4 there is no such file; then the range of Docker, which is that of IANA. */
const readSetting = (name: string, otherwise: string): string => {
  try {
    return readFileSync(`/proc/sys/net/ipv4/${name}`, 'utf8').trim();
  } catch (error) {
    if (error instanceof Error && 'code' in error) return otherwise;
    throw error;
  }
};

const contains = (from: number, to: number, port: number): boolean => from <= port && port <= to;

/** ip(7): where the kernel takes ports for sockets that asked for none, and those that it leaves out. */
const ephemeral = (): readonly [number, number] => range(readSetting('ip_local_port_range', '49153 65535'));
const reservedRanges = (): readonly (readonly [number, number])[] =>
  readSetting('ip_local_reserved_ports', '')
    .split(',')
    .filter((part) => part !== '')
    .map(range);

export class Ports {
  readonly #host: Host;
  readonly #table: Table;
  #diagnostics: NetlinkSocket | null = null;
  /** Sockets by protocol, read once per batch of plans. */
  readonly #sockets = new Map<string, readonly BoundSocket[]>();
  readonly #addresses = new Map<string, boolean>();
  /** Where the next search in the ephemeral range starts: a port that was just given back is not given out at once. */
  #next: number;

  constructor(host: Host, table: Table) {
    this.#host = host;
    this.#table = table;
    // Differs between hosts, and is the same for one at each start.
    this.#next = host.index & 0xffff;
  }

  #bound(protocol: string): readonly BoundSocket[] {
    const known = this.#sockets.get(protocol);
    if (known !== undefined) return known;
    // A socket speaks to the namespace that it is made in.
    goHome(this.#host);
    this.#diagnostics ??= new NetlinkSocket(NL.SOCK_DIAG);
    const found = listSockets(this.#diagnostics, this.#host.writer, protocol);
    this.#sockets.set(protocol, found);
    return found;
  }

  /** Asked of bind(2), so net.ipv4.ip_nonlocal_bind holds here too: then addresses may come later. */
  #isOurs({ family, address }: Mapping): boolean {
    // Every host has its loopback, up or not.
    if (address === wildcards[family] || address.startsWith('127.')) return true;
    const known = this.#addresses.get(address);
    if (known !== undefined) return known;
    goHome(this.#host);
    const ours = canBind(family, address);
    this.#addresses.set(address, ours);
    return ours;
  }

  /** What was read of the host's sockets and addresses is old. */
  forget(): void {
    this.#sockets.clear();
    this.#addresses.clear();
  }

  /**
   * Throws PORT_IN_USE when one of the elements publishes a port where a process of the host listens, PORT_ADDRESS_INVALID when at an
   * address that the host does not have; `failing` gets the element.
   * @throws KernelFailure, SystemError, AnswerLost
   */
  refuseForeign(added: readonly Element[], failing: (element: Element) => void): void {
    for (const element of added) {
      const mapping = mappingOf(element);
      if (mapping === null) continue;
      const { protocol, port, address } = mapping;
      if (!this.#isOurs(mapping)) {
        failing(element);
        throw new KernelFailure('PORT_ADDRESS_INVALID', `${address} is no address of this host`, 'EADDRNOTAVAIL');
      }
      const holder = this.#bound(protocol).find(
        (socket) => socket.port === port && !socket.connected && receives(socket, address),
      );
      if (holder === undefined) continue;
      failing(element);
      const text = `${protocol} ${withPort(holder.address, port)} is held by ${holderOf(holder)}`;
      throw new KernelFailure('PORT_IN_USE', text, 'EADDRINUSE');
    }
  }

  /** Ports that one of the addresses has taken: by a socket, or published by us. */
  #taken({ protocol, addresses, avoid }: PortSearch): Set<number> {
    const hosts = addresses.map(canonical);
    const taken = new Set(avoid);
    for (const socket of this.#bound(protocol)) {
      if (hosts.some((host) => receives(socket, host))) taken.add(socket.port);
    }
    for (const element of this.#table.held()) {
      const mapping = mappingOf(element);
      if (mapping?.protocol !== protocol) continue;
      if (hosts.some((host) => overlaps(mapping.address, host))) taken.add(mapping.port);
    }
    return taken;
  }

  #findOne(search: PortSearch, taken: ReadonlySet<number>): number | null {
    const { choice, count } = search;
    const [from, to] = choice === null ? ephemeral() : [choice.from, choice.to];
    const reserved = choice === null ? reservedRanges() : [];
    const span = to - from + 1;
    const start = choice === null ? this.#next % Math.max(1, span) : 0;
    for (let tried = 0, free = 0; tried < span + count - 1; tried++) {
      const port = from + ((start + tried) % span);
      // A row of ports does not go on at the other end.
      if (port === from) free = 0;
      const usable = !taken.has(port) && !reserved.some(([first, last]) => contains(first, last, port));
      free = usable ? free + 1 : 0;
      if (free < count) continue;
      if (choice === null) this.#next = start + tried + 1;
      return port - count + 1;
    }
    return null;
  }

  /** The first of as many free ports as each search asks for; those of one call differ where they would be in each other's way. */
  find(searches: readonly PortSearch[]): readonly (number | null)[] {
    this.forget();
    const given: { readonly search: PortSearch; readonly first: number }[] = [];
    return searches.map((search) => {
      const taken = this.#taken(search);
      for (const { search: other, first } of given) {
        const same = other.protocol === search.protocol;
        const shared = other.addresses.some((a) => search.addresses.some((b) => overlaps(canonical(a), canonical(b))));
        if (same && shared) for (let at = 0; at < other.count; at++) taken.add(first + at);
      }
      const first = this.#findOne(search, taken);
      if (first !== null) given.push({ search, first });
      return first;
    });
  }

  close(): void {
    this.#diagnostics?.close();
  }
}
