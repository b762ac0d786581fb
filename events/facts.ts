/** Shapes that events share: what is recorded of networks, endpoints, sandboxes, ports and faults. */
import { z } from 'zod';
import { AfterReboot, DriftPolicy, Gc, InterfaceName, LeaseMs, Protocol } from './commands.ts';
import { EndpointName, Id, NetworkName, SandboxId } from './names.ts';

export const Texts = z.record(z.string(), z.string());
const Family = z.union([z.literal(4), z.literal(6)]);

/** What stands in the way of a command, or is to blame for a failure. */
export const Culprit = z.object({
  kind: z.string(),
  id: z.string(),
  name: z.string().optional(),
  detail: z.string().optional(),
});
export type Culprit = z.infer<typeof Culprit>;

export const Subnet = z.object({
  family: Family,
  subnet: z.string(),
  range: z.string().nullable(),
  gateway: z.string().nullable(),
  aux: Texts,
  /** VXLAN network identifier of its segment, where its network is a tunnel's; both subnets of a network have the same. */
  vni: z.int().nullable(),
  /** What the driver of address management calls the pool; null where that is our own. */
  pool: z.string().nullable(),
});
export type Subnet = z.infer<typeof Subnet>;

/** What names are resolved with; null: nobody said. */
export const Dns = z.object({
  servers: z.array(z.string()).nullable(),
  search: z.array(z.string()).nullable(),
  options: z.array(z.string()).nullable(),
});
export type Dns = z.infer<typeof Dns>;

export const NetworkFacts = z.object({
  id: Id,
  name: NetworkName,
  driver: z.string(),
  ipv4: z.boolean(),
  ipv6: z.boolean(),
  internal: z.boolean(),
  ipam: z.object({
    driver: z.string(),
    options: Texts,
    overlap: z.boolean(),
    /** Families whose gateway was asked for, where the driver may do without one. */
    gateways: z.array(Family).optional(),
  }),
  subnets: z.array(Subnet),
  /** Of its links; null where the driver makes none. */
  mtu: z.int().nullable(),
  options: Texts,
  labels: Texts,
  gc: Gc.nullable(),
  /** Holds settings for others, and no endpoints: no driver ever sees it. */
  configOnly: z.boolean(),
  /** Name of the network that its settings were taken from. */
  configFrom: z.string().nullable(),
  dns: Dns,
  /** `realm`: on every host, and its names, addresses and MACs are unique over all of them. */
  scope: z.enum(['host', 'realm']),
  /**
   * What carries a default route out of it: the gateway of its subnet, the link itself, what a plugin said of the endpoint, an endpoint
   * of ours in a network that is made for it (`outlet`), nothing.
   */
  defaultRoute: z.enum(['gateway', 'link', 'endpoint', 'outlet', 'none']),
  /** Made by us: the way out of sandboxes none of whose networks has one. */
  outlet: z.boolean(),
  /** How its frames travel from host to host; null where they do not. */
  tunnel: z.object({ port: z.int(), encrypted: z.boolean() }).nullable(),
  /** Who it is for, in the words of whoever made it; null: nobody said. */
  owner: z.string().nullable(),
  /** How long it lasts unless it is renewed; null: until it is deleted. */
  leaseMs: LeaseMs.nullable(),
  /** What is done when somebody else changes it in the kernel. */
  drift: DriftPolicy,
  /** The link of the host that its interfaces stand on, and what has to be made for it; null where they stand on none. */
  parent: z.object({ link: z.string(), make: z.enum(['nothing', 'vlan', 'stub']) }).nullable(),
});
export type NetworkFacts = z.infer<typeof NetworkFacts>;

/** A lease of host ports: `count` of them, from `hostPort` on, each led to the port at the same distance from `port`. */
export const PublishedPort = z.object({
  protocol: Protocol,
  /** Addresses of the host; `0.0.0.0` and `::` are all of their family. */
  hostAddresses: z.array(z.string()),
  /** 0: the host finds one, and PortsLeased tells it before it is used. */
  hostPort: z.int(),
  /** Where the host looks; null: in its own range of ephemeral ports. */
  choice: z.object({ from: z.int(), to: z.int() }).nullable(),
  port: z.int(),
  count: z.int(),
});
export type PublishedPort = z.infer<typeof PublishedPort>;

