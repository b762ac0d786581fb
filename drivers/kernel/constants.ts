/** Numbers of the netlink protocols that this adapter speaks, under the names that the kernel's headers give them. */

/** linux/netlink.h */
export const NL = {
  ROUTE: 0,
  SOCK_DIAG: 4,
  XFRM: 6,
  NETFILTER: 12,
  ERROR: 2,
  DONE: 3,
  F_REQUEST: 1,
  F_ACK: 4,
  F_DUMP_INTR: 0x10,
  F_REPLACE: 0x100,
  F_EXCL: 0x200,
  F_CREATE: 0x400,
  F_APPEND: 0x800,
  F_DUMP: 0x300,
  F_CAPPED: 0x100,
  F_ACK_TLVS: 0x200,
  ERRATTR_MSG: 1,
  ERRATTR_OFFS: 2,
  NESTED: 0x8000,
  TYPE_MASK: 0x3fff,
  SOL: 270,
  ADD_MEMBERSHIP: 1,
  LISTEN_ALL_NSID: 8,
  CAP_ACK: 10,
  EXT_ACK: 11,
} as const;

/** linux/rtnetlink.h */
export const RTM = {
  NEWLINK: 16,
  DELLINK: 17,
  GETLINK: 18,
  SETLINK: 19,
  NEWADDR: 20,
  DELADDR: 21,
  GETADDR: 22,
  NEWROUTE: 24,
  DELROUTE: 25,
  GETROUTE: 26,
  NEWNEIGH: 28,
  DELNEIGH: 29,
  GETNEIGH: 30,
  NEWNSID: 88,
  GETNSID: 90,
} as const;

/** linux/net_namespace.h */
export const NETNSA = { NSID: 1, FD: 3 } as const;

/** linux/rtnetlink.h, linux/netfilter/nfnetlink.h: groups of notifications. */
export const GROUP = {
  LINK: 1,
  IPV4_ADDRESS: 5,
  IPV4_ROUTE: 7,
  IPV6_ADDRESS: 9,
  IPV6_ROUTE: 11,
  NFTABLES: 7,
} as const;

/** linux/if_link.h; `INFO_*` are inside LINKINFO, `BR_*` inside INFO_DATA of a bridge. */
export const IFLA = {
  ADDRESS: 1,
  IFNAME: 3,
  MTU: 4,
  LINK: 5,
  LINK_NETNSID: 37,
  MASTER: 10,
  PROTINFO: 12,
  LINKINFO: 18,
  IFALIAS: 20,
  AF_SPEC: 26,
  GROUP: 27,
  NET_NS_FD: 28,
  EXT_MASK: 29,
  NUM_TX_QUEUES: 31,
  NUM_RX_QUEUES: 32,
  INFO_KIND: 1,
  INFO_DATA: 2,
  INFO_SLAVE_KIND: 4,
  INFO_SLAVE_DATA: 5,
  BR_FORWARD_DELAY: 1,
  BR_STP_STATE: 5,
  BR_MCAST_SNOOPING: 23,
  /** `BRPORT_*` are inside PROTINFO of a port, and inside its INFO_SLAVE_DATA. */
  BRPORT_HAIRPIN: 4,
  BRPORT_FAST_LEAVE: 7,
  BRPORT_LEARNING: 8,
  BRPORT_UNICAST_FLOOD: 9,
  BRPORT_ISOLATED: 33,
  /** Inside AF_INET of AF_SPEC: when set, a nest of settings; when read, an array of u32 that starts with number 1. */
  INET_CONF: 1,
  /** Inside INFO_DATA of a vxlan. */
  VXLAN_ID: 1,
  VXLAN_LOCAL: 4,
  VXLAN_TTL: 5,
  VXLAN_LEARNING: 7,
  VXLAN_PROXY: 11,
  VXLAN_PORT: 15,
  /** Inside INFO_DATA of a vlan, a macvlan, an ipvlan. */
  VLAN_ID: 1,
  MACVLAN_MODE: 1,
  IPVLAN_MODE: 1,
  IPVLAN_FLAGS: 2,
  /** linux/veth.h */
  VETH_INFO_PEER: 1,
  INET6_ADDR_GEN_MODE: 8,
  /** IN6_ADDR_GEN_MODE_NONE */
  GEN_MODE_NONE: 1,
  /** RTEXT_FILTER_SKIP_STATS */
  SKIP_STATS: 8,
} as const;

