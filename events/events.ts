/**
 * Every event: what a commit on the log may hold. Decisions (by the controller) end in `Requested`, `Refused`, `Suspected`,
 * `TimedOut` or `Opened`; outcomes (by a worker) say what the kernel now holds. A released version is never changed: a new shape
 * is a new version with an upcast (events/envelope.ts).
 */
import { z } from 'zod';
import { auditDecisions } from './audit-events.ts';
import { LeaseMs } from './commands.ts';
import { driftOutcomes } from './drift-events.ts';
import {
  Culprit,
  EndpointFacts,
  EndpointSettings,
  Fault,
  Gateways,
  NetworkFacts,
  NetworkSettings,
  Peer,
  Plug,
  PortBinding,
  Route,
  SandboxFacts,
  Subnet,
  Texts,
} from './facts.ts';
import { Held, LogPlace } from './held.ts';
import { loadDecisions, loadOutcomes } from './load-events.ts';
import { Actor, CommandId, EndpointName, HostName, Id, NetworkName, RealmName, SandboxId } from './names.ts';

export * from './drift-events.ts';
export * from './facts.ts';
export type { CapacityUse, QuotaLimits } from './load-events.ts';

const network = { networkId: Id, name: NetworkName };
const endpoint = { endpointId: Id, networkId: Id, name: EndpointName };
const inSandbox = { ...endpoint, sandbox: z.object({ id: SandboxId, incarnation: Id }) };
/** `bootId`: of the boot that its host is in. */
const lostSandbox = { sandbox: z.object({ id: SandboxId, incarnation: Id }), bootId: z.string() };
/** One of the two. */
const leased = {
  sandbox: z.object({ id: SandboxId, incarnation: Id }).nullable(),
  network: z.object({ id: Id, name: NetworkName }).nullable(),
};
const failed = { fault: Fault };
/** Of an event: the position of its commit, and its place there, from 0. */
const place = { position: z.int(), index: z.int() };

