/** What the set-up thread keeps: its way home, its sockets there, and what it has still to hand to the reaper. */
import type { Tag } from '../objects.ts';
import type { KernelFacts } from '../port.ts';
import { type Announcement, Announcer } from './announce.ts';
import { AF, NL, SOCK } from './constants.ts';
import { KernelFailure, refused } from './failure.ts';
import { C, check, close, open, setns, socket } from './libc.ts';
import type { Listeners } from './listener.ts';
import { AnswerLost, NetlinkSocket, type Refusal } from './netlink.ts';
import type { Tunnel } from './peers.ts';
import { type Netfilter, readNetfilter } from './port-flags.ts';
import type { ThreadOptions } from './protocol.ts';
import { decodeLink, type LinkRecord } from './records.ts';
import { dumpLinks, getLinkByIndex, getLinkByName } from './rtnetlink.ts';
import { Spares, sparesBytes } from './spares.ts';
import { MessageWriter } from './writer.ts';

/** Something silenced that is still to be removed: links, which go with the namespace behind the descriptor where there is one. */
export interface ReapJob {
  readonly links: readonly number[];
  /** Pins a namespace that no path leads to any more; -1 for none. Whoever holds the job closes it. */
  readonly namespace: number;
  /** Links inside that namespace, which lives on. */
  readonly inside?: readonly number[];
}

export interface Host {
  readonly realm: string;
  readonly host: string;
  readonly runDir: string;
  /** Descriptor of the host's own namespace. */
  readonly home: number;
  /** Speaks to the host's namespace, wherever the thread is. */
  readonly route: NetlinkSocket;
  readonly writer: MessageWriter;
  /** Indexes of the bridges that are known to be ours. */
  readonly bridges: Map<string, number>;
  /** Whether the kernel has IPv6 at all: without it, links have no settings for it. */
  readonly ipv6: boolean;
  /** Host ends that came up since the last `synchronise`, and their bridges. */
  readonly fresh: Set<number>;
  readonly reaps: ReapJob[];
  /** Interfaces that came up since the last `synchronise`, for their neighbours. */
  readonly announcements: Announcement[];
  readonly announcer: Announcer;
  /** What was told of the endpoints of other hosts, by the name of the tunnel. */
  readonly tunnels: Map<string, Tunnel>;
  /** Namespaces made ahead. */
  readonly spares: Spares;
  /** Port of the resolver that they come with; null for none. */
  readonly resolverPort: number | null;
  /** Sockets that namespaces came with and nobody has asked for yet, by the path of the namespace. */
  readonly listeners: Map<string, Listeners>;
  /** Inode of the namespace at a path of ours, as it was seen last: the file may be taken away while the namespace lives. */
  readonly namespaces: Map<string, number>;
  /** Whether the thread may be in another namespace than `home`. */
  away: boolean;
  /** Next interface index to try. */
  index: number;
  /** The first behind it that is not known to be free. */
  indexEnd: number;
  /** Which bridged packets the ruleset sees, as far as is known. */
  netfilter: Netfilter;
  /** What the kernel lets us do, once it was tried. */
  capabilities: KernelFacts['capabilities'] | null;
}

/** Where a thread's own namespace is; `/proc/self` would be the main thread's. */
export const threadNamespace = '/proc/thread-self/ns/net';

export const batchBytes = 65536;

/**
 * Interface indexes of ours start high: a veth pair with equal indexes on both ends is slow to come up (kernel.md, section 5).
 * Later messages of a batch address a link by the index that the first one gave it, so an index has to be free: where to start depends
 * on realm and host, and a million of indexes has to be unused there. It is looked for anew whenever those are used up. Behind the last
 * index that there is it goes on with the lowest of ours, so one comes again only after hundreds of millions of others.
 */
const indexBase = 0x10000000;
const indexSpan = 0x60000000;
const indexWindow = 1 << 20;
/** Behind the last: the kernel counts in signed 32 bits. */
const indexTop = 0x7fffffff;

