/** Every command, as it stands in the body of a message on `cnm.command.<actor>.<host>`. */
import { z } from 'zod';
import {
  CommandId,
  DataSubject,
  EndpointName,
  EndpointRef,
  HoldName,
  HostName,
  Id,
  NetworkName,
  NetworkRef,
  SandboxId,
} from './names.ts';
import { QuotaRequest } from './quota-request.ts';

const Options = z.record(z.string().min(1).max(128), z.string().max(1024));
const Labels = Options;
const DriverName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9_.-]*$/)
  .max(63);
const Address = z.string().min(2).max(45);

/** Who something is for, in the words of whoever asks for it: a job, a tenant, a team. */
const Owner = z.string().min(1).max(128);
/** How long something lasts unless it is renewed, milliseconds: up to a year. */
export const LeaseMs = z.int().min(1000).max(31_536_000_000);
/** Whether a network that somebody else changes in the kernel is made as it was, or only reported. */
export const DriftPolicy = z.enum(['repair', 'report']);
/** What becomes of a sandbox when its host has been booted anew: it is made again, it ends, or it is kept for so many milliseconds. */
export const AfterReboot = z.union([z.enum(['recreate', 'release']), z.int().min(1000).max(31_536_000_000)]);
const Cidr = z.string().min(4).max(49);

/** When an endpoint without a sandbox is collected: milliseconds, or never. */
export const Gc = z.union([z.literal('off'), z.int().min(1000)]);

/** One subnet of a network. What is left out is chosen: subnet from the pools, gateway the first address. */
export const SubnetRequest = z.strictObject({
  family: z.union([z.literal(4), z.literal(6)]).optional(),
  subnet: Cidr.optional(),
  range: Cidr.optional(),
  gateway: Address.optional(),
  aux: z.record(z.string().min(1).max(63), Address).optional(),
});

/**
 * One interface of an endpoint. Given addresses are honoured or refused, never replaced. `allocated`: this driver has allocated
 * them already on another host, so they are recorded and programmed as they are.
 */
export const InterfaceRequest = z.strictObject({
  ipv4: Address.optional(),
  ipv6: Address.optional(),
  mac: z.string().optional(),
  allocated: z.boolean().optional(),
});

const PortNumber = z.int().min(1).max(65535);
export const Protocol = z.enum(['tcp', 'udp', 'sctp']);

/**
 * Published ports. `port` alone: one, from a host port that the host finds. With `portEnd`: a range, host port by host port. With
 * `hostPortEnd` and one `port`: whichever host port of the range is free.
 */
export const PortRequest = z.strictObject({
  protocol: Protocol.default('tcp'),
  /** An address of the host, `0.0.0.0`, `::`, or `any` for both of these; left out, what the network or the driver is configured to. */
  hostAddress: Address.optional(),
  hostPort: PortNumber.optional(),
  hostPortEnd: PortNumber.optional(),
  port: PortNumber,
  portEnd: PortNumber.optional(),
});

/** A static route inside the sandbox; without a gateway the destination is on the link. */
export const RouteRequest = z.strictObject({ destination: Cidr, gateway: Address.optional() });

/** A named port of what runs behind the endpoint, for SRV records: `_http._tcp.NAME` (RFC 2782). */
export const ServicePort = z.strictObject({
  name: z.string().regex(/^[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$/),
  protocol: Protocol.default('tcp'),
  port: PortNumber,
});

/** Name of an interface inside a sandbox (IFNAMSIZ - 1, dev_valid_name). */
export const InterfaceName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/);

/** Settings of the interface, its name written `IFNAME`: `net.ipv4.conf.IFNAME.arp_notify` to `1`. */
const Sysctls = z.record(z.string().max(128), z.string().max(64));

const endpointOptions = {
  interfaces: z.array(InterfaceRequest).max(1).default([]),
  aliases: z.array(EndpointName).max(32).default([]),
  ports: z.array(PortRequest).max(256).default([]),
  /** Of the endpoints of a sandbox the highest carries the default route, the first joined of equal ones. */
  gatewayPriority: z.int().min(-1_000_000).max(1_000_000).default(0),
  /** Name of the interface inside the sandbox; left out, the network's prefix and the first free number. */
  interface: InterfaceName.optional(),
  sysctls: Sysctls.default({}),
  /** Link-local addresses beside the others: 169.254.0.0/16 and fe80::/10. */
  linkLocal: z.array(Address).max(8).default([]),
  routes: z.array(RouteRequest).max(64).default([]),
  /** Names that this endpoint's sandbox alone has for other endpoints of the network: alias to endpoint name. */
  links: z.record(EndpointName, EndpointName).default({}),
  services: z.array(ServicePort).max(32).default([]),
  options: Options.default({}),
  labels: Labels.default({}),
};

