/** Encoders of rtnetlink messages: bytes, no policy. Layouts: linux/rtnetlink.h, if_link.h, if_addr.h, veth.h. */
import { AF, IFA, IFF, IFLA, IPV4_DEVCONF, ND, NETNSA, NL, RT, RTM } from './constants.ts';
import type { PortFlags } from './records.ts';
import type { MessageWriter } from './writer.ts';

const create = NL.F_CREATE | NL.F_EXCL;

/** struct ifinfomsg: family u8, type u16, index i32, flags u32, change u32. */
const link = (w: MessageWriter, type: number, flags: number, index: number, up?: boolean): void => {
  const at = w.begin(type, flags, 16);
  w.poke32(at + 4, index);
  if (up === undefined) return;
  w.poke32(at + 8, up ? IFF.UP : 0);
  w.poke32(at + 12, IFF.UP);
};

export interface LinkChange {
  readonly up?: boolean;
  readonly master?: number;
  readonly alias?: string;
  readonly name?: string;
  readonly mtu?: number;
  readonly mac?: Uint8Array;
  readonly group?: number;
}

/** Changes a link that exists. */
export const setLink = (w: MessageWriter, index: number, change: LinkChange): void => {
  link(w, RTM.NEWLINK, 0, index, change.up);
  if (change.name !== undefined) w.text(IFLA.IFNAME, change.name);
  if (change.mac !== undefined) w.data(IFLA.ADDRESS, change.mac);
  if (change.mtu !== undefined) w.u32(IFLA.MTU, change.mtu);
  if (change.master !== undefined) w.u32(IFLA.MASTER, change.master);
  if (change.alias !== undefined) w.text(IFLA.IFALIAS, change.alias);
  if (change.group !== undefined) w.u32(IFLA.GROUP, change.group);
  w.end();
};

/**
 * What a new link is told before it is set up. `quiet`: no generated link-local address, hence no duplicate detection, solicitation
 * or report from this end. An alias is given here because on a link that is up it makes the kernel walk all IPv6 routes
 * (do_setlink, netif_state_change).
 */
export const prepareLink = (
  w: MessageWriter,
  index: number,
  { quiet, alias }: { readonly quiet: boolean; readonly alias?: string },
): void => {
  if (!quiet && alias === undefined) return;
  link(w, RTM.NEWLINK, 0, index);
  if (alias !== undefined) w.text(IFLA.IFALIAS, alias);
  if (quiet) {
    w.openNest(IFLA.AF_SPEC);
    w.openNest(AF.INET6);
    w.u8(IFLA.INET6_ADDR_GEN_MODE, IFLA.GEN_MODE_NONE);
    w.closeNest();
    w.closeNest();
  }
  w.end();
};

/** Settings of a bridge port. What is none is refused: EINVAL. */
export const setPort = (w: MessageWriter, index: number, flags: PortFlags): void => {
  const at = w.begin(RTM.SETLINK, 0, 16);
  w.poke8(at, AF.BRIDGE);
  w.poke32(at + 4, index);
  w.openNest(IFLA.PROTINFO);
  w.u8(IFLA.BRPORT_HAIRPIN, Number(flags.hairpin));
  w.u8(IFLA.BRPORT_FAST_LEAVE, Number(flags.fastLeave));
  w.u8(IFLA.BRPORT_LEARNING, Number(flags.learning));
  w.u8(IFLA.BRPORT_UNICAST_FLOOD, Number(flags.unicastFlood));
  w.u8(IFLA.BRPORT_ISOLATED, Number(flags.isolated));
  w.closeNest();
  w.end();
};

/** `forwarding` is turned on where it is true, and else left as it is. */
export interface Routing {
  readonly forwarding: boolean;
  readonly routeLocalnet: boolean;
}

/** Whether packets may come and go through a link by routing, those of 127.0.0.0/8 included. */
export const setRouted = (w: MessageWriter, index: number, { forwarding, routeLocalnet }: Routing): void => {
  link(w, RTM.NEWLINK, 0, index);
  w.openNest(IFLA.AF_SPEC);
  w.openNest(AF.INET);
  w.openNest(IFLA.INET_CONF);
  if (forwarding) w.u32(IPV4_DEVCONF.FORWARDING, 1);
  w.u32(IPV4_DEVCONF.ROUTE_LOCALNET, Number(routeLocalnet));
  w.closeNest();
  w.closeNest();
  w.closeNest();
  w.end();
};

