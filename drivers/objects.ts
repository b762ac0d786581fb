/**
 * The kernel objects that networks, endpoints and sandboxes are made of, as plain data.
 * Drivers answer them, the planner compares them, a `Kernel` makes and removes them.
 */

/** Owner of an object: written into the kernel (link alias, element comment), so that it is known after all local state is lost. */
export interface Tag {
  readonly realm: string;
  readonly host: string;
  readonly entity: 'network' | 'endpoint' | 'sandbox';
  /** The incarnation id of the network, endpoint or sandbox. */
  readonly id: string;
}

/** An address with its prefix length, canonical text: `10.200.0.2/24`, `fd00:1:2:3::2/64`. */
export type Cidr = string;

/** A network namespace, kept alive by a bind mount at `path`. One that a caller brought (`owned: false`) is used and never removed. */
export interface Netns {
  readonly kind: 'netns';
  readonly path: string;
  readonly owned: boolean;
  readonly tag: Tag;
}

/** A bridge in the host's namespace, with the gateway addresses it holds. */
export interface Bridge {
  readonly kind: 'bridge';
  readonly name: string;
  readonly mac: string;
  readonly mtu: number;
  readonly addresses: readonly Cidr[];
  /** Traffic goes in and out by routing: the host forwards, and ports published on 127.0.0.0/8 lead here (route_localnet). */
  readonly routed: boolean;
  readonly tag: Tag;
}

/** A veth pair: the host end is a port of `bridge`, the peer is born inside the namespace at `netns`. */
export interface Veth {
  readonly kind: 'veth';
  readonly name: string;
  readonly bridge: string;
  readonly mtu: number;
  readonly netns: string;
  /** Its addresses in the order in which a kernel lists them: IPv4, then IPv6, of which link-local ones last. */
  readonly peer: { readonly name: string; readonly mac: string; readonly addresses: readonly Cidr[] };
  /** The port exchanges nothing with the bridge's other isolated ports. */
  readonly isolated: boolean;
  /** What is done once, when the pair is made, and is whoever's it is afterwards: no difference is seen in it later. */
  readonly birth: {
    /** Settings of the peer, before it comes up: `net.ipv4.conf.IFNAME.arp_notify` to `1`. */
    readonly sysctls: Readonly<Record<string, string>>;
  };
  readonly tag: Tag;
}

/**
 * UDP port of tunnels whose packets are encrypted between hosts. Whatever else comes or goes there is dropped by the kernel, as long as one
 * of these tunnels is there.
 */
export const encryptedPort = 4790;

/**
 * A tunnel in the host's namespace, a port of `bridge`: frames for the hardware addresses that it is told of go to other hosts
 * (RFC 7348). It learns nothing and floods nothing; who is where, `Kernel.setPeers` says.
 */
export interface Vxlan {
  readonly kind: 'vxlan';
  readonly name: string;
  readonly bridge: string;
  /** Number of the layer-2 segment, 24 bits. */
  readonly vni: number;
  /** Address of this host that its packets come from, IPv4. */
  readonly local: string;
  /** UDP port, here and at the other hosts. */
  readonly port: number;
  readonly mtu: number;
  readonly tag: Tag;
}

/** Where an interface inside a sandbox comes from. Names of parents are those of links in the host's namespace. */
export type DeviceSource =
  | {
      readonly type: 'macvlan';
      readonly parent: string;
      readonly mode: 'private' | 'vepa' | 'bridge' | 'passthru';
    }
  | {
      readonly type: 'ipvlan';
      readonly parent: string;
      readonly mode: 'l2' | 'l3' | 'l3s';
      readonly flag: 'bridge' | 'private' | 'vepa';
    }
  /** Somebody else made it on the host, and it goes back there. */
  | { readonly type: 'moved' };

/** An interface inside a namespace that has no end of ours on the host. */
export interface Device {
  readonly kind: 'device';
  readonly netns: string;
  readonly name: string;
  readonly source: DeviceSource;
  /** Null where it is the kernel's, the parent's or the maker's choice; then it is not compared. */
  readonly mac: string | null;
  readonly mtu: number | null;
  /** In the order of a veth's. */
  readonly addresses: readonly Cidr[];
  /** As for a veth; and the name that a moved one has on the host, empty for others. */
  readonly birth: { readonly sysctls: Readonly<Record<string, string>>; readonly link: string };
  readonly tag: Tag;
}

/** A link of the host that speaks one 802.1Q tag of its parent. */
export interface Vlan {
  readonly kind: 'vlan';
  readonly name: string;
  readonly parent: string;
  /** 1 to 4094. */
  readonly id: number;
  readonly tag: Tag;
}

/** A link of the host that leads nowhere, for others to stand on. */
export interface Stub {
  readonly kind: 'stub';
  readonly name: string;
  readonly mtu: number;
  readonly tag: Tag;
}

/** A route inside a sandbox. An empty gateway: the destination is on the link. */
export interface Route {
  readonly kind: 'route';
  readonly netns: string;
  /** `0.0.0.0/0` and `::/0` are the default routes. */
  readonly destination: Cidr;
  readonly gateway: string;
  /** Name of the interface inside the namespace. */
  readonly device: string;
  readonly tag: Tag;
}