const NameText = z.string().min(1).max(253);

/** What a sandbox resolves names with; what is left out comes from its networks, and else from the host. */
export const DnsRequest = z.strictObject({
  servers: z.array(Address).max(16).optional(),
  search: z.array(NameText).max(32).optional(),
  options: z.array(z.string().min(1).max(64)).max(32).optional(),
});

const sandboxOptions = {
  /** Path of a network namespace that the caller made; left out, ours is made by the first join and removed by the last leave. */
  netns: z.string().startsWith('/').max(1024).optional(),
  hostname: z.string().max(63).optional(),
  domainname: z.string().max(253).optional(),
  dns: DnsRequest.optional(),
  owner: Owner.optional(),
  /** It is detached when nobody has renewed it for so long; left out, it lasts. */
  leaseMs: LeaseMs.optional(),
  /** `recreate` when left out. */
  afterReboot: AfterReboot.optional(),
  /** Lines of /etc/hosts; the address may be `host-gateway`. */
  extraHosts: z
    .array(z.strictObject({ name: NameText, address: z.union([Address, z.literal('host-gateway')]) }))
    .max(256)
    .optional(),
};

/** Ports of a sandbox: published through whichever endpoint is its gateway. */
const sandboxPorts = { ports: z.array(PortRequest).max(256).default([]) };

/** What a plugin has answered, by the kind of intent that waits for it. */
export const Settlement = z.discriminatedUnion('kind', [
  /** Addresses of a network, where another driver manages them. */
  z.strictObject({
    kind: z.literal('network'),
    subnets: z
      .array(
        z.strictObject({
          family: z.union([z.literal(4), z.literal(6)]),
          subnet: Cidr,
          range: Cidr.nullable(),
          gateway: Address.nullable(),
          aux: z.record(z.string().min(1).max(63), Address),
          /** What that driver calls the pool. */
          pool: z.string().max(1024).nullable(),
        }),
      )
      .max(2),
  }),
  z.strictObject({
    kind: z.literal('endpoint'),
    ipv4: Cidr.nullable(),
    ipv6: Cidr.nullable(),
    mac: z.string().nullable(),
  }),
  z.strictObject({
    kind: z.literal('join'),
    /** Interface of the host that is moved into the sandbox. */
    link: z.string().min(1).max(15).nullable(),
    /** Names of interfaces inside sandboxes begin with it; the first free number follows. */
    prefix: z.string().max(12),
    gateway4: Address.nullable(),
    gateway6: Address.nullable(),
    routes: z.array(z.strictObject({ destination: Cidr, gateway: Address.nullable() })).max(64),
    /** Where it carries no default route the sandbox may have another way out. */
    outlet: z.boolean(),
  }),
]);
export type Settlement = z.infer<typeof Settlement>;

/** Of an event: the position of its commit, and its place there, from 0. */
const place = { position: z.int().min(1), index: z.int().min(0) };

const Reason = z.string().min(1).max(500);

