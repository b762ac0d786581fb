/** Decoders of rtnetlink answers. */
import { AF, IFA, IFF, IFLA, RT } from './constants.ts';
import type { Message, MessageReader } from './reader.ts';

export interface LinkRecord {
  readonly index: number;
  readonly up: boolean;
  readonly loopback: boolean;
  readonly name: string;
  readonly mac: Uint8Array;
  readonly mtu: number;
  /** Index of the bridge; 0 for none. */
  readonly master: number;
  /** Index of the other end of a veth, in its own namespace; 0 for none. */
  readonly peer: number;
  /** `bridge`, `veth`, or empty for devices without a link type. */
  readonly kind: string;
  readonly alias: string;
}

/** Typed without its buffer's kind, so that a slice can take its place. */
const none: Uint8Array = new Uint8Array(0);

/** RTM_NEWLINK: struct ifinfomsg is 16 bytes, index at 4, flags at 8. */
export const decodeLink = (reader: MessageReader, message: Message): LinkRecord | null => {
  const { start, end } = message;
  if (end - start < 16) return null;
  let [name, alias, kind, mac, mtu, master, peer] = ['', '', '', none, 0, 0, 0];
  reader.attributes(start + 16, end, (type, from, to) => {
    if (type === IFLA.IFNAME) name = reader.text(from, to);
    else if (type === IFLA.IFALIAS) alias = reader.text(from, to);
    else if (type === IFLA.ADDRESS) mac = reader.slice(from, to);
    else if (type === IFLA.LINKINFO) {
      reader.attributes(from, to, (inner, at, until) => {
        if (inner === IFLA.INFO_KIND) kind = reader.text(at, until);
      });
    } else if (to - from !== 4) return;
    else if (type === IFLA.MTU) mtu = reader.u32(from);
    else if (type === IFLA.MASTER) master = reader.u32(from);
    else if (type === IFLA.LINK) peer = reader.u32(from);
  });
  const flags = reader.u32(start + 8);
  return {
    index: reader.u32(start + 4),
    up: (flags & IFF.UP) !== 0,
    loopback: (flags & IFF.LOOPBACK) !== 0,
    name,
    mac,
    mtu,
    master,
    peer,
    kind,
    alias,
  };
};

export interface AddressRecord {
  readonly index: number;
  readonly address: Uint8Array;
  readonly length: number;
}

const addressBytes = (family: number): number => (family === AF.INET ? 4 : family === AF.INET6 ? 16 : 0);

/** RTM_NEWADDR: struct ifaddrmsg is 8 bytes. IFA_LOCAL is the address itself; IPv6 gives it as IFA_ADDRESS. */
export const decodeAddress = (reader: MessageReader, message: Message): AddressRecord | null => {
  const { start, end } = message;
  const bytes = end - start < 8 ? 0 : addressBytes(reader.u8(start));
  if (bytes === 0) return null;
  let [local, address] = [none, none];
  reader.attributes(start + 8, end, (type, from, to) => {
    if (to - from !== bytes) return;
    if (type === IFA.LOCAL) local = reader.slice(from, to);
    else if (type === IFA.ADDRESS) address = reader.slice(from, to);
  });
  const found = local.length > 0 ? local : address;
  if (found.length === 0) return null;
  return { index: reader.u32(start + 4), address: found, length: reader.u8(start + 1) };
};

export interface RouteRecord {
  readonly table: number;
  readonly protocol: number;
  readonly type: number;
  readonly destination: Uint8Array;
  readonly length: number;
  /** Empty for a route without a gateway. */
  readonly gateway: Uint8Array;
  /** Index of the device; 0 for none (multipath, blackhole). */
  readonly index: number;
}

/** RTM_NEWROUTE: struct rtmsg is 12 bytes; no RTA_DST means the default route. */
export const decodeRoute = (reader: MessageReader, message: Message): RouteRecord | null => {
  const { start, end } = message;
  const bytes = end - start < 12 ? 0 : addressBytes(reader.u8(start));
  if (bytes === 0) return null;
  let destination: Uint8Array = new Uint8Array(bytes);
  let [gateway, index, table] = [none, 0, reader.u8(start + 4)];
  reader.attributes(start + 12, end, (type, from, to) => {
    if (type === RT.DST && to - from === bytes) destination = reader.slice(from, to);
    else if (type === RT.GATEWAY && to - from === bytes) gateway = reader.slice(from, to);
    else if (type === RT.OIF && to - from === 4) index = reader.u32(from);
    else if (type === RT.TABLE && to - from === 4) table = reader.u32(from);
  });
  const length = reader.u8(start + 1);
  return { table, protocol: reader.u8(start + 5), type: reader.u8(start + 7), destination, length, gateway, index };
};