/** What a field of an nftables element holds, each written as text: `eth0`, `tcp`, `8080`, `10.0.0.2`, `fd00::2`. */
export type ElementField = 'interface' | 'protocol' | 'port' | 'ipv4' | 'ipv6';

/** The sets and maps of our nftables table: the fields of a key, and of what a map leads to. */
export const elementSets = {
  /** Bridges of ours. */
  bridges: { key: ['interface'], data: [] },
  /** Bridges with no way in or out. */
  internal: { key: ['interface'], data: [] },
  /** A bridge twice: from it back to itself, for what was published and comes round again. */
  own: { key: ['interface', 'interface'], data: [] },
  /** A bridge twice: its endpoints may talk to each other. */
  icc: { key: ['interface', 'interface'], data: [] },
  /** Bridges whose traffic of a family leaves with the host's address; never one that is in snat4 or snat6. */
  masq4: { key: ['interface'], data: [] },
  masq6: { key: ['interface'], data: [] },
  /** Bridges whose endpoints may be reached from outside at every port (gateway mode nat-unprotected), per family. */
  open4: { key: ['interface'], data: [] },
  open6: { key: ['interface'], data: [] },
  /** An interface of the host and a bridge: what comes in there may reach the bridge's endpoints. */
  trusted: { key: ['interface', 'interface'], data: [] },
  /** Ports of endpoints that may be reached from outside without translation (gateway mode routed). */
  routed4: { key: ['ipv4', 'protocol', 'port'], data: [] },
  routed6: { key: ['ipv6', 'protocol', 'port'], data: [] },
  /** Published ports on every address of the host, and on one: to an address and port of an endpoint. */
  dnat4: { key: ['protocol', 'port'], data: ['ipv4', 'port'] },
  dnat4ip: { key: ['ipv4', 'protocol', 'port'], data: ['ipv4', 'port'] },
  dnat6: { key: ['protocol', 'port'], data: ['ipv6', 'port'] },
  dnat6ip: { key: ['ipv6', 'protocol', 'port'], data: ['ipv6', 'port'] },
  /** Bridges whose traffic leaves with a chosen address of the host. */
  snat4: { key: ['interface'], data: ['ipv4'] },
  snat6: { key: ['interface'], data: ['ipv6'] },
} as const satisfies Readonly<
  Record<string, { readonly key: readonly ElementField[]; readonly data: readonly ElementField[] }>
>;
export type ElementSet = keyof typeof elementSets;

/** One element of a set or map in our nftables table. */
export interface Element {
  readonly kind: 'element';
  readonly set: ElementSet;
  readonly key: readonly string[];
  /** Empty where the set is no map. */
  readonly data: readonly string[];
  readonly tag: Tag;
}

/** A file for a sandbox, on our tmpfs, to be mounted by a runtime. What its user has changed in it stays. */
export interface SandboxFile {
  readonly kind: 'file';
  readonly path: string;
  readonly content: string;
  readonly tag: Tag;
}

/**
 * Inside a sandbox: queries to 127.0.0.11 port 53 are led to a port where this host's worker answers them. Its tag is that of the
 * namespace.
 */
export interface Resolver {
  readonly kind: 'resolver';
  readonly netns: string;
  readonly port: number;
  readonly tag: Tag;
}

export type KernelObject =
  | Netns
  | Bridge
  | Vxlan
  | Vlan
  | Stub
  | Veth
  | Device
  | Route
  | Element
  | SandboxFile
  | Resolver;

/** Identity of an object on one host: two objects with one key are the same object in two states. */
export const objectKey = (object: KernelObject): string => {
  switch (object.kind) {
    case 'netns':
      return `netns ${object.path}`;
    case 'bridge':
    case 'vxlan':
    case 'vlan':
    case 'stub':
    case 'veth':
      return `link ${object.name}`;
    case 'device':
      return `device ${object.netns} ${object.name}`;
    case 'route':
      return `route ${object.netns} ${object.destination}`;
    case 'file':
      return `file ${object.path}`;
    case 'resolver':
      return `resolver ${object.netns}`;
    case 'element':
      return `element ${object.set} ${object.key.join(' . ')}`;
    default:
      return object satisfies never;
  }
};

/** A tag as it is written into the kernel: at most 128 bytes, the limit of an nftables comment (libnftnl udata.h). */
export const formatTag = (tag: Tag): string => `cnm:${tag.realm}:${tag.host}:${tag.entity[0]}:${tag.id}`;

const entities = { n: 'network', e: 'endpoint', s: 'sandbox' } as const;

/** What an interface carries that came from the host: also the name that it had there, so that it goes back to it whoever sends it. */
export const formatMovedTag = (tag: Tag, link: string): string =>
  link === '' ? formatTag(tag) : `${formatTag(tag)}:${link}`;

/** The name on the host that a text tells of; null where it tells of none. */
export const movedFrom = (text: string): string | null => (parseTag(text) ? (text.split(':')[5] ?? null) : null);

/** The tag that a text carries, or null when it is not one of ours. */
export const parseTag = (text: string): Tag | null => {
  const match = /^cnm:([^:]+):([^:]+):([ns](?=:[0-9a-z]+$)|e):([0-9a-z]+)(?::[^/:\s]+)?$/.exec(text);
  if (!match) return null;
  const [, realm = '', host = '', letter = '', id = ''] = match;
  return { realm, host, entity: entities[letter as keyof typeof entities], id };
};