export interface NewBridge {
  readonly index: number;
  readonly name: string;
  readonly mac: Uint8Array;
  readonly mtu: number;
}

/** A bridge that forwards at once, with a MAC of its own: one without changes with its ports. */
export const newBridge = (w: MessageWriter, { index, name, mac, mtu }: NewBridge): void => {
  link(w, RTM.NEWLINK, create, index);
  w.text(IFLA.IFNAME, name);
  w.data(IFLA.ADDRESS, mac);
  w.u32(IFLA.MTU, mtu);
  w.openNest(IFLA.LINKINFO);
  w.text(IFLA.INFO_KIND, 'bridge');
  w.openNest(IFLA.INFO_DATA);
  w.u32(IFLA.BR_FORWARD_DELAY, 0);
  w.u32(IFLA.BR_STP_STATE, 0);
  w.u8(IFLA.BR_MCAST_SNOOPING, 0);
  w.closeNest();
  w.closeNest();
  w.end();
};

export interface VethPair {
  readonly index: number;
  readonly name: string;
  readonly mtu: number;
  /** `index` 0 lets the kernel choose. */
  readonly peer: { readonly index: number; readonly name: string; readonly mac: Uint8Array };
  /** Descriptor of the namespace that the peer is born in, where it is another one. */
  readonly namespace?: number;
}

/** Attributes of both ends. One queue: the default of one per CPU costs 130 us more (kernel.md, section 1). */
const vethEnd = (w: MessageWriter, name: string, mtu: number): void => {
  w.text(IFLA.IFNAME, name);
  w.u32(IFLA.MTU, mtu);
  w.u32(IFLA.NUM_TX_QUEUES, 1);
  w.u32(IFLA.NUM_RX_QUEUES, 1);
};

export const newVeth = (w: MessageWriter, { index, name, mtu, peer, namespace }: VethPair): void => {
  link(w, RTM.NEWLINK, create, index);
  vethEnd(w, name, mtu);
  w.openNest(IFLA.LINKINFO);
  w.text(IFLA.INFO_KIND, 'veth');
  w.openNest(IFLA.INFO_DATA);
  w.openNest(IFLA.VETH_INFO_PEER);
  // struct ifinfomsg of the peer, its index at offset 4. IFF_UP here would fail: the peer is opened before it is paired.
  w.poke32(w.gap(16) + 4, peer.index);
  vethEnd(w, peer.name, mtu);
  w.data(IFLA.ADDRESS, peer.mac);
  if (namespace !== undefined) w.u32(IFLA.NET_NS_FD, namespace);
  w.closeNest();
  w.closeNest();
  w.closeNest();
  w.end();
};

export const getLinkByIndex = (w: MessageWriter, index: number): void => {
  link(w, RTM.GETLINK, 0, index);
  w.u32(IFLA.EXT_MASK, IFLA.SKIP_STATS);
  w.end();
};

export const getLinkByName = (w: MessageWriter, name: string): void => {
  link(w, RTM.GETLINK, 0, 0);
  w.text(IFLA.IFNAME, name);
  w.u32(IFLA.EXT_MASK, IFLA.SKIP_STATS);
  w.end();
};

export const dumpLinks = (w: MessageWriter): void => {
  link(w, RTM.GETLINK, NL.F_DUMP, 0);
  w.u32(IFLA.EXT_MASK, IFLA.SKIP_STATS);
  w.end();
};

/** Gives the namespace behind a descriptor a number of the kernel's choice (struct rtgenmsg: family u8). Refused where it has one: EEXIST. */
export const newNamespaceId = (w: MessageWriter, descriptor: number): void => {
  w.begin(RTM.NEWNSID, 0, 4);
  w.u32(NETNSA.NSID, 0xffffffff);
  w.u32(NETNSA.FD, descriptor);
  w.end();
};

/** Asks for the number that the socket's namespace has for another one. */
export const getNamespaceId = (w: MessageWriter, descriptor: number): void => {
  w.begin(RTM.GETNSID, 0, 4);
  w.u32(NETNSA.FD, descriptor);
  w.end();
};