const decisions = {
  RealmOpened: z.object({ realm: RealmName, epoch: Id }),
  CommandRefused: z.object({
    command: z.string(),
    code: z.string(),
    detail: z.string(),
    culprits: z.array(Culprit),
  }),
  CommandTimedOut: z.object({ actor: Actor, commandId: CommandId, command: z.string(), intents: z.array(z.string()) }),
  /** Of the actor's own will, before it had ended. */
  CommandCancelled: z.object({
    actor: Actor,
    commandId: CommandId,
    command: z.string(),
    intents: z.array(z.string()),
    reason: z.string().nullable(),
  }),
  /** Its worker of this epoch has shown no sign of life; over with the next HostFacts. */
  HostLapsed: z.object({ host: HostName, epoch: z.int(), since: z.string() }),
  /** The worker goes on that had stopped, since the log is an older copy; what the log does not know is kept or removed. */
  HostResumed: z.object({ host: HostName, held: z.enum(['keep', 'remove']) }),
  /**
   * A host in this epoch does not come back with what it had: everything of it has ended, if it has not stated another epoch by then. Over
   * with the next HostFacts.
   */
  HostLost: z.object({
    host: HostName,
    epoch: z.int(),
    reason: z.string(),
    /** Ids of what has ended with it; sandboxes by incarnation. */
    networks: z.array(Id),
    endpoints: z.array(Id),
    sandboxes: z.array(Id),
    /** Commands that were under way there. */
    commands: z.array(z.object({ actor: Actor, commandId: CommandId })),
  }),
  /** What this host has reported of networks of the realm counts no more on any other host: one batch with its HostLost. */
  PeersForgotten: z.object({ host: HostName, epoch: z.int() }),
  /** Packets of encrypted networks get keys of this generation; the first, before any rotation, is 0. */
  TunnelKeysRotated: z.object({ generation: z.int() }),
  DriverConfigureRequested: z.object({ driver: z.string(), options: Texts }),
  NetworkCreateRequested: z.object({ network: NetworkFacts }),
  NetworkUpdateRequested: z.object({ ...network, settings: NetworkSettings }),
  NetworkDeleteRequested: z.object(network),
  EndpointCreateRequested: z.object({ endpoint: EndpointFacts }),
  EndpointUpdateRequested: z.object({
    ...endpoint,
    settings: EndpointSettings,
    /** The sandbox that it is in, and who carries its default routes with the new settings. */
    sandbox: SandboxFacts.nullable(),
    gateways: Gateways,
  }),
  /** An endpoint of a realm network holds its name, addresses and MAC there: one commit with its creation on its host. */
  EndpointAdmitted: z.object({
    ...endpoint,
    host: HostName,
    ipv4: z.string().nullable(),
    ipv6: z.string().nullable(),
    mac: z.string().nullable(),
  }),
  /** Host ports that a worker found, by holder: theirs from here on. */
  PortsLeased: z.object({
    intent: z.string(),
    ports: z.array(z.object({ holder: Id, index: z.int(), hostPort: z.int() })),
  }),
  /** What was left open in an intent, as a worker has learnt it: facts from here on. */
  NetworkSettled: z.object({ ...network, intent: z.string(), subnets: z.array(Subnet) }),
  EndpointSettled: z.object({
    ...endpoint,
    intent: z.string(),
    ipv4: z.string().nullable(),
    ipv6: z.string().nullable(),
    mac: z.string().nullable(),
  }),
  JoinSettled: z.object({
    ...endpoint,
    intent: z.string(),
    joinId: Id,
    /** Null where there is no interface to move. */
    interface: z.string().nullable(),
    plug: Plug,
    gateways: Gateways,
  }),
  EndpointJoinRequested: z.object({
    ...endpoint,
    joinId: Id,
    sandbox: SandboxFacts,
    /** Name of the interface inside the sandbox; null where the driver makes none. */
    interface: z.string().nullable(),
    ipv4: z.string().nullable(),
    ipv6: z.string().nullable(),
    mac: z.string().nullable(),
    gateways: Gateways,
  }),
  EndpointLeaveRequested: z.object({
    ...endpoint,
    joinId: Id,
    sandbox: SandboxFacts,
    interface: z.string().nullable(),
    /** No endpoint is left in the sandbox, so it ends with this one. */
    last: z.boolean(),
    gateways: Gateways,
    /** What holds again if it stays after all: its place among the members, and who carries the default routes. */
    before: z.object({ index: z.int(), gateways: Gateways }),
  }),
  /** Somebody wants a sandbox back that was lost with a boot of its host: it is to be made again. */
  SandboxReclaimed: z.object({ ...lostSandbox }),
  EndpointDeleteRequested: z.object({
    ...endpoint,
    cause: z.enum(['command', 'detach', 'garbage']),
    /** Where the cause is garbage: since when, why, and the sandbox it was last in. */
    garbage: z.object({ since: z.string(), reason: z.string(), lastSandbox: z.string().nullable() }).nullable(),
  }),
  EndpointSuspected: z.object({
    ...endpoint,
    since: z.string(),
    dueAt: z.string(),
    reason: z.string(),
    lastSandbox: z.string().nullable(),
  }),
  /** The lease of a sandbox, or of a network, begins anew with this event. */
  LeaseRenewed: z.object({
    ...leased,
    leaseMs: LeaseMs,
    /** How often it was renewed, this time included. */
    renewals: z.int(),
  }),
  /** It has run out, and the sandbox is detached soon unless it is renewed. */
  LeaseSuspected: z.object({ ...leased, renewals: z.int(), expiredAt: z.string() }),
  /** Whoever has parked the event at this place tries to fold it again, and what waits behind it. */
  ParkedRetried: z.object(place),
  /** Whoever has parked the event at this place goes on without it. */
  ParkedDiscarded: z.object({ ...place, reason: z.string() }),
  ...auditDecisions,
  ...loadDecisions,
} as const;

