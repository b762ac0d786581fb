/** Decoders of rtnetlink answers. */
import { AF, IFA, IFF, IFLA, IPV4_DEVCONF, NETNSA, RT } from './constants.ts';
import type { Message, MessageReader } from './reader.ts';

/** Flags of a bridge port. Fast leave says something about multicast snooping, which is off on our bridges: it is free to mark with. */
export interface PortFlags {
  readonly isolated: boolean;
  readonly hairpin: boolean;
  readonly fastLeave: boolean;
  /** The bridge learns who is behind this port. */
  readonly learning: boolean;
  /** What the bridge knows no port for leaves here too. */
  readonly unicastFlood: boolean;
}

/** What a tunnel was made with. */
export interface TunnelRecord {
  readonly vni: number;
  /** Empty where it was given none. */
  readonly local: Uint8Array;
  readonly port: number;
  readonly learning: boolean;
  readonly proxy: boolean;
}

/** What a link that stands on another was made with; 0 where its kind has no such thing. */
export interface SublinkRecord {
  /** Of a macvlan (`MACVLAN`) or an ipvlan (`IPVLAN`). */
  readonly mode: number;
  /** Of an ipvlan (`IPVLAN_FLAG`). */
  readonly flags: number;
  /** Of a vlan. */
  readonly vlan: number;
}

/** What a new port is. */
export const plainPort: PortFlags = {
  isolated: false,
  hairpin: false,
  fastLeave: false,
  learning: true,
  unicastFlood: true,
};

export interface LinkRecord {
  readonly index: number;
  readonly up: boolean;
  readonly loopback: boolean;
  readonly name: string;
  readonly mac: Uint8Array;
  readonly mtu: number;
  /** Index of the bridge; 0 for none. */
  readonly master: number;
  /** Index of the other end of a veth, or of what the link stands on, in that one's namespace; 0 for none. */
  readonly peer: number;
  /** `bridge`, `veth`, `vxlan`, or empty for devices without a link type. */
  readonly kind: string;
  readonly alias: string;
  /** Settings as a port of a bridge; those of a new port for what is none. */
  readonly port: PortFlags;
  /** Null for what is no vxlan. */
  readonly tunnel: TunnelRecord | null;
  readonly sublink: SublinkRecord;
  /** Packets that come in here are forwarded (IPv4). */
  readonly forwarding: boolean;
  /** Packets to and from 127.0.0.0/8 may pass here. */
  readonly routeLocalnet: boolean;
}

/** Typed without its buffer's kind, so that a slice can take its place. */
const none: Uint8Array = new Uint8Array(0);

const readPort = (reader: MessageReader, start: number, end: number): PortFlags => {
  const flags = new Set<number>();
  reader.attributes(start, end, (flag, at, until) => {
    if (until - at === 1 && reader.u8(at) === 1) flags.add(flag);
  });
  return {
    isolated: flags.has(IFLA.BRPORT_ISOLATED),
    hairpin: flags.has(IFLA.BRPORT_HAIRPIN),
    fastLeave: flags.has(IFLA.BRPORT_FAST_LEAVE),
    learning: flags.has(IFLA.BRPORT_LEARNING),
    unicastFlood: flags.has(IFLA.BRPORT_UNICAST_FLOOD),
  };
};

const readTunnel = (reader: MessageReader, start: number, end: number): TunnelRecord => {
  let [vni, local, port, learning, proxy] = [0, none, 0, false, false];
  reader.attributes(start, end, (type, from, to) => {
    if (type === IFLA.VXLAN_ID && to - from === 4) vni = reader.u32(from);
    else if (type === IFLA.VXLAN_LOCAL) local = reader.slice(from, to);
    else if (type === IFLA.VXLAN_PORT && to - from === 2) port = reader.be16(from);
    else if (type === IFLA.VXLAN_LEARNING && to - from === 1) learning = reader.u8(from) !== 0;
    else if (type === IFLA.VXLAN_PROXY && to - from === 1) proxy = reader.u8(from) !== 0;
  });
  return { vni, local, port, learning, proxy };
};

const noSublink: SublinkRecord = { mode: 0, flags: 0, vlan: 0 };

const readSublink = (reader: MessageReader, kind: string, start: number, end: number): SublinkRecord => {
  const found = new Map<number, number>();
  reader.attributes(start, end, (type, from, to) => {
    if (to - from === 4) found.set(type, reader.u32(from));
    else if (to - from === 2) found.set(type, reader.u16(from));
  });
  if (kind === 'vlan') return { ...noSublink, vlan: found.get(IFLA.VLAN_ID) ?? 0 };
  if (kind === 'macvlan') return { ...noSublink, mode: found.get(IFLA.MACVLAN_MODE) ?? 0 };
  return { ...noSublink, mode: found.get(IFLA.IPVLAN_MODE) ?? 0, flags: found.get(IFLA.IPVLAN_FLAGS) ?? 0 };
};