/** Waits for the kernel's grace periods, 16 to 35 ms: for what cannot be left to a reaper. */
export const deleteLink = (w: MessageWriter, index: number): void => {
  link(w, RTM.DELLINK, 0, index);
  w.end();
};

/** Deletes every link of a group: one wait for the kernel's grace periods, however many links. */
export const deleteGroup = (w: MessageWriter, group: number): void => {
  link(w, RTM.DELLINK, 0, 0);
  w.u32(IFLA.GROUP, group);
  w.end();
};

export interface InterfaceAddress {
  readonly index: number;
  readonly address: Uint8Array;
  readonly length: number;
  readonly broadcast?: Uint8Array;
}

/** struct ifaddrmsg: family, prefix length, flags, scope (u8 each), index u32. */
const address = (w: MessageWriter, type: number, flags: number, entry: InterfaceAddress): void => {
  const at = w.begin(type, flags, 8);
  w.poke8(at, entry.address.length === 4 ? AF.INET : AF.INET6);
  w.poke8(at + 1, entry.length);
  w.poke32(at + 4, entry.index);
  w.data(IFA.LOCAL, entry.address);
  if (entry.address.length === 4) w.data(IFA.ADDRESS, entry.address);
};

/** IPv6 addresses skip duplicate detection, which would take 1.6 s: the allocator knows that they are free. */
export const newAddress = (w: MessageWriter, entry: InterfaceAddress): void => {
  address(w, RTM.NEWADDR, create, entry);
  if (entry.broadcast !== undefined) w.data(IFA.BROADCAST, entry.broadcast);
  if (entry.address.length === 16) w.u32(IFA.FLAGS, IFA.F_NODAD);
  w.end();
};

export const delAddress = (w: MessageWriter, entry: InterfaceAddress): void => {
  address(w, RTM.DELADDR, 0, entry);
  w.end();
};

/** struct ifaddrmsg is accepted by every dump of addresses. */
export const dumpAddresses = (w: MessageWriter): void => {
  w.begin(RTM.GETADDR, NL.F_DUMP, 8);
  w.end();
};

/** A route over a link; an empty gateway means that the destination is on it. */
export interface LinkRoute {
  readonly destination: Uint8Array;
  readonly length: number;
  readonly gateway: Uint8Array;
  readonly index: number;
  readonly protocol: number;
}

/** struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type (u8 each), flags u32. */
const route = (w: MessageWriter, type: number, flags: number, entry: LinkRoute): void => {
  const at = w.begin(type, flags, 12);
  w.poke8(at, entry.destination.length === 4 ? AF.INET : AF.INET6);
  w.poke8(at + 1, entry.length);
  w.poke8(at + 4, RT.TABLE_MAIN);
  w.poke8(at + 5, entry.protocol);
  w.poke8(at + 6, entry.gateway.length > 0 ? RT.SCOPE_UNIVERSE : RT.SCOPE_LINK);
  w.poke8(at + 7, RT.UNICAST);
  if (entry.length > 0) w.data(RT.DST, entry.destination);
  if (entry.gateway.length > 0) w.data(RT.GATEWAY, entry.gateway);
  w.u32(RT.OIF, entry.index);
  w.end();
};

export const newRoute = (w: MessageWriter, entry: LinkRoute): void => route(w, RTM.NEWROUTE, create, entry);
export const delRoute = (w: MessageWriter, entry: LinkRoute): void => route(w, RTM.DELROUTE, 0, entry);

export const dumpRoutes = (w: MessageWriter): void => {
  w.begin(RTM.GETROUTE, NL.F_DUMP, 12);
  w.end();
};

/** Corrects the entry of a neighbour. Where there is none it is refused: ENOENT. struct ndmsg: family u8, index i32 at 4, state u16 at 8. */
export const correctNeighbour = (w: MessageWriter, index: number, address: Uint8Array, mac: Uint8Array): void => {
  const at = w.begin(RTM.NEWNEIGH, NL.F_REPLACE, 12);
  w.poke8(at, address.length === 4 ? AF.INET : AF.INET6);
  w.poke32(at + 4, index);
  w.poke8(at + 8, ND.NUD_STALE);
  w.data(ND.DST, address);
  w.data(ND.LLADDR, mac);
  w.end();
};