/** FNV-1a */
export const hash = (text: string): number => {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193) >>> 0;
  return value;
};

/** The lowest from `first` on with so many unused behind it; null for none. @param taken in ascending order */
const freeFrom = (first: number, taken: readonly number[], count: number): number | null => {
  let start = first;
  for (const index of [...taken.filter((each) => each >= first), indexTop]) {
    if (index - start >= count) return start;
    start = index + 1;
  }
  return null;
};

interface IndexWindow {
  readonly index: number;
  readonly indexEnd: number;
}

/**
 * Unused indexes from `first` on, or from the lowest when there are no more. A host that was up for a year has links of all that time: where there
 * is no place for a million, fewer do.
 * @throws KernelFailure when every index is taken
 */
export const freeIndexes = (first: number, links: readonly Pick<LinkRecord, 'index'>[]): IndexWindow => {
  const taken = links.map(({ index }) => index).sort((a, b) => a - b);
  for (let count = indexWindow; count >= 1; count /= 2) {
    const index = freeFrom(first, taken, count) ?? freeFrom(indexBase, taken, count);
    if (index !== null) return { index, indexEnd: index + count };
  }
  throw new KernelFailure('KERNEL_ERROR', 'every interface index is taken', 'EBUSY');
};

/** Marks a link that is as good as deleted: a census passes it over, a reaper of the same realm and host removes it. */
export const deathMark = (owner: Pick<Tag, 'realm' | 'host'>): string => `cnm-dead:${owner.realm}:${owner.host}`;

/** A kernel that was started with ipv6.disable=1 knows no such sockets (EAFNOSUPPORT). */
const hasIpv6 = (): boolean => {
  const descriptor = socket(AF.INET6, SOCK.DGRAM, 0);
  if (descriptor < 0) return false;
  close(descriptor);
  return true;
};

/** Other people's links may change all the time, which interrupts a dump: at the start there is time to wait for a quiet moment. */
export const patiently = <T>(read: () => T): T => {
  for (let attempt = 0; attempt < patienceMax; attempt++) {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof AnswerLost)) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
    }
  }
  return read();
};

const patienceMax = 20;

type HostOptions = Pick<ThreadOptions, 'realm' | 'host' | 'runDir' | 'resolverPort'>;

/** @param spares where somebody makes namespaces ahead; left out: nobody does */
export const openHost = (
  { realm, host, runDir, resolverPort }: HostOptions,
  spares = new Spares(new SharedArrayBuffer(sparesBytes)),
): Host => {
  const home = check(open(threadNamespace, C.O_RDONLY | C.O_CLOEXEC, 0), `open ${threadNamespace}`);
  const route = new NetlinkSocket(NL.ROUTE).widen();
  const writer = new MessageWriter(batchBytes);
  const links = patiently(() => listLinks(route, writer));
  const window = freeIndexes(indexBase + (hash(`${realm}:${host}`) % indexSpan), links);
  return {
    realm,
    host,
    runDir,
    home,
    route,
    writer,
    ipv6: hasIpv6(),
    bridges: new Map(),
    fresh: new Set(),
    reaps: [],
    announcements: [],
    announcer: new Announcer(),
    tunnels: new Map(),
    spares,
    resolverPort: resolverPort ?? null,
    listeners: new Map(),
    namespaces: new Map(),
    away: false,
    ...window,
    netfilter: readNetfilter(),
    capabilities: null,
  };
};

type IndexTaker = Pick<Host, 'route' | 'index' | 'indexEnd'>;

/** With a writer of its own: the host's may hold half a batch. */
const seekIndexes = (host: IndexTaker, first: number): void => {
  const links = patiently(() => listLinks(host.route, new MessageWriter(batchBytes)));
  Object.assign(host, freeIndexes(first, links));
};