type Info = Pick<LinkRecord, 'kind' | 'port' | 'tunnel' | 'sublink'>;

/** What is inside LINKINFO. A kernel names the kind before its data. */
const readInfo = (reader: MessageReader, start: number, end: number): Info => {
  let info: Info = { kind: '', port: plainPort, tunnel: null, sublink: noSublink };
  reader.attributes(start, end, (type, from, to) => {
    if (type === IFLA.INFO_KIND) info = { ...info, kind: reader.text(from, to) };
    else if (type === IFLA.INFO_SLAVE_DATA) info = { ...info, port: readPort(reader, from, to) };
    else if (type === IFLA.INFO_DATA) {
      if (info.kind === 'vxlan') info = { ...info, tunnel: readTunnel(reader, from, to) };
      else if (sublinks.has(info.kind)) info = { ...info, sublink: readSublink(reader, info.kind, from, to) };
    }
  });
  return info;
};

const sublinks: ReadonlySet<string> = new Set(['vlan', 'macvlan', 'ipvlan']);

/** The settings for IPv4 inside AF_SPEC, as they are read: number 1 first. */
const readInet = (reader: MessageReader, start: number, end: number): ((setting: number) => number) => {
  let [first, last] = [0, 0];
  reader.attributes(start, end, (family, from, to) => {
    if (family !== AF.INET) return;
    reader.attributes(from, to, (type, at, until) => {
      if (type === IFLA.INET_CONF) [first, last] = [at, until];
    });
  });
  return (setting) => (first + 4 * setting <= last ? reader.u32(first + 4 * (setting - 1)) : 0);
};

/** RTM_NEWLINK: struct ifinfomsg is 16 bytes, index at 4, flags at 8. */
export const decodeLink = (reader: MessageReader, message: Message): LinkRecord | null => {
  const { start, end } = message;
  if (end - start < 16) return null;
  let [name, alias, mac, mtu, master, peer] = ['', '', none, 0, 0, 0];
  let info = readInfo(reader, 0, 0);
  let inet = readInet(reader, 0, 0);
  reader.attributes(start + 16, end, (type, from, to) => {
    if (type === IFLA.IFNAME) name = reader.text(from, to);
    else if (type === IFLA.IFALIAS) alias = reader.text(from, to);
    else if (type === IFLA.ADDRESS) mac = reader.slice(from, to);
    else if (type === IFLA.LINKINFO) info = readInfo(reader, from, to);
    else if (type === IFLA.AF_SPEC) inet = readInet(reader, from, to);
    else if (to - from !== 4) return;
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
    kind: info.kind,
    alias,
    port: info.port,
    tunnel: info.tunnel,
    sublink: info.sublink,
    forwarding: inet(IPV4_DEVCONF.FORWARDING) !== 0,
    routeLocalnet: inet(IPV4_DEVCONF.ROUTE_LOCALNET) !== 0,
  };
};

export interface AddressRecord {
  readonly index: number;
  readonly address: Uint8Array;
  readonly length: number;
  /** Given without a look whether it is taken, as ours are; what a kernel generates is not. */
  readonly given: boolean;
}

const addressBytes = (family: number): number => (family === AF.INET ? 4 : family === AF.INET6 ? 16 : 0);

/** RTM_NEWADDR: struct ifaddrmsg is 8 bytes. IFA_LOCAL is the address itself; IPv6 gives it as IFA_ADDRESS. */
export const decodeAddress = (reader: MessageReader, message: Message): AddressRecord | null => {
  const { start, end } = message;
  const bytes = end - start < 8 ? 0 : addressBytes(reader.u8(start));
  if (bytes === 0) return null;
  let [local, address, flags] = [none, none, 0];
  reader.attributes(start + 8, end, (type, from, to) => {
    if (type === IFA.FLAGS && to - from === 4) flags = reader.u32(from);
    if (to - from !== bytes) return;
    if (type === IFA.LOCAL) local = reader.slice(from, to);
    else if (type === IFA.ADDRESS) address = reader.slice(from, to);
  });
  const found = local.length > 0 ? local : address;
  if (found.length === 0) return null;
  const given = (flags & IFA.F_NODAD) !== 0;
  return { index: reader.u32(start + 4), address: found, length: reader.u8(start + 1), given };
};

/** RTM_NEWNSID as the answer to RTM_GETNSID: struct rtgenmsg (4 bytes with padding) and NETNSA_NSID; null for none. */
export const decodeNamespaceId = (reader: MessageReader, { start, end }: Message): number | null => {
  let number: number | null = null;
  reader.attributes(start + 4, end, (type, from) => {
    if (type === NETNSA.NSID) number = reader.u32(from) | 0;
  });
  return number === null || number < 0 ? null : number;
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
