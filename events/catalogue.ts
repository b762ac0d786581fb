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
  UpdateNetwork: 'Changes a network in place: what is left out stays as it is, and no connection is reset.',
  DeleteNetwork: 'Removes a network that has no endpoints any more.',
  PruneNetworks:
    'Removes all networks of a host that have no endpoints and match. Networks that hold settings for others stay, and those that are stuck.',
  CreateEndpoint: 'Makes an attachment point in a network. Its addresses are its own until it is deleted.',
  UpdateEndpoint: 'Changes an endpoint in place: what is left out stays as it is, and connections of what stays go on.',
  DeleteEndpoint: 'Removes an endpoint that is in no sandbox.',
  JoinEndpoint: 'Puts an endpoint into a sandbox. The first join makes the sandbox.',
  LeaveEndpoint: 'Takes an endpoint out of its sandbox. The last leave removes the sandbox.',
  AttachSandbox: 'Makes an endpoint in each network that is listed and joins them to one sandbox, all or nothing.',
  MoveSandbox:
    'Takes a sandbox from one network to another: it joins the one before it leaves the other, and stays as it was if either fails.',
  DetachSandbox: 'Takes all endpoints out of a sandbox, and deletes those that AttachSandbox made.',
  SuspectEndpoint: 'Sent by collectors, step one: this endpoint has been without a sandbox for its grace period.',
  CollectEndpoint: 'Sent by collectors, step two: it was suspected, and nothing has happened to it since.',
  RestoreSandbox:
    'A sandbox that was lost with a boot of its host is made again as it was; SandboxRestored says that it is there.',
  ReleaseSandbox: 'Sent by collectors: nobody has wanted this sandbox back that was lost with a boot of its host.',
  RenewLease: 'The lease of a sandbox, or of a network, begins anew.',
  SuspectLease: 'Sent by collectors, step one: the lease of this sandbox has run out.',
  ExpireLease: 'Sent by collectors, step two: nobody has renewed it since, so the sandbox is detached.',
  MendSandbox:
    'Sent by collectors: this sandbox has a way out that it does not need, or needs one that it does not have.',
  LeasePorts: 'Sent by workers: host ports that were found free for an intent that waits for them.',
  SettleIntent: 'Sent by workers: what an intent left open, as the plugin that carries the network has answered.',
  LapseHost: 'Sent by collectors: the worker of this host has not renewed its lease.',
  ResumeHost:
    'The worker of a host whose log is an older copy goes on: what the log does not know is kept as it is, or removed and given free.',
  DeclareHostLost:
    'A host that is away does not come back with what it had: all that it holds is given free, and a worker that does come back begins with nothing.',
  RotateTunnelKeys: 'Gives all encrypted networks new keys, on every host; no connection is reset.',
  ExpireCommand: 'Sent by collectors: the deadline of this command has passed.',
  RetryParked: 'Readers that have parked this event, since they could not fold it, try again.',
  CancelCommand: 'A command of the sender that is under way ends, and what was made for it is taken back.',
  DiscardParked: 'Readers that have parked this event go on without it.',
  SetLegalHold:
    'Nothing that the hold covers is put away or shredded until it is lifted: what is sealed for a subject, or without one everything.',
  LiftLegalHold: 'A legal hold ends.',
  SetQuota: 'Sets what an actor, or everybody without a quota of their own, may have at most, or takes that away.',
  ShredSubject: 'What is sealed for a subject becomes unreadable for everybody, for good: its key is deleted.',
};

