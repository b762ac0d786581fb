/**
 * Every message of the wire contract as a named schema, and what each message, field, state and code means in one sentence: the one
 * source of docs/generated/ and of the catalogues under docs/ (docs/generate.ts). Nothing that runs reads it.
 */
import { z } from 'zod';
import {
  Command,
  type CommandType,
  commandVersions,
  InterfaceRequest,
  PortRequest,
  SubnetRequest,
} from './commands.ts';
import { cloudType, eventVersions, Meta } from './envelope.ts';
import {
  Culprit,
  decisionTypes,
  EndpointFacts,
  type EventType,
  eventData,
  Fault,
  NetworkFacts,
  outcomeTypes,
  PublishedPort,
  SandboxFacts,
  Subnet,
} from './events.ts';
import { Accepted, Answer, Outcome, Query, QueryAnswer, Refused } from './queries.ts';
import type { Code } from './refusals.ts';
import type { EndpointStatus, NetworkStatus, SandboxStatus } from './states.ts';

export const commandMeanings: Readonly<Record<CommandType, string>> = {
  ConfigureDriver:
    'Sets the options of a driver on a host, in place of all that it had. Networks made later follow them.',
  CreateNetwork: 'Makes a network on a host. What is left out of its addressing is chosen.',
  DeleteNetwork: 'Removes a network that has no endpoints any more.',
  CreateEndpoint: 'Makes an attachment point in a network. Its addresses are its own until it is deleted.',
  DeleteEndpoint: 'Removes an endpoint that is in no sandbox.',
  JoinEndpoint: 'Puts an endpoint into a sandbox. The first join makes the sandbox.',
  LeaveEndpoint: 'Takes an endpoint out of its sandbox. The last leave removes the sandbox.',
  AttachSandbox: 'Makes an endpoint in each network that is listed and joins them to one sandbox, all or nothing.',
  DetachSandbox: 'Takes all endpoints out of a sandbox, and deletes those that AttachSandbox made.',
  SuspectEndpoint: 'Sent by collectors, step one: this endpoint has been without a sandbox for its grace period.',
  CollectEndpoint: 'Sent by collectors, step two: it was suspected, and nothing has happened to it since.',
  ExpireCommand: 'Sent by collectors: the deadline of this command has passed.',
};

export const eventMeanings: Readonly<Record<EventType, string>> = {
  RealmOpened: 'The log begins.',
  CommandRefused: 'A command was refused; nothing else happened.',
  CommandTimedOut: 'A command ended at its deadline, unreported. What its host does too late is undone.',
  DriverConfigureRequested: 'A driver is to have these options.',
  NetworkCreateRequested: 'A network is to be made; its name and subnets are taken from now on.',
  NetworkDeleteRequested: 'A network is to be removed; its name is free from now on, its subnets once it is gone.',
  EndpointCreateRequested: 'An endpoint is to be made; its name, addresses and MAC are taken from now on.',
  EndpointJoinRequested: 'An endpoint is to be put into a sandbox.',
  EndpointLeaveRequested: 'An endpoint is to be taken out of its sandbox.',
  EndpointDeleteRequested: 'An endpoint is to be removed; its name is free from now on, its addresses once it is gone.',
  EndpointSuspected: 'An endpoint has been without a sandbox for its grace period and may be collected soon.',
  HostFacts: 'What a worker knows of its host: stated whenever it starts.',
  DriverConfigured: 'A driver has its options.',
  DriverConfigureFailed: 'A driver could not be given its options.',
  NetworkCreated: 'A network is there.',
  NetworkCreateFailed:
    'A network could not be made and does not exist, nor does any endpoint in it; its subnets are free again.',
  NetworkDeleted: 'A network is gone; its subnets are free again.',
  NetworkDeleteFailed: 'A network could not be removed; it is stuck until another delete.',
  EndpointCreated: 'An endpoint is there.',
  EndpointCreateFailed: 'An endpoint could not be made and does not exist; its addresses are free again.',
  EndpointJoined: 'An endpoint is in its sandbox: its interface is up and its addresses and routes are there.',
  EndpointJoinFailed: 'An endpoint could not be put into its sandbox; it keeps its addresses and is in none.',
  EndpointLeft: 'An endpoint is out of its sandbox.',
  EndpointLeaveFailed: 'An endpoint could not be taken out of its sandbox; it is stuck until it is deleted.',
  EndpointDeleted: 'An endpoint is gone; its addresses are free again.',
  EndpointDeleteFailed: 'An endpoint could not be removed; it is stuck until another delete.',
  SandboxCreated: 'A sandbox is there, with its first endpoint.',
  SandboxRemoved: 'A sandbox is gone, with its last endpoint. A namespace that a caller brought stays.',
};