const data = {
  ConfigureDriver: z.strictObject({ driver: DriverName, options: Options }),
  CreateNetwork: z.strictObject({
    name: NetworkName,
    driver: DriverName.default('bridge'),
    ipv4: z.boolean().default(true),
    ipv6: z.boolean().default(false),
    internal: z.boolean().default(false),
    ipam: z
      .strictObject({
        driver: z.string().max(63).default('default'),
        options: Options.default({}),
        subnets: z.array(SubnetRequest).max(16).default([]),
        /** Allow a subnet that another network or a route of the host overlaps. */
        overlap: z.boolean().default(false),
      })
      .prefault({}),
    /** Holds settings for others, and no endpoints. */
    configOnly: z.boolean().default(false),
    /** Name of a network of this host that is `configOnly`, whose settings this one takes over; it may then have none of its own. */
    configFrom: NetworkName.optional(),
    /** For its sandboxes that have none of their own. */
    dns: DnsRequest.optional(),
    options: Options.default({}),
    labels: Labels.default({}),
    gc: Gc.optional(),
    owner: Owner.optional(),
    /** It is deleted as by command when nobody has renewed it for so long; left out, it lasts. */
    leaseMs: LeaseMs.optional(),
    drift: DriftPolicy.default('repair'),
  }),
  /** Changes a network in place; what is left out stays. Options of the driver that cannot change are refused. */
  UpdateNetwork: z.strictObject({
    network: NetworkRef,
    labels: Labels.optional(),
    dns: DnsRequest.optional(),
    options: Options.optional(),
    drift: DriftPolicy.optional(),
  }),
  DeleteNetwork: z.strictObject({
    network: NetworkRef,
    /** Collector: only if its lease has been renewed just so often, and has run out. */
    renewals: z.int().min(0).optional(),
  }),
  /** Deletes the networks of a host that have no endpoints and whose labels match: `KEY` or `KEY=VALUE`, all of them; `not`: none of them. */
  PruneNetworks: z.strictObject({
    labels: z.array(z.string().min(1).max(1200)).max(32).default([]),
    not: z.array(z.string().min(1).max(1200)).max(32).default([]),
    /** Only networks created before this time (RFC 3339). */
    until: z.iso.datetime().optional(),
  }),
  CreateEndpoint: z.strictObject({ network: NetworkRef, name: EndpointName, gc: Gc.optional(), ...endpointOptions }),
  /** Changes an endpoint in place; what is left out stays. Established connections of what stays go on. */
  UpdateEndpoint: z.strictObject({
    network: NetworkRef,
    endpoint: EndpointRef,
    aliases: endpointOptions.aliases.unwrap().optional(),
    ports: endpointOptions.ports.unwrap().optional(),
    gatewayPriority: endpointOptions.gatewayPriority.unwrap().optional(),
    /** Allow what resets connections: another gateway. */
    disrupt: z.boolean().default(false),
  }),
  DeleteEndpoint: z.strictObject({ network: NetworkRef, endpoint: EndpointRef }),
  JoinEndpoint: z.strictObject({ network: NetworkRef, endpoint: EndpointRef, sandbox: SandboxId, ...sandboxOptions }),
  LeaveEndpoint: z.strictObject({ network: NetworkRef, endpoint: EndpointRef }),
  AttachSandbox: z.strictObject({
    sandbox: SandboxId,
    ...sandboxOptions,
    ...sandboxPorts,
    networks: z
      .array(z.strictObject({ network: NetworkRef, name: EndpointName.optional(), ...endpointOptions }))
      .min(1)
      .max(64),
  }),
  /** Takes a sandbox from one network to another: it joins the one before it leaves the other, and stays as it was if either fails. */
  MoveSandbox: z.strictObject({
    sandbox: SandboxId,
    from: NetworkRef,
    to: z.strictObject({ network: NetworkRef, name: EndpointName.optional(), ...endpointOptions }),
  }),
  DetachSandbox: z.strictObject({ sandbox: SandboxId }),
  /** A sandbox that was lost with a boot of its host is made again, with the same addresses, MACs and ports. */
  RestoreSandbox: z.strictObject({ sandbox: SandboxId }),
  /** Collector: a sandbox that was lost with this boot of its host, and that nobody wanted back in time. */
  ReleaseSandbox: z.strictObject({ incarnation: Id, bootId: z.string().max(128) }),
  /** Collector, step one: this endpoint has been without a sandbox for its grace period. */
  SuspectEndpoint: z.strictObject({ endpointId: Id, generation: z.int() }),
  /** Collector, step two: nothing has happened to it since. */
  CollectEndpoint: z.strictObject({ endpointId: Id, generation: z.int() }),
  /**
   * Begins the lease of a sandbox or a network anew, of one of the two; of a network's by name or id. Only by whoever has made it, and for
   * the owner that it was made for, where one is named.
   */
  RenewLease: z.strictObject({
    sandbox: SandboxId.optional(),
    network: NetworkRef.optional(),
    owner: Owner.optional(),
    /** From now on; as before when left out. */
    leaseMs: LeaseMs.optional(),
  }),
  /** Collector, step one: the lease of this sandbox has run out. */
  SuspectLease: z.strictObject({ incarnation: Id, renewals: z.int() }),
  /** Collector, step two: nobody has renewed it since; the sandbox is detached. */
  ExpireLease: z.strictObject({ incarnation: Id, renewals: z.int() }),
  /** Collector: this sandbox has a way out that it does not need, or needs one that it does not have, and nothing is under way in it. */
  MendSandbox: z.strictObject({ incarnation: Id }),
  /** Worker: host ports that it has found free for an intent that it holds; they are its own once this is accepted. */
  LeasePorts: z.strictObject({
    intent: z.string(),
    /** Of the intent's ports, by their place in the list of holder (an endpoint or a sandbox's incarnation). */
    ports: z
      .array(z.strictObject({ holder: Id, index: z.int().min(0), hostPort: PortNumber }))
      .min(1)
      .max(512),
  }),
  /**
   * Worker: what an intent of its host left open, as the plugin that carries the network says. Facts once this is accepted.
   * `epoch`: as the worker has stated it last.
   */
  SettleIntent: z.strictObject({ intent: z.string(), epoch: z.int(), answer: Settlement }),
  /** Collector: the worker that stated this epoch has not renewed its lease; since then, as far as is known. */
  LapseHost: z.strictObject({ host: HostName, epoch: z.int(), since: z.iso.datetime() }),
  /** The log of a host is an older copy: its worker goes on, and keeps what the log does not know, or removes it. */
  ResumeHost: z.strictObject({ host: HostName, held: z.enum(['keep', 'remove']) }),
  /** Operator: this host, whose worker shows no sign of life, does not come back with what it had. Everything that it holds is given free. */
  DeclareHostLost: z.strictObject({ host: HostName, reason: Reason }),
  /** New keys for all encrypted networks, on every host. */
  RotateTunnelKeys: z.strictObject({}),
  /** Timer: this command's deadline has passed. */
  ExpireCommand: z.strictObject({ actor: z.string(), commandId: CommandId }),
  /** A command of the sender's own is not wanted any more: it ends, and what was made for it is taken back. */
  CancelCommand: z.strictObject({ commandId: CommandId, reason: Reason.optional() }),
  /** An event that readers have parked, since they could not fold it: they try again. */
  RetryParked: z.strictObject(place),
  /** They go on without it. */
  DiscardParked: z.strictObject({ ...place, reason: Reason }),
  /** Nothing that it covers is put away or shredded until it is lifted: the sealed values of a subject, or without one everything. */
  SetLegalHold: z.strictObject({ name: HoldName, subject: DataSubject.optional(), reason: Reason }),
  LiftLegalHold: z.strictObject({ name: HoldName, reason: Reason }),
  /** The key of a subject's sealed values is deleted: nobody can read them any more, for good. */
  ShredSubject: z.strictObject({ subject: DataSubject, reason: Reason }),
  /** What an actor, or everybody without a quota of their own, may have at most. `limits` null: the quota is taken away. */
  SetQuota: QuotaRequest,
} as const;

