/** Every command, as it stands in the body of a message on `cnm.command.<actor>.<host>`. */
import { z } from 'zod';
import { CommandId, EndpointName, EndpointRef, Id, NetworkName, NetworkRef, SandboxId } from './names.ts';

const Options = z.record(z.string().min(1).max(128), z.string().max(1024));
const Labels = Options;
const DriverName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9_.-]*$/)
  .max(63);
const Address = z.string().min(2).max(45);
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

/** A published port. Refused until a driver can publish. */
export const PortRequest = z.strictObject({
  protocol: z.enum(['tcp', 'udp', 'sctp']).default('tcp'),
  hostAddress: Address.optional(),
  hostPort: z.int().min(1).max(65535),
  port: z.int().min(1).max(65535),
});

const endpointOptions = {
  interfaces: z.array(InterfaceRequest).max(1).default([]),
  aliases: z.array(EndpointName).max(32).default([]),
  ports: z.array(PortRequest).max(256).default([]),
  options: Options.default({}),
  labels: Labels.default({}),
};

const sandboxOptions = {
  /** Path of a network namespace that the caller made; left out, ours is made by the first join and removed by the last leave. */
  netns: z.string().startsWith('/').max(1024).optional(),
  hostname: z.string().max(63).optional(),
  domainname: z.string().max(253).optional(),
};

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
    options: Options.default({}),
    labels: Labels.default({}),
    gc: Gc.optional(),
  }),
  DeleteNetwork: z.strictObject({ network: NetworkRef }),
  CreateEndpoint: z.strictObject({ network: NetworkRef, name: EndpointName, gc: Gc.optional(), ...endpointOptions }),
  DeleteEndpoint: z.strictObject({ network: NetworkRef, endpoint: EndpointRef }),
  JoinEndpoint: z.strictObject({ network: NetworkRef, endpoint: EndpointRef, sandbox: SandboxId, ...sandboxOptions }),
  LeaveEndpoint: z.strictObject({ network: NetworkRef, endpoint: EndpointRef }),
  AttachSandbox: z.strictObject({
    sandbox: SandboxId,
    ...sandboxOptions,
    networks: z
      .array(z.strictObject({ network: NetworkRef, name: EndpointName.optional(), ...endpointOptions }))
      .min(1)
      .max(64),
  }),
  DetachSandbox: z.strictObject({ sandbox: SandboxId }),
  /** Collector, step one: this endpoint has been without a sandbox for its grace period. */
  SuspectEndpoint: z.strictObject({ endpointId: Id, generation: z.int() }),
  /** Collector, step two: nothing has happened to it since. */
  CollectEndpoint: z.strictObject({ endpointId: Id, generation: z.int() }),
  /** Timer: this command's deadline has passed. */
  ExpireCommand: z.strictObject({ actor: z.string(), commandId: CommandId }),
} as const;

export const commandTypes = Object.keys(data) as readonly CommandType[];
export type CommandType = keyof typeof data;
export const commandData = data;

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
  message('DeleteNetwork'),
  message('CreateEndpoint'),
  message('DeleteEndpoint'),
  message('JoinEndpoint'),
  message('LeaveEndpoint'),
  message('AttachSandbox'),
  message('DetachSandbox'),
  message('SuspectEndpoint'),
  message('CollectEndpoint'),
  message('ExpireCommand'),
]);
export type Command = z.infer<typeof Command>;
export type CommandOf<T extends CommandType> = Extract<Command, { type: T }>;
export type CommandData<T extends CommandType> = z.infer<(typeof data)[T]>;
/** What a caller writes: defaults may be left out. */
export type CommandInput<T extends CommandType> = z.input<(typeof data)[T]>;