export const eventMeanings: Readonly<Record<EventType, string>> = {
  RealmOpened: 'The log begins.',
  CommandRefused: 'A command was refused; nothing else happened.',
  CommandTimedOut: 'A command ended at its deadline, unreported. What its host does too late is undone.',
  CommandCancelled: 'A command ended because its sender wants it no more. What its host does all the same is undone.',
  HostLost:
    'A host does not come back with what it had: its networks, endpoints and sandboxes have ended, with the commands under way there.',
  PeersForgotten: 'Other hosts forget what a lost host has reported in networks of the realm.',
  HostLapsed:
    "A host's worker shows no sign of life. What it was asked to do waits for it, as long as deadlines allow.",
  HostResumed: 'The worker of a host goes on after LogRegressed.',
  TunnelKeysRotated: 'Packets of encrypted networks get keys of this generation; no key stands in the log.',
  DriverConfigureRequested: 'A driver is to have these options.',
  NetworkCreateRequested: 'A network is to be made; its name and subnets are taken from now on.',
  NetworkUpdateRequested: 'A network is to have these settings; decisions follow them from now on.',
  NetworkDeleteRequested: 'A network is to be removed; its name is free from now on, its subnets once it is gone.',
  EndpointCreateRequested: 'An endpoint is to be made; its name, addresses and MAC are taken from now on.',
  EndpointUpdateRequested:
    'An endpoint is to have these settings. Ports of before and of now are both held until it is reported.',
  EndpointAdmitted:
    'An endpoint of a realm network holds its name, addresses and MAC there from now on, if the next commit on the subject of its host creates it.',
  PortsLeased: 'Host ports were found and are leased from now on, so that the intent can be executed.',
  NetworkSettled:
    'The subnets of a network are known, as its driver of address management gave them: taken from now on.',
  EndpointSettled: 'The addresses of an endpoint are known, as a plugin gave them: its own from now on.',
  JoinSettled: 'The interface, gateways and routes of a join are known, as a plugin gave them.',
  EndpointJoinRequested: 'An endpoint is to be put into a sandbox.',
  EndpointLeaveRequested: 'An endpoint is to be taken out of its sandbox.',
  SandboxReclaimed: 'A sandbox that was lost with a boot of its host is to be made again.',
  EndpointDeleteRequested: 'An endpoint is to be removed; its name is free from now on, its addresses once it is gone.',
  EndpointSuspected: 'An endpoint has been without a sandbox for its grace period and may be collected soon.',
  LeaseRenewed: 'The lease of a sandbox, or of a network, runs from now on again.',
  LeaseSuspected: 'The lease of a sandbox has run out; it is detached soon unless somebody renews it.',
  ParkedRetried: 'Readers that have parked that event try again to fold it, and what waits behind it.',
  ParkedDiscarded: 'Readers that have parked that event go on without it, with what waits behind it.',
  LegalHoldSet: 'Nothing that the hold covers is put away or shredded from now on.',
  LegalHoldLifted: 'A legal hold is over.',
  SubjectShredded: 'The key of what is sealed for a subject is to be deleted; nothing is sealed for it any more.',
  QuotaSet: 'An actor, or everybody without a quota of their own, may have so much at most from now on.',
  CommandsRefused:
    'Commands of an actor were refused alike, too many to record each: those between two positions of the command stream of which nothing else is recorded.',
  SegmentOpened:
    'A segment of the log begins, with the state of everything in the messages that follow; what was before is in an export.',
  HostFacts: 'What a worker knows of its host: stated whenever it starts.',
  LogRegressed:
    'The log does not hold what the worker of this host had read: it is an older copy. The worker changes nothing until HostResumed, and what the kernel holds beyond the log is given to nobody.',
  CapacityStated: 'What a host has, and how much of it is in use: stated whenever its worker starts.',
  CapacityPressure: 'More of something is in use on a host: 70, 85, 95 or 99 percent are passed.',
  CapacityRelieved: 'Less of something is in use on a host again.',
  DriverConfigured: 'A driver has its options.',
  DriverConfigureFailed: 'A driver could not be given its options.',
  NetworkCreated: 'A network is there.',
  NetworkCreateFailed:
    'A network could not be made and does not exist, nor does any endpoint in it; its subnets are free again.',
  NetworkUpdated: 'A network has its settings.',
  NetworkUpdateFailed: 'A network could not be given its settings; those before hold again.',
  NetworkDeleted: 'A network is gone; its subnets are free again.',
  NetworkDeleteFailed: 'A network could not be removed; it is stuck until another delete.',
  EndpointCreated: 'An endpoint is there.',
  EndpointCreateFailed: 'An endpoint could not be made and does not exist; its addresses are free again.',
  EndpointUpdated: 'An endpoint has its settings; ports that it had before and not now are free again.',
  EndpointUpdateFailed: 'An endpoint could not be given its settings; those before hold again, ports included.',
  EndpointJoined: 'An endpoint is in its sandbox: its interface is up and its addresses and routes are there.',
  EndpointJoinFailed: 'An endpoint could not be put into its sandbox; it keeps its addresses and is in none.',
  EndpointLeft: 'An endpoint is out of its sandbox.',
  EndpointLeaveFailed: 'An endpoint could not be taken out of its sandbox; it is stuck until it is deleted.',
  EndpointLeaveReverted:
    'An endpoint was to leave as part of a move that failed: it is in its sandbox as it was, at its old place among the members.',
  EndpointDeleted: 'An endpoint is gone; its addresses are free again.',
  EndpointDeleteFailed: 'An endpoint could not be removed; it is stuck until another delete.',
  EndpointDeleteReverted: 'An endpoint was to be removed as part of a move that failed: it is there as it was.',
  SandboxCreated: 'A sandbox is there, with its first endpoint.',
  SandboxRemoved: 'A sandbox is gone, with its last endpoint. A namespace that a caller brought stays.',
  DriftDetected: 'Somebody else has changed objects of ours in the kernel, or they are gone.',
  DriftRepaired: 'What had drifted is as it was.',
  DriftLeft: 'What has drifted stays as it was found, or does not stay as it is repaired.',
  DriftEnded: 'What had drifted is right without us, or not wanted any more.',
  SandboxLost:
    'A sandbox was made in another boot of its host, and is not made again by itself; its endpoints keep what they hold.',
  SandboxRestored: 'A sandbox was made in another boot of its host, and is there again as it was.',
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
  COMMAND_TOO_LARGE:
    'The message is larger than 65,536 bytes, or what it asks for is too much for one commit of the log.',
  COMMAND_TOO_OLD:
    'Its id was minted more than 30 days ago (`CNM_ID_DAYS`), so whether it was decided before is not remembered.',
  COMMAND_FROM_FUTURE: "Its id was minted more than 5 minutes ahead of the controller's clock.",
  COMMAND_ID_REUSED: 'The actor has sent another command under this id.',
  COMMAND_NOT_STARTED: 'It was read after its startBy.',
  COMMAND_FAULTY: 'The decision failed by a defect.',
  COMMAND_ENDED: 'The command that was to be ended is not under way.',
  COMMAND_NOT_FOUND: 'The actor has sent no such command, or so long ago that it is not remembered.',
  COMMAND_REMOVES:
    'All that is left to be done for the command is to remove something, and that is finished whatever happens.',
  DEADLINE_NOT_PASSED: 'The command that was to be ended still has time.',
  BOUNDARY_PARKED: 'An event of the host, or of the realm, cannot be folded, so that nothing can be decided there.',
  RATE_LIMITED:
    'The actor sends more commands a second than its quota allows. Nothing is remembered of the command: it may come again under the same id.',
  QUOTA_EXCEEDED: 'The actor would have more than its quota allows.',
  QUOTA_NOT_FOUND: 'There is no such quota.',
  OPERATOR_ONLY: 'The controllers let named actors alone set quotas, and this is none of them.',
  HOST_FULL: 'The host has nothing left of something that all its networks share, such as its neighbour table.',
  LEGAL_HOLD: 'A legal hold covers what would be shredded or put away.',
  HOLD_EXISTS: 'There is a hold of that name.',
  HOLD_NOT_FOUND: 'There is no hold of that name.',
  SUBJECT_SHREDDED: 'The key of what was sealed for that subject is deleted already, or is being deleted.',
  HOST_NOT_FOUND: 'No worker reports for that host, or for any: none ever has, or the host was declared lost.',
  HOST_ALIVE: 'The host has reported anew since the collector looked, or is known to be away already.',
  HOST_REQUIRED: 'There are several hosts, and nothing says which one is meant.',
  HOST_REGRESSED:
    'The log is an older copy of what the worker of the host had read, so nothing is changed there until somebody says what becomes of the rest.',
  HOST_NOT_STOPPED: 'The worker of the host goes on already, and what was held is kept or gone.',
  CAPABILITY_MISSING: 'The host lacks something that the driver needs.',
  DRIVER_NOT_FOUND: 'There is no driver of that name.',
  DRIVER_FORBIDS: 'The driver does not allow it.',
  OPTION_UNSUPPORTED: 'Nothing acts on that option; it is refused rather than ignored.',
  OPTION_IMMUTABLE: 'The option cannot change while the network is there.',
  OPTION_INVALID: 'The option does not take that value.',
  VNI_IN_USE: 'A network of the realm has that VXLAN identifier.',
  MTU_UNFIT: 'Frames of the network do not fit the link that leads to other hosts.',
  NETWORK_NOT_FOUND: 'There is no such network.',
  NETWORK_AMBIGUOUS: 'The name fits something on several hosts.',
  NETWORK_EXISTS: 'A network of the host has that name (compared without case).',
  NETWORK_HAS_ENDPOINTS: 'The network has endpoints that are not being deleted.',
  NETWORK_CONFIG_ONLY: 'The network only holds settings for others: it takes no endpoints.',
  NETWORK_OUTLET:
    'The network is the way out of sandboxes whose networks have none: it takes no endpoints but those that are made for it.',
  NETWORK_IN_USE: 'Other networks have their settings from this one.',
  CONFIG_CONFLICT:
    'The settings of the network come from another, or it only holds some for others: the field has no place beside that.',
  NOTHING_TO_PRUNE: 'No network without endpoints matches.',
  NETWORK_DELETING: 'The network is being removed.',
  NETWORK_STUCK: 'The network could not be removed: it takes nothing but a delete.',
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
  PORT_IN_USE: 'An endpoint or a sandbox of the host holds that port, or a process listens there.',
  PORT_INVALID: 'The ports are no range, the ranges do not fit each other, or they are too many.',
  PORT_ADDRESS_INVALID:
    'Ports cannot be published at that address, or nothing says at which; or the host does not have it.',
  LEASE_INVALID: 'No open intent waits for these ports, or they are not from the worker of its host.',
  SETTLE_INVALID:
    'The intent is not open, has timed out or waits for something else, or it is not of the worker that sends this.',
  LINK_LOCAL_INVALID: 'It is no link-local address of a family that the network has.',
  ROUTE_INVALID: 'It is no route, or another interface of the sandbox leads there already.',
  SYSCTL_INVALID:
    'It is no setting of an interface, or one that would take away what the endpoint has; or the kernel of the host has none of that name, or does not take the value.',
  ENDPOINT_NOT_FOUND: 'There is no such endpoint in the network.',
  ENDPOINT_EXISTS: 'An endpoint of the network has that name (compared without case).',
  ENDPOINT_JOINED: 'The endpoint is in a sandbox, or on its way into one.',
  ENDPOINT_NOT_JOINED: 'The endpoint is in no sandbox.',
  ENDPOINT_DELETING: 'The endpoint is being removed.',
  ENDPOINT_STUCK:
    'The endpoint could not be taken out of its sandbox, or not be removed: it takes nothing but a delete.',
  INTERFACE_IN_USE: 'Another interface of the sandbox has that name.',
  UPDATE_DISRUPTS: 'The update would give the sandbox another gateway, which resets connections.',
  NETWORK_FULL: 'The network has as many endpoints as its driver takes.',
  NOT_GARBAGE: 'The endpoint is not to be collected: it is in use, not due yet, or something newer happened to it.',
  LEASE_NOT_FOUND: 'It was made without a lease, and lasts until it is removed.',
  LEASE_NOT_YOURS: 'Somebody else has made it, or it was made for another owner.',
  LEASE_RUNNING: 'The lease has not run out, or was renewed since the collector looked, or is suspected already.',
  SANDBOX_NOT_FOUND: 'There is no such sandbox.',
  SANDBOX_CONFLICT:
    'The sandbox exists with other settings (namespace, names, DNS, hosts, ports), or a network stands twice.',
  SANDBOX_FITS: 'The sandbox has the way out that it needs and no other, or something is under way in it.',
  SANDBOX_LOST: 'The host was booted since the sandbox was made, and it was not made again.',
  SANDBOX_NOT_LOST: 'The sandbox was not lost with a boot of its host, or is wanted back.',
  SANDBOX_HELD: 'A sandbox that was lost with a boot of its host is held for somebody who may want it back.',
  SANDBOX_MOVING: 'The sandbox is being changed as a whole, as by a move to another network, which may still fail.',
  NAME_INVALID: 'It is no host or domain name.',
  DNS_INVALID: 'It is no IP address of a server, or no option of resolv.conf.',
  SANDBOX_EXCLUSIVE: 'The driver of one of the networks shares its sandbox with no other network.',
  NETNS_INVALID: 'The path is not a plain one under the directories that the worker allows.',
  DEPENDENCY_FAILED: 'What the command stands on is not there, since an earlier command failed.',
  CANCELLED: 'Its sender has cancelled it.',
  HOST_LOST: 'Its host was declared lost.',
  TIMED_OUT: 'Its deadline passed before its host reported.',
  KERNEL_ERROR: 'The kernel refused a step.',
  FOREIGN_OBJECT: 'Something that is not ours stands in the way; it was left as it is.',
  INTERFERED: 'Somebody else changed or removed what was being made, before it was done; it was taken back.',
  BRIDGE_FULL: 'The bridge has no free port.',
  PLUGIN_ERROR: 'The plugin that carries the network has refused.',
  PLUGIN_UNREACHABLE: 'The plugin that carries the network does not answer.',
  PLUGIN_INVALID:
    'What the plugin answered cannot be: an address in use, a name that is no link, a field that was not its own to set.',
  NETNS_UNUSABLE: 'At the path that was given there is no network namespace, or none that the worker may open.',
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
  z.array(z.union(types.map((type) => schemas.get(type) ?? z.never())));

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
  add(
    commitOf(decisionTypes, events),
    'DecisionCommit',
    'One commit of decisions: all of its events, or none. It may hold none at all.',
  );
  add(
    commitOf(outcomeTypes, events).min(1),
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
