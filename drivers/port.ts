/**
 * What the worker asks of a kernel. Two adapters: Linux (drivers/kernel) and memory (test/support); one contract suite holds for both.
 */
import type { KernelObject } from './objects.ts';

/** One change of one object. Each is "ensure" shaped: already so is success, present but foreign is a conflict, absent on deletion is success. */
export type Operation =
  | { readonly op: 'create'; readonly object: KernelObject }
  | { readonly op: 'delete'; readonly object: KernelObject }
  | { readonly op: 'update'; readonly from: KernelObject; readonly object: KernelObject };

/** Operations that succeed or fail together: what was done before the failing one is undone. */
export interface Plan {
  /** Names the plan in logs and results: the id of the command. */
  readonly id: string;
  readonly operations: readonly Operation[];
  /** Links of the host that have to be there: looked for before anything is done (KERNEL_ERROR ENODEV). */
  readonly needs?: readonly string[];
}

/** Why an operation failed, in the kernel's own words. */
export interface KernelFault {
  /**
   * KERNEL_ERROR (errno below), FOREIGN_OBJECT (something that is not ours has that name), BRIDGE_FULL (1023 ports),
   * NETNS_UNUSABLE (a brought namespace is missing, may not be opened, or is no network namespace), PORT_IN_USE (a process of the host listens there:
   * the text names its pid and command), PORT_ADDRESS_INVALID (a port was to be published at an address that the host does not have),
   * INTERFERED (somebody else has changed what the plan had made before it was done: the text names it, and what was found),
   * SYSCTL_INVALID (a setting that was asked for is not there, or does not take the value).
   */
  readonly code:
    | 'KERNEL_ERROR'
    | 'FOREIGN_OBJECT'
    | 'INTERFERED'
    | 'BRIDGE_FULL'
    | 'NETNS_UNUSABLE'
    | 'PORT_IN_USE'
    | 'PORT_ADDRESS_INVALID'
    | 'SYSCTL_INVALID';
  /** `create veth cvabc`, `delete netns /run/...`: `stepOf` of the operation, where it was one. */
  readonly step: string;
  /** `EEXIST`, or empty when no system call failed. */
  readonly errno: string;
  /** The kernel's extended-ack text where there is one, else what we know. */
  readonly text: string;
  readonly retryable: boolean;
  /** Faults of the undoing; empty when the host is as it was. */
  readonly undoFaults: readonly string[];
}

export type PlanResult = { readonly ok: true } | { readonly ok: false; readonly fault: KernelFault };

/** What of ours exists. Something that could not be read is `unknown`, which is not absent: it is never deleted or made anew for that. */
export interface Census {
  readonly objects: readonly KernelObject[];
  /** Keys (`objectKey`) or paths of what could not be read, with the reason. */
  readonly unknown: readonly { readonly what: string; readonly reason: string }[];
  /** Why an object is shown worse than it is, by its key: it is there, and `down`. */
  readonly remarks?: Readonly<Record<string, string>>;
  /**
   * Of what was looked at in part (`Extent`): what of the host matters to all of it, and what it says: `setting
   * net.bridge.bridge-nf-call-iptables` is `1`. Our table, where others have changed it: it is made again at once.
   */
  readonly settings?: Readonly<Record<string, string>>;
  /** Keys of objects that are as they should be by another value of a setting. */
  readonly outdated?: readonly string[];
}

/** What is to be looked at; what is not named is not in the census, and not unknown either. */
export interface Extent {
  /** Names of links in the host's namespace that are no veth: bridges, tunnels and what others stand on. */
  readonly links: readonly string[];
  /** Paths of namespaces, with everything that is in them, and the host ends of veth pairs that lead there. */
  readonly namespaces: readonly string[];
  /** Paths. */
  readonly files: readonly string[];
  readonly elements: boolean;
}

/**
 * Somebody has changed something that may be ours: only where to look. `everything`: notifications were lost, or it is not known where it was;
 * `table`: our packet filter.
 */
export interface Notice {
  readonly of: 'network' | 'endpoint' | 'sandbox' | 'table' | 'everything';
  /** Incarnation of the network, endpoint or sandbox; else empty. */
  readonly id: string;
  /** Who did it, as far as the kernel tells: `netlink port 812 (ip)`. Empty: it does not. */
  readonly suspect: string;
}

/** What only this kernel knows and decisions need. */
export interface KernelFacts {
  readonly kernel: string;
  readonly bootId: string;
  /** Destinations of the host's routes except default routes and our own, canonical CIDR. */
  readonly routes: readonly string[];
  readonly capabilities: Readonly<
    Record<
      | 'netAdmin'
      | 'sysAdmin'
      | 'bridge'
      | 'veth'
      | 'nftables'
      | 'netns'
      | 'ipv6'
      | 'vxlan'
      | 'macvlan'
      | 'ipvlan'
      | 'vlan'
      | 'esp',
      boolean
    >
  >;
  /** Those of `routes` that lead out of each link that is not ours, by the link's name. */
  readonly linkRoutes: Readonly<Record<string, readonly string[]>>;
  /** Links of the host that are not ours and are named as 802.1q links are: `PARENT.ID`. */
  readonly vlans: readonly string[];
  /** Smallest MTU of the host's links that are up, loopback apart; 1500 when there are none. */
  readonly mtu: number;
  /** How other hosts reach this one, by IPv4: the address, the interface that has it, and its MTU. Null: they do not. */
  readonly underlay: { readonly address: string; readonly device: string; readonly mtu: number } | null;
  /** Address or interface that the settings name for it; null: none. */
  readonly underlayAsked: string | null;
}

