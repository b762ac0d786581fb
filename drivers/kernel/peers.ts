/**
 * The endpoints of other hosts, as tunnels know them. The tables that were told are kept here, so that looking after them carries
 * nothing between threads; they are forgotten with their tunnel (`removeVxlan`). One that vanished keeps its table for when it is back.
 */
import type { Peer, PeerChange, PeerResult, PeerTable } from '../port.ts';
import { parseAddress, parseMac } from './address.ts';
import { faultOf, isFailure, KernelFailure, refused } from './failure.ts';
import { type Host, requireLink } from './host.ts';
import { addEntries, announced, type Entries, encodeDrop, encodePut, readEntries, wrong } from './peer-entries.ts';

/** What a tunnel was told. */
export interface Tunnel {
  readonly bridge: string;
  /** Where it was found when its whole table was last written or looked at; 0: nowhere. */
  index: number;
  /** By MAC. */
  readonly peers: Map<string, Peer>;
}

/** A batch is sent when it has grown to this; a message has less than 100 bytes. */
const chunkBytes = 60_000;

/** What a deletion may find: that it is done. */
const absent: ReadonlySet<string> = new Set(['ENOENT', 'ESRCH']);

const send = (host: Host): void => {
  if (host.writer.count === 0) return;
  const refusal = host.route.request(host.writer).find(({ errno }) => !absent.has(errno));
  host.writer.reset();
  if (refusal) throw refused(refusal);
};

/** Drops first: an address or MAC may be in both. */
const write = (
  host: Host,
  tunnel: number,
  drops: Iterable<string>,
  puts: Iterable<readonly [string, string]>,
): void => {
  const { writer } = host;
  writer.reset();
  for (const key of drops) {
    encodeDrop(writer, tunnel, key);
    if (writer.length > chunkBytes) send(host);
  }
  for (const [key, leadsTo] of puts) {
    encodePut(writer, tunnel, key, leadsTo);
    if (writer.length > chunkBytes) send(host);
  }
  send(host);
};

/** Ports of the bridge may know an address at another hardware address. */
const announce = (host: Host, { bridge }: Tunnel, puts: Iterable<readonly [string, string]>): void => {
  for (const [key, leadsTo] of puts) {
    const entry = announced(key, leadsTo);
    if (entry === null) continue;
    host.announcements.push({ bridge, mac: parseMac(entry.mac), addresses: [parseAddress(entry.address)] });
  }
};

const attempt = (tunnel: string, step: () => number): PeerResult => {
  try {
    return { ok: true, corrected: step() };
  } catch (error) {
    if (!isFailure(error)) throw error;
    return { ok: false, fault: faultOf(error, `set peers of ${tunnel}`, []) };
  }
};

const entriesOf = (host: Host, peers: Iterable<Peer>): Entries => {
  const entries: Entries = new Map();
  for (const peer of peers) {
    // Where there is no IPv6 there is nobody who asks for it, and nowhere to put it.
    addEntries(entries, host.ipv6 ? peer : { ...peer, addresses: peer.addresses.filter(isV4) });
  }
  return entries;
};

const isV4 = (address: string): boolean => !address.includes(':');

/** Makes a tunnel hold exactly its table, or leaves it; answers how many entries were not so. */
const correct = (host: Host, name: string, tunnel: Tunnel, isLeft = false): number => {
  tunnel.index = 0;
  const link = requireLink(host.route, host.writer, name);
  tunnel.index = link.index;
  if (link.master !== 0) host.bridges.set(tunnel.bridge, link.master);
  const present = readEntries(host.route, host.writer, link);
  const wanted = entriesOf(host, tunnel.peers.values());
  const strange = [...present.keys()].filter((key) => !wanted.has(key));
  const bent = [...present].flatMap(([key, leadsTo]) => (leadsTo === wrong && wanted.has(key) ? [key] : []));
  const puts = [...wanted].filter(([key, leadsTo]) => present.get(key) !== leadsTo);
  if (isLeft) return strange.length + puts.length;
  write(host, link.index, [...strange, ...bent], puts);
  announce(host, tunnel, puts);
  return strange.length + puts.length;
};

/** Gives a tunnel that was made anew what it was told before, if it was told anything. */
export const restorePeers = (host: Host, name: string): void => {
  const tunnel = host.tunnels.get(name);
  if (tunnel) correct(host, name, tunnel);
};

export const setPeers = (host: Host, tables: readonly PeerTable[]): readonly PeerResult[] =>
  tables.map(({ tunnel: name, bridge, peers }) => {
    const tunnel: Tunnel = { bridge, index: 0, peers: new Map(peers.map((peer) => [peer.mac, peer])) };
    host.tunnels.set(name, tunnel);
    return attempt(name, () => correct(host, name, tunnel));
  });

/**
 * Without a look at the tunnel, which would wait for the kernel's lock once more: an index of ours is not used twice, so what is told at one
 * where it was is refused when it is not there.
 */
const change = (host: Host, name: string, { put, drop }: PeerChange): number => {
  const tunnel = host.tunnels.get(name);
  if (tunnel === undefined) throw new KernelFailure('KERNEL_ERROR', `no peers were set of ${name}`, 'ENODEV');
  // What they have had before: they may come with fewer addresses.
  const before = [...drop, ...put].flatMap(({ mac }) => tunnel.peers.get(mac) ?? []);
  for (const { mac } of drop) tunnel.peers.delete(mac);
  for (const peer of put) tunnel.peers.set(peer.mac, peer);
  if (tunnel.index === 0) tunnel.index = requireLink(host.route, host.writer, name).index;
  const puts = entriesOf(host, put);
  const drops = [...entriesOf(host, [...drop, ...before]).keys()].filter((key) => !puts.has(key));
  write(host, tunnel.index, drops, puts);
  announce(host, tunnel, puts);
  return 0;
};

export const changePeers = (host: Host, changes: readonly PeerChange[]): readonly PeerResult[] =>
  changes.map((each) => attempt(each.tunnel, () => change(host, each.tunnel, each)));

export const checkPeers = (
  host: Host,
  left: readonly string[],
): readonly (PeerResult & { readonly tunnel: string })[] =>
  [...host.tunnels].map(([name, tunnel]) => ({
    ...attempt(name, () => correct(host, name, tunnel, left.includes(name))),
    tunnel: name,
  }));