/** linux/if.h */
export const IFF = { UP: 1, LOOPBACK: 8 } as const;

/** linux/ip.h: settings of an interface for IPv4 */
export const IPV4_DEVCONF = { FORWARDING: 1, ROUTE_LOCALNET: 26 } as const;

/** linux/neighbour.h */
export const ND = {
  DST: 1,
  LLADDR: 2,
  VLAN: 5,
  PORT: 6,
  VNI: 7,
  IFINDEX: 8,
  MASTER: 9,
  NUD_REACHABLE: 2,
  NUD_STALE: 4,
  NUD_DELAY: 8,
  NUD_PROBE: 0x10,
  NUD_NOARP: 0x40,
  NUD_PERMANENT: 0x80,
  NTF_SELF: 2,
  NTF_MASTER: 4,
  NTF_EXT_LEARNED: 0x10,
} as const;

/** linux/if_link.h: modes of a macvlan, and modes and flags of an ipvlan. */
export const MACVLAN = { private: 1, vepa: 2, bridge: 4, passthru: 8 } as const;
export const IPVLAN = { l2: 0, l3: 1, l3s: 2 } as const;
export const IPVLAN_FLAG = { bridge: 0, private: 1, vepa: 2 } as const;

/** linux/xfrm.h: message types, attributes, directions of a policy; linux/in.h: protocols. */
export const XFRM = {
  NEWSA: 16,
  DELSA: 17,
  GETSA: 18,
  NEWPOLICY: 19,
  DELPOLICY: 20,
  GETPOLICY: 21,
  TMPL: 5,
  SRCADDR: 13,
  ALG_AEAD: 18,
  REPLAY_ESN_VAL: 23,
  STATE_ESN: 128,
  MODE_TRANSPORT: 0,
  IN: 0,
  OUT: 1,
  ESP: 50,
  UDP: 17,
} as const;

/** linux/socket.h, asm-generic/socket.h */
export const AF = { UNSPEC: 0, INET: 2, BRIDGE: 7, INET6: 10, NETLINK: 16, PACKET: 17 } as const;
export const SOCK = {
  STREAM: 1,
  DGRAM: 2,
  RAW: 3,
  NONBLOCK: 0x800,
  CLOEXEC: 0x80000,
  SOL_SOCKET: 1,
  REUSEADDR: 2,
  ATTACH_FILTER: 26,
  SNDBUFFORCE: 32,
  RCVBUFFORCE: 33,
  MSG_DONTWAIT: 0x40,
} as const;

/** linux/if_addr.h */
export const IFA = { ADDRESS: 1, LOCAL: 2, BROADCAST: 4, FLAGS: 8, F_NODAD: 2 } as const;

/** linux/rtnetlink.h, struct rtmsg */
export const RT = {
  DST: 1,
  OIF: 4,
  GATEWAY: 5,
  TABLE: 15,
  TABLE_MAIN: 254,
  PROTOCOL_KERNEL: 2,
  SCOPE_UNIVERSE: 0,
  SCOPE_LINK: 253,
  UNICAST: 1,
} as const;

/** linux/netfilter/nf_tables.h and nfnetlink.h: message types, then the attributes of each by its kind. */
export const NFT = {
  SUBSYSTEM: 10,
  BATCH_BEGIN: 16,
  BATCH_END: 17,
  NEWTABLE: 0,
  GETTABLE: 1,
  DELTABLE: 2,
  NEWCHAIN: 3,
  NEWRULE: 6,
  GETRULE: 7,
  DELRULE: 8,
  DELCHAIN: 5,
  NEWGEN: 15,
  DELSET: 11,
  NEWSET: 9,
  NEWSETELEM: 12,
  GETSETELEM: 13,
  DELSETELEM: 14,
  /** Family of a table that sees IPv4 and IPv6: NFPROTO_INET. */
  INET: 1,
  SET_MAP: 8,
  TABLE_OWNER: 2,
  TABLE_PERSIST: 4,
} as const;