export const stateMeanings: {
  readonly network: Readonly<Record<NetworkStatus, string>>;
  readonly endpoint: Readonly<Record<EndpointStatus, string>>;
  readonly sandbox: Readonly<Record<SandboxStatus, string>>;
} = {
  network: {
    absent: 'does not exist, any more or yet',
    creating: 'accepted, not reported yet',
    active: 'there',
    deleting: 'its removal is accepted, not reported yet',
    stuck: 'its removal failed',
  },
  endpoint: {
    absent: 'does not exist, any more or yet',
    creating: 'accepted, not reported yet',
    created: 'there, in no sandbox',
    joining: 'a join is accepted, not reported yet',
    joined: 'in its sandbox',
    leaving: 'a leave is accepted, not reported yet',
    deleting: 'its removal is accepted, not reported yet',
    stuck: 'a leave or its removal failed',
  },
  sandbox: {
    absent: 'does not exist, any more or yet',
    creating: 'its first join is accepted, not reported yet',
    ready: 'there',
    removing: 'its last endpoint is leaving',
  },
};

export const codeMeanings: Readonly<Record<Code, string>> = {
  COMMAND_MALFORMED: 'The message is no command: its subject, its JSON or a field is not as the schema says.',
  COMMAND_UNKNOWN: 'There is no such command, or not in this version.',
  COMMAND_TOO_LARGE: 'The message is larger than 65,536 bytes.',
  COMMAND_TOO_OLD: 'Its id was minted more than 30 days ago, so whether it was decided before is not remembered.',
  COMMAND_FROM_FUTURE: "Its id was minted more than 5 minutes ahead of the controller's clock.",
  COMMAND_ID_REUSED: 'The actor has sent another command under this id.',
  COMMAND_NOT_STARTED: 'It was read after its startBy.',
  COMMAND_FAULTY: 'The decision failed by a defect.',
  COMMAND_ENDED: 'The command that was to be ended is not under way.',
  DEADLINE_NOT_PASSED: 'The command that was to be ended still has time.',
  HOST_NOT_FOUND: 'No worker has ever reported for that host, or for any.',
  HOST_REQUIRED: 'There are several hosts, and nothing says which one is meant.',
  CAPABILITY_MISSING: 'The host lacks something that the driver needs.',
  DRIVER_NOT_FOUND: 'There is no driver of that name.',
  DRIVER_FORBIDS: 'The driver does not allow it.',
  OPTION_UNSUPPORTED: 'Nothing acts on that option; it is refused rather than ignored.',
  OPTION_INVALID: 'The option does not take that value.',
  NETWORK_NOT_FOUND: 'There is no such network.',
  NETWORK_AMBIGUOUS: 'The name fits something on several hosts.',
  NETWORK_EXISTS: 'A network of the host has that name (compared without case).',
  NETWORK_HAS_ENDPOINTS: 'The network has endpoints that are not being deleted.',
  NETWORK_DELETING: 'The network is being removed, or is stuck in its removal.',
  IPAM_DRIVER_NOT_FOUND: 'There is no such driver of address management.',
  IPAM_INVALID: 'The subnets that are asked for do not fit the network or each other.',
  SUBNET_INVALID: 'It is no subnet that a network can have.',
  SUBNET_OVERLAPS: 'The subnet overlaps that of another network, or a route of the host.',
  SUBNET_POOL_EXHAUSTED: 'Every subnet of the pools is in use.',
  RANGE_INVALID: 'The range does not lie in the subnet, or has no address to give.',
  ADDRESS_INVALID: 'It is no address of the family that is wanted.',
  ADDRESS_OUTSIDE_SUBNET: 'The address does not lie in the subnet.',
  ADDRESS_RESERVED: 'The address stands for the subnet itself or for its broadcast.',
  ADDRESS_IN_USE: 'Somebody holds the address.',
  ADDRESS_POOL_EXHAUSTED: 'Every address that the network has for endpoints is held.',
  MAC_INVALID: 'It is no unicast MAC address.',
  MAC_IN_USE: 'An endpoint of the network holds the MAC address.',
  PORT_IN_USE: 'An endpoint of the host publishes on that port.',
  ENDPOINT_NOT_FOUND: 'There is no such endpoint in the network.',
  ENDPOINT_EXISTS: 'An endpoint of the network has that name (compared without case).',
  ENDPOINT_JOINED: 'The endpoint is in a sandbox, or on its way into one.',
  ENDPOINT_NOT_JOINED: 'The endpoint is in no sandbox.',
  ENDPOINT_DELETING: 'The endpoint is being removed, or is stuck.',
  NETWORK_FULL: 'The network has as many endpoints as its driver takes.',
  NOT_GARBAGE: 'The endpoint is not to be collected: it is in use, not due yet, or something newer happened to it.',
  SANDBOX_NOT_FOUND: 'There is no such sandbox.',
  SANDBOX_CONFLICT: 'The sandbox exists with another namespace, hostname or domainname, or a network stands twice.',
  SANDBOX_EXCLUSIVE: 'The driver of one of the networks shares its sandbox with no other network.',
  NETNS_INVALID: 'The path is not a plain one under the directories that the worker allows.',
  DEPENDENCY_FAILED: 'What the command stands on is not there, since an earlier command failed.',
  TIMED_OUT: 'Its deadline passed before its host reported.',
  KERNEL_ERROR: 'The kernel refused a step.',
  FOREIGN_OBJECT: 'Something that is not ours stands in the way; it was left as it is.',
  BRIDGE_FULL: 'The bridge has no free port.',
  NETNS_UNUSABLE: 'At the path that was given there is no network namespace.',
};