/** Host ports that are looked for: `count` in a row, free on all of the addresses. */
export interface PortSearch {
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  readonly addresses: readonly string[];
  readonly count: number;
  /** Null: the host's range of ephemeral ports without its reserved ones. */
  readonly choice: { readonly from: number; readonly to: number } | null;
  /** Ports that are taken otherwise. */
  readonly avoid: readonly number[];
}

/** An endpoint of another host, as a tunnel has to know it. */
export interface Peer {
  readonly mac: string;
  /** IPv4 and IPv6, without prefix lengths. */
  readonly addresses: readonly string[];
  /** IPv4 address of the host that it is on. */
  readonly vtep: string;
}

/** Everybody that a tunnel leads to. */
export interface PeerTable {
  /** Name of the vxlan device. */
  readonly tunnel: string;
  /** Its bridge, whose ports are told of an address that is at another hardware address than before. */
  readonly bridge: string;
  readonly peers: readonly Peer[];
}

/** Some who come, and some who go; those who go leave first, so that an address may be in both lists. */
export interface PeerChange {
  readonly tunnel: string;
  readonly put: readonly Peer[];
  readonly drop: readonly Peer[];
}

/**
 * How many entries of the kernel were not as they should be, and are now. A tunnel that is not there, or was not set, is a fault:
 * KERNEL_ERROR ENODEV.
 */
export type PeerResult =
  | { readonly ok: true; readonly corrected: number }
  | { readonly ok: false; readonly fault: KernelFault };

/** What encrypts packets in one direction between two hosts (ESP, RFC 4303; "security association"), without its key. */
export interface Association {
  /** IPv4 addresses of the hosts. */
  readonly source: string;
  readonly destination: string;
  /** Names it at the destination, 32 bits. */
  readonly spi: number;
}

export interface KeyedAssociation extends Association {
  /** Hexadecimal: 32 bytes of AES-256-GCM and 4 of salt (RFC 4106). It is shown to nobody, and never logged. */
  readonly key: string;
}

export interface Associations {
  /** Ours, in the order in which they were added. */
  readonly present: readonly Association[];
  /** Whether plain packets of encrypted tunnels are dropped. */
  readonly guarded: boolean;
}

export interface AssociationChange {
  /** Plain packets of encrypted tunnels are to be dropped. False: no longer, if no such tunnel is there. */
  readonly guard: boolean;
  /** None of them there. */
  readonly add: readonly KeyedAssociation[];
  /** Afterwards, but where one between the same ends was to be added and was refused. They may be gone. */
  readonly remove: readonly Association[];
}

/** How much of something that all networks of the machine share is in use. */
export interface KernelUse {
  readonly what: string;
  readonly used: number;
  readonly limit: number;
}

export interface Kernel {
  /** Applies plans in order, each all or nothing; one result per plan. Plans handed in together share system calls where they can. */
  apply(plans: readonly Plan[]): Promise<readonly PlanResult[]>;
  /** @param extent all of it when left out */
  census(extent?: Extent): Promise<Census>;
  /** From here on, tells of changes that others may have made; own ones are told too where they look like one. Who asks later is told instead. */
  watch(tell: (notices: readonly Notice[]) => void): void;
  facts(): Promise<KernelFacts>;
  /** Processes that are told of every change of a link of the host, `pid 812 (NetworkManager)`, us apart: who may be behind changes. */
  listeners(): Promise<readonly string[]>;
  /** What the machine shows of its limits. */
  capacity(): Promise<readonly KernelUse[]>;
  /** These are the tables: what the kernel holds for these tunnels is read, compared and corrected. One result per table. */
  setPeers(tables: readonly PeerTable[]): Promise<readonly PeerResult[]>;
  /** Changes tables that were set, without reading them first; `corrected` is 0. Taken in order with `apply`. */
  changePeers(changes: readonly PeerChange[]): Promise<readonly PeerResult[]>;
  /**
   * As `setPeers`, for all tables that are known: they are forgotten with their tunnel, and with the process.
   * @param left tunnels whose entries stay as they are: what is wrong is counted only
   */
  checkPeers(left?: readonly string[]): Promise<readonly (PeerResult & { readonly tunnel: string })[]>;
  /** What there is to encrypt with, of this realm. A tunnel at `encryptedPort` is never made without its guard. */
  associations(): Promise<
    { readonly ok: true; readonly found: Associations } | { readonly ok: false; readonly fault: KernelFault }
  >;
  /** In order with `apply`. Not all or nothing: the fault is the first, and who is told of it looks again. */
  changeAssociations(change: AssociationChange): Promise<PlanResult>;
  /** The first of as many free host ports as each search asks for; null where there are none. They are not held. */
  findPorts(searches: readonly PortSearch[]): Promise<readonly (number | null)[]>;
  /**
   * Sockets inside a sandbox, bound to 127.0.0.11 and this port for UDP and TCP: descriptors that the caller owns. Fails with a fault.
   * Requests are taken in order: asked right behind `apply`, it finds what the plans have made.
   */
  openResolver(
    netns: string,
    port: number,
  ): Promise<
    | { readonly ok: true; readonly udp: number; readonly tcp: number }
    | { readonly ok: false; readonly fault: KernelFault }
  >;
  /** Resolves when everything deleted so far is gone from the kernel: deletion silences at once, a reaper removes in slices. */
  settled(): Promise<void>;
  close(): Promise<void>;
}