export const takeIndex = (host: IndexTaker): number => {
  if (host.index >= host.indexEnd) seekIndexes(host, host.index);
  return host.index++;
};

/** For when an index is taken after all. */
export const skipIndexes = (host: IndexTaker): void => seekIndexes(host, host.index + indexWindow);

/** Whether a new link was refused for its index. The kernel says EEXIST of it, which it says of a name too; EBUSY where it comes to see it late. */
export const isIndexTaken = (host: Host, index: number, { errno }: Refusal): boolean =>
  errno === 'EBUSY' || (errno === 'EEXIST' && readLinkAt(host.route, host.writer, index) !== null);

/** An index that nothing in a namespace has, for whom a refusal would say too little of it, or too late. */
export const freeIndex = (host: Host, socket: NetlinkSocket): number => {
  for (;;) {
    const index = takeIndex(host);
    if (readLinkAt(socket, host.writer, index) === null) return index;
    skipIndexes(host);
  }
};

export const goHome = (host: Pick<Host, 'home' | 'away'>): void => {
  if (!host.away) return;
  check(setns(host.home, C.CLONE_NEWNET), 'setns home');
  host.away = false;
};

export const listLinks = (socket: NetlinkSocket, writer: MessageWriter): LinkRecord[] => {
  dumpLinks(writer.reset());
  return socket.dump(writer, () => {
    const result: LinkRecord[] = [];
    return {
      result,
      visit: (reader, message) => {
        const link = decodeLink(reader, message);
        if (link) result.push(link);
      },
    };
  });
};

/** Links per batch. */
const chunk = 256;

/** Links by their names, in one exchange or few; null for each that is not there. */
export const readLinks = (
  socket: NetlinkSocket,
  writer: MessageWriter,
  names: readonly string[],
): readonly (LinkRecord | null)[] => {
  const found = new Map<string, LinkRecord>();
  for (let at = 0; at < names.length; at += chunk) {
    writer.reset();
    for (const name of names.slice(at, at + chunk)) getLinkByName(writer, name);
    const refusals = socket.request(writer, (reader, message) => {
      const link = decodeLink(reader, message);
      if (link) found.set(link.name, link);
    });
    for (const refusal of refusals) if (refusal.errno !== 'ENODEV') throw refused(refusal);
  }
  return names.map((name) => found.get(name) ?? null);
};

export const readLink = (socket: NetlinkSocket, writer: MessageWriter, name: string): LinkRecord | null =>
  readLinks(socket, writer, [name])[0] ?? null;

export const readLinkAt = (socket: NetlinkSocket, writer: MessageWriter, index: number): LinkRecord | null => {
  getLinkByIndex(writer.reset(), index);
  let found: LinkRecord | null = null;
  const refusals = socket.request(writer, (reader, message) => {
    found = decodeLink(reader, message);
  });
  for (const refusal of refusals) if (refusal.errno !== 'ENODEV') throw refused(refusal);
  return found;
};

/** Links by their indexes; those that are not there are left out. */
export const readLinksAt = (
  socket: NetlinkSocket,
  writer: MessageWriter,
  indexes: readonly number[],
): readonly LinkRecord[] => {
  const found: LinkRecord[] = [];
  for (let at = 0; at < indexes.length; at += chunk) {
    writer.reset();
    for (const index of indexes.slice(at, at + chunk)) getLinkByIndex(writer, index);
    const refusals = socket.request(writer, (reader, message) => {
      const link = decodeLink(reader, message);
      if (link) found.push(link);
    });
    for (const refusal of refusals) if (refusal.errno !== 'ENODEV') throw refused(refusal);
  }
  return found;
};

export const requireLink = (socket: NetlinkSocket, writer: MessageWriter, name: string): LinkRecord => {
  const link = readLink(socket, writer, name);
  if (link === null) throw new KernelFailure('KERNEL_ERROR', `no interface ${name}`, 'ENODEV');
  return link;
};