const outcomes = {
  HostFacts: z.object({
    host: HostName,
    bootId: z.string(),
    kernel: z.string(),
    runDir: z.string(),
    routes: z.array(z.string()),
    capabilities: z.record(z.string(), z.boolean()),
    mtu: z.int(),
    /** The host's /48 for automatic IPv6 subnets (RFC 4193). */
    ula: z.string(),
    /** Pools of automatic IPv4 subnets. */
    pools: z.array(z.object({ base: z.string(), size: z.int() })),
    /** Directories under which a caller's namespace may lie. */
    netnsRoots: z.array(z.string()),
    /** Highest version of each event type that this worker can read. */
    reads: z.record(z.string(), z.int()),
    /** Counts the workers of this host and their returns: one more than in the statement before. */
    epoch: z.int(),
    /** What other hosts reach this one at, for tunnels; null where it has no such address. */
    underlay: z.object({ address: z.string(), device: z.string(), mtu: z.int() }).nullable(),
    /** Links `PARENT.ID` that are there and not ours. */
    vlans: z.array(z.string()),
    /** Those of `routes` that lead out of each link that is not ours, by the link's name. */
    linkRoutes: z.record(z.string(), z.array(z.string())),
    /** Address or interface that the worker's settings name as underlay; null: none. */
    underlayAsked: z.string().nullable(),
    /** Drivers beyond the built-in ones that this worker carries out. */
    drivers: z.array(z.string()),
  }),
  /** The log is an older copy of the one that this host's worker has read: it changes nothing until somebody says HostResumed. */
  LogRegressed: z.object({
    host: HostName,
    bootId: z.string(),
    /** The last commit that the worker had read, and where the log ended when it was found to be without it. */
    seen: LogPlace,
    found: LogPlace,
    /** False: the kernel has nothing of ours, so there is nothing that could be torn down, and the worker goes on. */
    stopped: z.boolean(),
    /** Nobody else is given any of it. */
    held: z.array(Held),
    /** Intents that the kernel shows to be done, late or not: they count as in time. */
    done: z.array(z.string()),
  }),
  DriverConfigured: z.object({ driver: z.string() }),
  DriverConfigureFailed: z.object({ driver: z.string(), ...failed }),
  NetworkCreated: z.object(network),
  NetworkCreateFailed: z.object({ ...network, ...failed }),
  NetworkUpdated: z.object(network),
  NetworkUpdateFailed: z.object({ ...network, ...failed }),
  NetworkDeleted: z.object(network),
  NetworkDeleteFailed: z.object({ ...network, ...failed }),
  EndpointCreated: z.object(endpoint),
  EndpointCreateFailed: z.object({ ...endpoint, ...failed }),
  EndpointUpdated: z.object({ ...endpoint, ports: z.array(PortBinding), peer: Peer }),
  EndpointUpdateFailed: z.object({ ...endpoint, ...failed }),
  EndpointJoined: z.object({
    ...inSandbox,
    key: z.string(),
    interface: z.string().nullable(),
    ipv4: z.string().nullable(),
    ipv6: z.string().nullable(),
    mac: z.string().nullable(),
    routes: z.array(Route),
    /** What leads into the sandbox now. */
    ports: z.array(PortBinding),
    peer: Peer,
  }),
  EndpointJoinFailed: z.object({ ...inSandbox, ...failed }),
  EndpointLeft: z.object(inSandbox),
  EndpointLeaveFailed: z.object({ ...inSandbox, ...failed }),
  /** It was to leave as part of a move that failed: it is in the sandbox as it was. */
  EndpointLeaveReverted: z.object({
    ...endpoint,
    joinId: Id,
    sandbox: SandboxFacts,
    interface: z.string().nullable(),
    before: z.object({ index: z.int(), gateways: Gateways }),
    ...failed,
  }),
  EndpointDeleted: z.object(endpoint),
  EndpointDeleteFailed: z.object({ ...endpoint, ...failed }),
  /** It was to be deleted as part of a move that failed: it is there as it was. */
  EndpointDeleteReverted: z.object({ ...endpoint, ...failed }),
  SandboxCreated: z.object({ sandbox: SandboxFacts }),
  SandboxRemoved: z.object({ sandbox: SandboxFacts }),
  /** It was made in another boot of its host, and is not made again by itself. */
  SandboxLost: z.object({
    ...lostSandbox,
    /** `policy`: as was asked for. `namespace`: it was in a namespace that its caller had made, and that is gone. */
    reason: z.enum(['policy', 'namespace']),
  }),
  /** It was made in another boot of its host, and is there again, with the same addresses, MACs and ports. */
  SandboxRestored: z.object({ ...lostSandbox }),
  ...driftOutcomes,
  ...loadOutcomes,
} as const;

export const decisionTypes = Object.keys(decisions) as readonly DecisionType[];
export const outcomeTypes = Object.keys(outcomes) as readonly OutcomeType[];
export const eventData = { ...decisions, ...outcomes };
export type DecisionType = keyof typeof decisions;
export type OutcomeType = keyof typeof outcomes;
export type EventType = DecisionType | OutcomeType;
export type EventData<T extends EventType> = z.infer<(typeof eventData)[T]>;

/** What happened, without its envelope. */
export type Fact = { [T in EventType]: { readonly type: T; readonly data: Readonly<EventData<T>> } }[EventType];
export type FactOf<T extends EventType> = Extract<Fact, { type: T }>;

export { type IntentType, isConstructive, isFailure, isIntent, isTerminal, outcomesOf } from './outcomes.ts';