/**
 * What a field means: looked up by its path (`sandbox.id`), then by shorter ends of it (`id`); first with the name of its message or
 * schema in front (`SubnetRequest.gateway`), where that makes a difference. `Command` and `Event` stand for the envelopes.
 */
export const fieldMeanings: Readonly<Record<string, string>> = {
  'Command.type': 'what is asked for',
  'Command.id': 'id of the command: the time it was minted, a dash, and what makes it unique for its actor',
  'Command.version': 'version of the body',
  'Command.correlationid': "groups the commands of one piece of work; the command's id when left out",
  'Command.traceparent': 'W3C trace context, carried into every event of the command',
  'Command.deadlineMs': 'how long it may take from its acceptance, milliseconds',
  'Command.startBy': 'not worth starting after this time (RFC 3339, UTC)',
  'Command.data': 'what the command says',
  'Event.specversion': 'of CloudEvents',
  'Event.type': 'type and version',
  'Event.id': "the commit's id, a dot, and the place in the commit",
  'Event.source': 'who wrote it: `/cnm/REALM/controller` or `/cnm/REALM/worker/HOST`',
  'Event.subject': 'what it is about, such as `endpoint/ID`',
  'Event.time': 'when it happened (RFC 3339, UTC, milliseconds)',
  'Event.actor': 'who sent the command that led to it; empty for what a service noticed by itself',
  'Event.commandid': 'id of that command; empty for what a service noticed by itself',
  'Event.correlationid': 'as the command says',
  'Event.causationid': "of decisions the command's id, of outcomes the id of the intent that they report on",
  'Event.commandtype': 'of decisions: type of the command',
  'Event.commandseq': 'of decisions: position of the command in the command stream',
  'Event.commanddigest': "of decisions: digest of the command's type and data",
  'Event.executors': 'of intents: hosts that must execute it, separated by commas',
  'Event.deadline': 'of intents: when the command ends as timed out (RFC 3339)',
  'Event.traceparent': 'as the command says',
  'Event.data': 'what happened',
  actor: 'who sent the command',
  after: 'go on behind this row: `next` of the answer before',
  aliases: 'more names of the endpoint in its network',
  allocated:
    'the addresses were allocated on another host and are recorded as they are; needs those of every family of the network',
  asOf: 'as it was at this position, or at this time (RFC 3339, UTC)',
  atLeast: 'wait until the view holds this position',
  aux: 'addresses that no endpoint gets, by name',
  base: 'block that is cut',
  bootId: "the kernel's boot id",
  capabilities: 'what the kernel and the privileges of the worker allow',
  cause: '`command` (DeleteEndpoint), `detach` (DetachSandbox) or `garbage` (collected)',
  code: 'stable code, see errors.md',
  command: 'type of the command',
  commandId: 'id of the command',
  commandid: 'id of the command',
  correlationid: "groups the commands of one piece of work; the command's id when left out",
  culprits: 'what stands in the way, the first few',
  'Culprit.detail': 'its state or text',
  'Culprit.id': 'its id, or its text where it has none',
  'Culprit.kind':
    '`network`, `endpoint`, `sandbox`, `host`, `driver`, `option`, `field`, `subnet`, `address` and others',
  'Culprit.name': 'its name',
  destination: 'the destination, as a subnet',
  detail: 'why, for people',
  domainname: 'domain name of the sandbox; recorded, not acted on yet',
  driver: 'name of the driver',
  'ipam.driver': 'driver of address management; there is only `default`',
  dueAt: 'when its grace period was over (RFC 3339)',
  endpoint: 'name or id of the endpoint in its network',
  'EndpointCreateRequested.endpoint': 'the endpoint',
  endpointId: 'id of the endpoint',
  endpoints: 'endpoints that the command made or touched',
  epoch: 'id of this log',
  'Fault.code': 'stable code, see errors.md',
  'Fault.errno': 'name of the errno, such as `EEXIST`; empty when no system call failed',
  'Fault.retryable': 'the same command may succeed later, nothing else having changed',
  'Fault.step': 'what was being done',
  'Fault.text': "the kernel's words where there are any",
  'Fault.undoFaults': 'what could not be taken back; empty when the host is as it was',
  family: '4 or 6; told from the addresses when left out',
  'Subnet.family': '4 or 6',
  fault: 'why it could not be done',
  'Outcome.fault': 'why it failed; null when it succeeded or timed out',
  filter: 'only rows of which every named field has this value',
  garbage: 'where the cause is `garbage`: since when, why, and the sandbox that it was last in',
  'SubnetRequest.gateway': 'the first address of the range when left out',
  gateway: 'the gateway, without prefix length; null for none',
  'routes.gateway': 'through which address',
  gateways: 'ids of the endpoints whose networks carry the default routes of the sandbox, per family',
  'gateways.ipv4': 'of the IPv4 default route; null for none',
  'gateways.ipv6': 'of the IPv6 default route; null for none',
  gc: 'after how many milliseconds without a sandbox it is collected, or `off`; null or left out: as its network says, else the default',
  'NetworkFacts.gc': 'the same for the endpoints of this network that do not say it themselves; null: the default',
  'CreateNetwork.gc':
    'after how many milliseconds without a sandbox its endpoints are collected, or `off`; 5 minutes after the last leave, and 24 hours where it never joined, when left out',
  generation: 'how many events the endpoint has seen: the view `garbage` tells it',
  host: 'name of the host',
  hostAddress: 'address of the host; every one when left out or null',
  hostPort: 'port of the host',
  hostname: 'host name of the sandbox; recorded, not acted on yet',
  id: 'its id',
  'EndpointFacts.id': 'id of the endpoint',
  'NetworkFacts.id': 'id of the network',
  'SandboxFacts.id': "the caller's name of the container",
  'sandbox.id': "the caller's name of the container",
  incarnation: 'id of this sandbox; a later one of the same name has another',
  intents: 'event ids of its intents that were not reported',
  interface: 'name of the interface in the sandbox; null where the driver makes none',
  interfaces: 'what its interface is to have; what is left out is chosen',
  internal: 'no way out of the network, and no default route through it',
  ipam: 'addressing',
  ipv4: 'IPv4 address with prefix length; null for none',
  'NetworkFacts.ipv4': 'has IPv4',
  'NetworkFacts.ipv6': 'has IPv6',
  'CreateNetwork.ipv4': 'has IPv4',
  'CreateNetwork.ipv6': 'has IPv6',
  'InterfaceRequest.ipv4': 'IPv4 address without prefix length',
  'InterfaceRequest.ipv6': 'IPv6 address without prefix length',
  'InterfaceRequest.mac': 'MAC address; derived from the address when left out',
  ipv6: 'IPv6 address with prefix length; null for none',
  joinId: 'id of this join, never used again',
  kernel: 'release of the kernel',
  key: 'path of the namespace file: the sandbox key',
  kind: '`accepted`, `refused` or `outcome`',
  labels: 'for callers; nothing acts on them',
  last: 'no endpoint is left in the sandbox, which ends with this one',
  lastSandbox: 'the sandbox that it was last in; null where it never was in one',
  limit: 'most rows of an answer',
  mac: 'MAC address; null for none',
  mtu: 'MTU of its links; null where the driver makes none',
  'HostFacts.mtu': 'smallest MTU of the links of the host that are up',
  name: 'its name',
  'AttachSandbox.networks.name': 'name of the endpoint; that of the sandbox when left out',
  netns:
    'path of a network namespace that the caller made and that is never destroyed; left out, one is made by the first join',
  netnsRoots: "directories under which a caller's namespace may lie",
  network: 'the network: NAME, HOST/NAME or id',
  'NetworkCreateRequested.network': 'the network',
  'Answer.network': 'the network that it makes or deletes; null for other commands',
  networkId: 'id of the network',
  networks: 'an endpoint is made in each of them',
  next: 'there are more rows: pass it as `after`',
  options: 'options of the driver, opaque to everyone else (docs/drivers/)',
  'ipam.options': 'options of address management; none is known, so each is refused',
  origin: '`endpoint` (CreateEndpoint) or `attach` (AttachSandbox: deleted by DetachSandbox)',
  overlap: 'the subnet may overlap those of other networks and routes of the host',
  owned: "false: a caller's namespace, or the host's own, used and never destroyed",
  pools: 'blocks that automatic IPv4 subnets are cut from',
  port: 'port in the sandbox',
  ports: 'published ports; no driver publishes yet, so each is refused',
  'EndpointFacts.ports': 'published ports; empty, since no driver publishes yet',
  'Accepted.position': 'position in the log of the decision',
  'Refused.position': 'position in the log of the decision',
  'Outcome.position': 'position in the log of the event that ended the command',
  'QueryAnswer.position': 'position in the log that the rows reflect',
  protocol: '`tcp`, `udp` or `sctp`',
  range: 'automatic addresses are taken from this part of the subnet only; null or left out: from all of it',
  reads: 'highest version of each event type that the worker can read',
  realm: 'name of the realm',
  reason: 'why it is garbage',
  'routes.destination': 'where to, as a subnet',
  routes: 'routes through gateways in the sandbox that belong to this endpoint',
  'HostFacts.routes': 'destinations of the routes of the host; automatic subnets avoid them',
  rows: 'the rows, or what there is room for',
  runDir: 'directory of the worker; sandbox keys lie in its `netns/`',
  sandbox: 'the sandbox',
  'JoinEndpoint.sandbox': "the caller's name of the container",
  'AttachSandbox.sandbox': "the caller's name of the container",
  'DetachSandbox.sandbox': "the caller's name of the container",
  'Answer.sandbox': 'the sandbox that is joined, with its key; null for other commands',
  since: 'since when it has been without a sandbox (RFC 3339)',
  size: 'prefix length of the subnets that are cut',
  static: 'an address was asked for, so that it is not collected unless its own `gc` says so',
  status: '`succeeded`, `failed` or `timed-out`',
  subnet: 'in canonical form; chosen from the pools when left out',
  'Subnet.subnet': 'in canonical form',
  subnets: 'at most one per family',
  timeoutMs: 'how long to wait for `atLeast` and `asOf`, milliseconds',
  ula: 'the /48 that automatic IPv6 subnets are cut from',
};