export const EndpointFacts = z.object({
  id: Id,
  networkId: Id,
  name: EndpointName,
  /** With prefix length; null where the driver or network has no address of that family. */
  ipv4: z.string().nullable(),
  ipv6: z.string().nullable(),
  mac: z.string().nullable(),
  /** Addresses that were asked for, without prefix length, where somebody else settles them; null: they stand above. */
  wanted: z.object({ ipv4: z.string().nullable(), ipv6: z.string().nullable() }).nullable(),
  /** An address that someone asked for: not garbage unless they say so. */
  static: z.boolean(),
  aliases: z.array(EndpointName),
  ports: z.array(PublishedPort),
  gatewayPriority: z.int(),
  /** The name that was asked for; null: the next free one. */
  interface: InterfaceName.nullable(),
  sysctls: Texts,
  /** With prefix length. */
  linkLocal: z.array(z.string()),
  /** Gateway null: on the link. */
  routes: z.array(z.object({ destination: z.string(), gateway: z.string().nullable() })),
  /** Alias to endpoint name, for its own sandbox alone. */
  links: Texts,
  services: z.array(z.object({ name: z.string(), protocol: Protocol, port: z.int() })),
  options: Texts,
  labels: Texts,
  gc: Gc.nullable(),
  /** `attach`: made by AttachSandbox and deleted by DetachSandbox. `outlet`: it comes and goes with a sandbox's need for it. */
  origin: z.enum(['endpoint', 'attach', 'outlet']),
});
export type EndpointFacts = z.infer<typeof EndpointFacts>;

export const SandboxFacts = z.object({
  id: SandboxId,
  incarnation: Id,
  /** Path of the namespace file: the sandbox key. */
  key: z.string(),
  /** False: a caller's namespace, used and never destroyed. */
  owned: z.boolean(),
  hostname: z.string().nullable(),
  domainname: z.string().nullable(),
  dns: Dns,
  extraHosts: z.array(z.object({ name: z.string(), address: z.string() })),
  /** Published through whichever endpoint is its gateway. */
  ports: z.array(PublishedPort),
  /** Who it is for, in the words of whoever asked for it; null: nobody said. */
  owner: z.string().nullable(),
  /** How long it lasts unless it is renewed; null: until it is detached. */
  leaseMs: LeaseMs.nullable(),
  /** When its host has been booted anew it is made again, it ends, or it is kept for so many milliseconds. */
  afterReboot: AfterReboot,
  /** Directory of its hosts, resolv.conf and hostname; null where it is the host's own namespace. */
  files: z.string().nullable(),
});
export type SandboxFacts = z.infer<typeof SandboxFacts>;

/** The endpoints of a sandbox that carry its default routes, per family. */
export const Gateways = z.object({ ipv4: Id.nullable(), ipv6: Id.nullable() });
export type Gateways = z.infer<typeof Gateways>;

export const Route = z.object({ destination: z.string(), gateway: z.string() });

/** What the carrier of a network says of an endpoint that joins: nobody knew it before. */
export const Plug = z.object({
  /** An interface of the host that becomes the one in the sandbox; null for none. */
  link: z.string().nullable(),
  /** Without prefix length; null for none. */
  gateway4: z.string().nullable(),
  gateway6: z.string().nullable(),
  /** Gateway null: on the link. */
  routes: z.array(z.object({ destination: z.string(), gateway: z.string().nullable() })),
  /** Where it carries no default route the sandbox may have another way out. */
  outlet: z.boolean(),
});
export type Plug = z.infer<typeof Plug>;

/** A host port that leads into a sandbox. */
export const PortBinding = z.object({
  protocol: Protocol,
  hostAddress: z.string(),
  hostPort: z.int(),
  address: z.string(),
  port: z.int(),
  count: z.int(),
});
export type PortBinding = z.infer<typeof PortBinding>;

const Service = z.object({ name: z.string(), protocol: Protocol, port: z.int() });

/** What other hosts have to know of an endpoint beside its addresses; null where its network is its host's alone. */
export const Peer = z.object({ names: z.array(z.string()), services: z.array(Service) }).nullable();
export type Peer = z.infer<typeof Peer>;

export const EndpointSettings = z.object({
  aliases: z.array(EndpointName),
  ports: z.array(PublishedPort),
  gatewayPriority: z.int(),
});
export type EndpointSettings = z.infer<typeof EndpointSettings>;

export const NetworkSettings = z.object({
  labels: Texts,
  mtu: z.int().nullable(),
  dns: Dns,
  options: Texts,
  drift: DriftPolicy,
});
export type NetworkSettings = z.infer<typeof NetworkSettings>;

/** Why a worker could not do it, in the kernel's words. */
export const Fault = z.object({
  code: z.string(),
  step: z.string(),
  errno: z.string(),
  text: z.string(),
  retryable: z.boolean(),
  undoFaults: z.array(z.string()).default([]),
});
export type Fault = z.infer<typeof Fault>;