export const commandTypes = Object.keys(data) as readonly CommandType[];
export type CommandType = keyof typeof data;

/** Version of every command's body that is understood; one number per type. */
export const commandVersions: Readonly<Record<CommandType, number>> = Object.fromEntries(
  commandTypes.map((type) => [type, 1]),
) as Record<CommandType, number>;

const envelope = {
  id: CommandId,
  version: z.literal(1).default(1),
  /** Groups commands that belong to one piece of work; the command's own id when left out. */
  correlationid: z.string().min(1).max(160).optional(),
  traceparent: z.string().max(64).optional(),
  /** How long the command may take from its acceptance, milliseconds. */
  deadlineMs: z.int().min(1).max(86_400_000).default(30_000),
  /** Not worth starting after this time (RFC 3339). */
  startBy: z.iso.datetime().optional(),
};

const message = <T extends CommandType>(type: T) =>
  z.strictObject({ type: z.literal(type), ...envelope, data: data[type] });

/** A command message's body, defaults filled in. */
export const Command = z.discriminatedUnion('type', [
  message('ConfigureDriver'),
  message('CreateNetwork'),
  message('UpdateNetwork'),
  message('DeleteNetwork'),
  message('PruneNetworks'),
  message('CreateEndpoint'),
  message('UpdateEndpoint'),
  message('DeleteEndpoint'),
  message('JoinEndpoint'),
  message('LeaveEndpoint'),
  message('AttachSandbox'),
  message('MoveSandbox'),
  message('DetachSandbox'),
  message('RestoreSandbox'),
  message('ReleaseSandbox'),
  message('SuspectEndpoint'),
  message('CollectEndpoint'),
  message('RenewLease'),
  message('SuspectLease'),
  message('ExpireLease'),
  message('MendSandbox'),
  message('LeasePorts'),
  message('SettleIntent'),
  message('LapseHost'),
  message('ResumeHost'),
  message('DeclareHostLost'),
  message('RotateTunnelKeys'),
  message('ExpireCommand'),
  message('CancelCommand'),
  message('RetryParked'),
  message('DiscardParked'),
  message('SetLegalHold'),
  message('LiftLegalHold'),
  message('ShredSubject'),
  message('SetQuota'),
]);
export type Command = z.infer<typeof Command>;
export type CommandOf<T extends CommandType> = Extract<Command, { type: T }>;
export type CommandData<T extends CommandType> = z.infer<(typeof data)[T]>;
/** What a caller writes: defaults may be left out. */
export type CommandInput<T extends CommandType> = z.input<(typeof data)[T]>;
