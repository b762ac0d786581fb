/**
 * The entries that endpoints of other hosts have in a kernel: three kinds, each under a key of its own with a text that says where it
 * leads, so that what is wanted and what is there are compared as maps of texts. `way MAC` leads to a host, `station MAC` to the tunnel,
 * `neighbour ADDRESS` to a hardware address.
 */
import type { Peer } from '../port.ts';
import { formatAddress, formatMac, parseAddress, parseMac } from './address.ts';
import { AF, ND } from './constants.ts';
import {
  decodeNeighbour,
  dropNeighbour,
  dropStation,
  dropWay,
  dumpNeighbours,
  dumpStations,
  type NeighbourRecord,
  putNeighbour,
  putStation,
  putWay,
} from './neighbours.ts';
import type { NetlinkSocket } from './netlink.ts';
import type { MessageWriter } from './writer.ts';

export type Entries = Map<string, string>;

const kinds = { way: 'w', station: 's', neighbour: 'n' } as const;
const here = 'here';
/**
 * Where an entry leads that is not as ours are: nothing that is wanted is like it. It is dropped before the right one is put, since to
 * replace it would keep some of what it is (a bridge's own hardware address stays one).
 */
export const wrong = 'wrong';

export const addEntries = (entries: Entries, { mac, addresses, vtep }: Peer): void => {
  entries.set(kinds.way + mac, vtep);
  entries.set(kinds.station + mac, here);
  for (const address of addresses) entries.set(kinds.neighbour + address, mac);
};

export const encodePut = (w: MessageWriter, tunnel: number, key: string, leadsTo: string): void => {
  const name = key.slice(1);
  if (key.startsWith(kinds.way)) putWay(w, tunnel, parseMac(name), parseAddress(leadsTo));
  else if (key.startsWith(kinds.station)) putStation(w, tunnel, parseMac(name));
  else putNeighbour(w, tunnel, parseAddress(name), parseMac(leadsTo));
};

export const encodeDrop = (w: MessageWriter, tunnel: number, key: string): void => {
  const name = key.slice(1);
  if (key.startsWith(kinds.way)) dropWay(w, tunnel, parseMac(name));
  else if (key.startsWith(kinds.station)) dropStation(w, tunnel, parseMac(name));
  else dropNeighbour(w, tunnel, parseAddress(name));
};

/** Where an address leads, by its key and value; null for entries of other kinds. */
export const announced = (key: string, mac: string): { readonly mac: string; readonly address: string } | null =>
  key.startsWith(kinds.neighbour) ? { mac, address: key.slice(1) } : null;

/** The hardware address that the entry leads to, or is for. */
const addWay = (found: Entries, record: NeighbourRecord): void => {
  const right = (record.state & ND.NUD_PERMANENT) !== 0 && !record.astray && record.destination.length === 4;
  const key = kinds.way + formatMac(record.mac);
  // Twice: it leads to several hosts.
  found.set(key, right && !found.has(key) ? formatAddress(record.destination) : wrong);
};

/** A bridge lists an entry once more for each of its VLANs, even where it does not use them; the one without is what counts. */
const addStation = (found: Entries, record: NeighbourRecord, own: string): void => {
  const mac = formatMac(record.mac);
  const local = (record.state & ND.NUD_PERMANENT) !== 0;
  if (mac === own && local) return;
  const right = !local && (record.flags & ND.NTF_EXT_LEARNED) !== 0;
  const key = kinds.station + mac;
  if (record.vlan === 0) found.set(key, right ? here : wrong);
  else if (!found.has(key)) found.set(key, wrong);
};

/** States in which an entry says something; the rest is the kernel's own way of asking. */
const telling = ND.NUD_PERMANENT | ND.NUD_REACHABLE | ND.NUD_STALE | ND.NUD_DELAY | ND.NUD_PROBE;

const addNeighbour = (found: Entries, { state, destination, mac }: NeighbourRecord): void => {
  if ((state & telling) === 0 || mac.length === 0) return;
  const right = (state & ND.NUD_PERMANENT) !== 0;
  found.set(kinds.neighbour + formatAddress(destination), right ? formatMac(mac) : wrong);
};

const collect = (index: number, add: (found: Entries, record: NeighbourRecord) => void) => () => {
  const result: Entries = new Map();
  return {
    result,
    visit: (...message: Parameters<typeof decodeNeighbour>) => {
      const record = decodeNeighbour(...message);
      // Kernels before 4.12 do not know how to leave the others out.
      if (record?.index === index) add(result, record);
    },
  };
};

/** All entries on a tunnel, whoever made them; not its own hardware address as a port. */
export const readEntries = (
  socket: NetlinkSocket,
  writer: MessageWriter,
  tunnel: { readonly index: number; readonly mac: Uint8Array },
): Entries => {
  const own = formatMac(tunnel.mac);
  dumpStations(writer.reset(), tunnel.index);
  const found = socket.dump(
    writer,
    collect(tunnel.index, (entries, record) => {
      if (record.ofBridge) addStation(entries, record, own);
      else addWay(entries, record);
    }),
  );
  for (const family of [AF.INET, AF.INET6]) {
    dumpNeighbours(writer.reset(), family, tunnel.index);
    for (const [key, leadsTo] of socket.dump(writer, collect(tunnel.index, addNeighbour))) found.set(key, leadsTo);
  }
  return found;
};