/** `EndpointJoined.v1`. */
export const eventName = (type: EventType, version: number = eventVersions[type]): string => `${type}.v${version}`;
/** `JoinEndpoint.v1`. */
export const commandName = (type: CommandType): string => `${type}.v${commandVersions[type]}`;

/** A stored event: what happened in its CloudEvents envelope. */
const eventSchema = (type: EventType) =>
  z.object({
    specversion: z.literal('1.0'),
    type: z.literal(cloudType(type, eventVersions[type])),
    ...Meta.shape,
    data: eventData[type],
  });

const commitOf = (types: readonly EventType[], schemas: ReadonlyMap<EventType, z.ZodType>) =>
  z.array(z.union(types.map((type) => schemas.get(type) ?? z.never()))).min(1);

export interface Named {
  readonly id: string;
  readonly description: string;
}

const build = () => {
  const registry = z.registry<Named>();
  const add = (schema: z.ZodType, id: string, description: string) => registry.add(schema, { id, description });
  for (const message of Command.options) {
    const type = message.shape.type.value;
    add(message, commandName(type), commandMeanings[type]);
  }
  const events = new Map([...decisionTypes, ...outcomeTypes].map((type) => [type, eventSchema(type)] as const));
  for (const [type, schema] of events) add(schema, eventName(type), eventMeanings[type]);
  add(commitOf(decisionTypes, events), 'DecisionCommit', 'One commit of decisions: all of its events, or none.');
  add(
    commitOf(outcomeTypes, events),
    'OutcomeCommit',
    'One commit of reports of a worker: all of its events, or none.',
  );
  add(Accepted, 'Accepted', 'First answer: the command was accepted, with what is decided so far.');
  add(Refused, 'Refused', 'First and only answer: the command was refused.');
  add(Outcome, 'Outcome', 'Second answer: what became of the command.');
  add(Answer, 'Answer', 'What comes on the reply subject of a command.');
  add(Query, 'Query', 'Body of a query; an empty body stands for {}.');
  add(QueryAnswer, 'QueryAnswer', 'Answer to a query.');
  add(QueryError, 'QueryError', 'Answer to a query that was refused, beside the headers that say the same.');
  add(Culprit, 'Culprit', 'What stands in the way of a command.');
  add(Fault, 'Fault', 'Why a worker could not do it.');
  add(NetworkFacts, 'NetworkFacts', 'A network.');
  add(Subnet, 'Subnet', 'A subnet of a network.');
  add(EndpointFacts, 'EndpointFacts', 'An endpoint.');
  add(PublishedPort, 'PublishedPort', 'A published port.');
  add(SandboxFacts, 'SandboxFacts', 'A sandbox.');
  add(SubnetRequest, 'SubnetRequest', 'A subnet that is asked for.');
  add(InterfaceRequest, 'InterfaceRequest', 'What an interface is to have: honoured or refused, never replaced.');
  add(PortRequest, 'PortRequest', 'A port to be published.');
  return registry;
};

const QueryError = z.object({ code: z.string(), detail: z.string() });

/** Every message and every part with a name: ids are those of docs/generated/. */
export const catalogue = build();
