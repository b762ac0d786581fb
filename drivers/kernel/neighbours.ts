/**
 * Codec of neighbours: of IP, of a bridge and of a tunnel, all RTM_NEWNEIGH with struct ndmsg (linux/neighbour.h): family u8, index i32 at
 * 4, state u16 at 8, flags u8 at 10, type u8 at 11.
 */
import { AF, ND, NL, RTM } from './constants.ts';
import type { Message, MessageReader } from './reader.ts';
import type { MessageWriter } from './writer.ts';

const ndmsgBytes = 12;
const put = NL.F_CREATE | NL.F_REPLACE;

const begin = (
  w: MessageWriter,
  head: { readonly type: number; readonly flags: number; readonly family: number; readonly index: number },
  state: number,
  ndFlags: number,
): void => {
  const at = w.begin(head.type, head.flags, ndmsgBytes);
  w.poke8(at, head.family);
  w.poke32(at + 4, head.index);
  w.poke8(at + 8, state);
  w.poke8(at + 10, ndFlags);
};

const putting = (family: number, index: number) => ({ type: RTM.NEWNEIGH, flags: put, family, index });
const dropping = (family: number, index: number) => ({ type: RTM.DELNEIGH, flags: 0, family, index });

/** Frames for a hardware address leave the tunnel for a host. */
export const putWay = (w: MessageWriter, tunnel: number, mac: Uint8Array, vtep: Uint8Array): void => {
  begin(w, putting(AF.BRIDGE, tunnel), ND.NUD_PERMANENT | ND.NUD_NOARP, ND.NTF_SELF);
  w.data(ND.LLADDR, mac);
  w.data(ND.DST, vtep);
  w.end();
};

export const dropWay = (w: MessageWriter, tunnel: number, mac: Uint8Array): void => {
  begin(w, dropping(AF.BRIDGE, tunnel), 0, ND.NTF_SELF);
  w.data(ND.LLADDR, mac);
  w.end();
};

/** The bridge that the tunnel is a port of has a hardware address behind it. It does not age, as one that was learnt elsewhere. */
export const putStation = (w: MessageWriter, tunnel: number, mac: Uint8Array): void => {
  begin(w, putting(AF.BRIDGE, tunnel), ND.NUD_NOARP, ND.NTF_MASTER | ND.NTF_EXT_LEARNED);
  w.data(ND.LLADDR, mac);
  w.end();
};

export const dropStation = (w: MessageWriter, tunnel: number, mac: Uint8Array): void => {
  begin(w, dropping(AF.BRIDGE, tunnel), 0, ND.NTF_MASTER);
  w.data(ND.LLADDR, mac);
  w.end();
};

const familyOf = (address: Uint8Array): number => (address.length === 4 ? AF.INET : AF.INET6);

/** Who asks for an address out of the tunnel is told this hardware address. */
export const putNeighbour = (w: MessageWriter, tunnel: number, address: Uint8Array, mac: Uint8Array): void => {
  begin(w, putting(familyOf(address), tunnel), ND.NUD_PERMANENT, 0);
  w.data(ND.DST, address);
  w.data(ND.LLADDR, mac);
  w.end();
};

export const dropNeighbour = (w: MessageWriter, tunnel: number, address: Uint8Array): void => {
  begin(w, dropping(familyOf(address), tunnel), 0, 0);
  w.data(ND.DST, address);
  w.end();
};

/**
 * All that a bridge and a device know of what is behind the device. The header is struct ifinfomsg, which every kernel takes here
 * (rtnl_fdb_dump): family u8, index i32 at 4.
 */
export const dumpStations = (w: MessageWriter, device: number): void => {
  const at = w.begin(RTM.GETNEIGH, NL.F_DUMP, 16);
  w.poke8(at, AF.BRIDGE);
  w.poke32(at + 4, device);
  w.end();
};

/** Neighbours of one family on a device. */
export const dumpNeighbours = (w: MessageWriter, family: number, device: number): void => {
  w.poke8(w.begin(RTM.GETNEIGH, NL.F_DUMP, ndmsgBytes), family);
  w.u32(ND.IFINDEX, device);
  w.end();
};

export interface NeighbourRecord {
  readonly family: number;
  readonly index: number;
  readonly state: number;
  readonly flags: number;
  /** An address, or where a tunnel leads to; empty for none. */
  readonly destination: Uint8Array;
  readonly mac: Uint8Array;
  /** Whether it is a bridge's. */
  readonly ofBridge: boolean;
  /** A bridge's: 0 for none. */
  readonly vlan: number;
  /** A tunnel's that goes to another port, segment or device than the tunnel itself. */
  readonly astray: boolean;
}

/** Typed without its buffer's kind, so that a slice can take its place. */
const none: Uint8Array = new Uint8Array(0);

const strays: ReadonlySet<number> = new Set([ND.PORT, ND.VNI, ND.IFINDEX]);

export const decodeNeighbour = (reader: MessageReader, { type, start, end }: Message): NeighbourRecord | null => {
  if (type !== RTM.NEWNEIGH || end - start < ndmsgBytes) return null;
  let [destination, mac, ofBridge, vlan, astray] = [none, none, false, 0, false];
  reader.attributes(start + ndmsgBytes, end, (attribute, from, to) => {
    if (attribute === ND.DST) destination = reader.slice(from, to);
    else if (attribute === ND.LLADDR) mac = reader.slice(from, to);
    else if (attribute === ND.MASTER) ofBridge = true;
    else if (attribute === ND.VLAN && to - from === 2) vlan = reader.u16(from);
    else if (strays.has(attribute)) astray = true;
  });
  return {
    family: reader.u8(start),
    index: reader.u32(start + 4),
    state: reader.u16(start + 8),
    flags: reader.u8(start + 10),
    destination,
    mac,
    ofBridge,
    vlan,
    astray,
  };
};
