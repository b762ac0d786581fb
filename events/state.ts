/**
 * The state of one boundary: what all accepted intents and reported outcomes on a host add up to. Controllers decide on it,
 * workers derive from it what must exist and what is still to be done. Rows are replaced, never changed (events/table.ts).
 */
import type { CommandRecord } from './command-record.ts';
import type { Cut } from './cut-short.ts';
import type { OpenLeave } from './endpoint-life.ts';
import type { Event } from './envelope.ts';
import type {
  EndpointFacts,
  EndpointSettings,
  EventData,
  Fact,
  Gateways,
  NetworkFacts,
  NetworkSettings,
  Plug,
  SandboxFacts,
} from './events.ts';
import type { Held } from './held.ts';
import { type AddressPool, type SubnetSpace, subnetSpace } from './ipam.ts';
import type { Lease } from './lifetime.ts';
import type { QuotaLimits } from './load-events.ts';
import { memoryMsMost } from './names.ts';
import { CountedTable, endpointUse, networkUse, sandboxUse, type Use } from './quotas.ts';
import type { Lost } from './reboots.ts';
import type { RefusedRange } from './refused-ranges.ts';
import type { EndpointStatus, NetworkStatus, SandboxStatus } from './states.ts';
import { Journal, Queue, Table } from './table.ts';
import type { Update } from './updates.ts';

type Options = Readonly<Record<string, string>>;

export interface DriverRow {
  readonly options: Options;
  /** What holds again when this configuration fails. */
  readonly before: Options;
  readonly intent: string;
}

export interface RegressedRow {
  /** `stopped`: the worker changes nothing. `kept`: it goes on, and leaves alone what is held. */
  readonly status: 'stopped' | 'kept';
  readonly held: readonly Held[];
}

export interface NetworkRow {
  readonly facts: NetworkFacts;
  /** Who created it. */
  readonly actor: string;
  readonly status: Exclude<NetworkStatus, 'absent'>;
  /** Event id of the latest intent: the one whose outcome moves the state. Updates are not among them. */
  readonly intent: string;
  readonly createdAt: string;
  /** The latest update while it is not reported; its settings stand in the facts. */
  readonly update: Update<NetworkSettings> | null;
  /** Whether its subnets are those that a worker has learnt. */
  readonly isSettled: boolean;
  /** Null: it lasts until it is deleted. Left out in what was carried over by a version before. */
  readonly lease?: Lease | null;
}

/** What is unique inside one network. */
export interface NetworkCell {
  /** Id to the host that it is on. */
  readonly endpoints: Table<string, string>;
  /** Lower-case endpoint name to endpoint id; freed by the delete intent. */
  readonly names: Table<string, string>;
  readonly macs: Table<string, string>;
  readonly pools: readonly AddressPool[];
  /** Addresses that lie in no subnet of it, to endpoint id. */
  readonly others: Table<string, string>;
}

export interface Membership {
  readonly id: string;
  readonly incarnation: string;
  readonly joinId: string;
  readonly interface: string | null;
}

export interface EndpointRow {
  /** As decided last; ports with the host ports that were leased since. */
  readonly facts: EndpointFacts;
  /** Who created it. */
  readonly actor: string;
  readonly status: Exclude<EndpointStatus, 'absent'>;
  /** Event id of the latest intent: the one whose outcome moves the state. Updates are not among them. */
  readonly intent: string;
  readonly leave: OpenLeave | null;
  /** The latest update while it is not reported; its settings stand in the facts. */
  readonly update: Update<EndpointSettings> | null;
  readonly sandbox: Membership | null;
  /** Whether its addresses and MAC are those that a worker has learnt. */
  readonly isSettled: boolean;
  /** What its carrier said of its latest join that was settled; `plugOf` says whether that is the one that it is in. */
  readonly plug: (Plug & { readonly joinId: string }) | null;
  /** How many events this incarnation has seen: what the collector re-checks. */
  readonly generation: number;
  /** Since when it has been without a sandbox, RFC 3339. */
  readonly idleSince: string;
  /** The sandbox that it was last in; a join that failed leaves it as it was. */
  readonly lastSandbox: string | null;
  readonly suspected: boolean;
}

export interface SandboxRow {
  /** Ports with the host ports that were leased since. */
  readonly facts: SandboxFacts;
  /** Who joined the first endpoint to it. */
  readonly actor: string;
  readonly status: Exclude<SandboxStatus, 'absent'>;
  /** Ids of the endpoints in it, in the order in which they joined. */
  readonly members: readonly string[];
  readonly gateways: Gateways;
  /** Event id of the latest leave that may be reverted, as in a move to another network; open while that is. */
  readonly move: string | null;
  /** The boot of the host in which it was made, or made again; left out or null: not known. */
  readonly boot?: string | null;
  /** Lost with a boot of its host; null or left out: it was not. */
  readonly lost?: Lost | null;
  /** Null: it lasts until it is left. Left out in what was carried over by a version before. */
  readonly lease?: Lease | null;
}

/** Who holds a port of the host, and on which of its addresses; `0.0.0.0` and `::` are all of their family. */
export interface PortHolder {
  /** `endpoint`: from its creation until it is gone. `sandbox`: ports of its own, from its first join until it is gone. */
  readonly kind: 'endpoint' | 'sandbox';
  /** The endpoint's id, or the sandbox's incarnation. */
  readonly id: string;
  readonly addresses: readonly string[];
}

/** A command that this boundary has decided, kept as long as ids are remembered. */
export interface CommandRow {
  readonly digest: string;
  /** Position of the commit that decided it. */
  readonly decidedAt: number;
  /** Position of the commit that ended it; null while it runs. */
  readonly endedAt: number | null;
  /** How; null while it runs, and where its decision has said all. Left out in what was carried over by a version before. */
  readonly ended?: CommandRecord['status'] | null;
}

/** What is decided for all hosts together: networks of the realm, and what is unique in them. Every host's state points to the one. */
export interface SharedState {
  readonly journal: Journal;
  /**
   * How long boundaries keep which commands they have decided, as long as ids are valid; 0: not at all. Whoever decides nothing has no use for it, and it
   * is most of a state.
   */
  readonly memoryMs: number;
  readonly networks: Table<string, NetworkRow>;
  /** Lower-case name to id of the incarnation that holds it. */
  readonly networkNames: Table<string, string>;
  readonly cells: Table<string, NetworkCell>;
  /** Subnets of realm networks and of every host's own, and the routes of every host. */
  readonly subnets: SubnetSpace;
  /** VXLAN network identifier to the id of the network that holds it. */
  readonly vnis: Table<number, string>;
  /** The identifier that was given last: the next one is looked for behind it, so that none is used again soon. */
  readonly vniCursor: Table<'last', number>;
  /** Generation of the keys of encrypted networks; 0 before the first rotation. */
  readonly tunnelKeys: Table<'generation', number>;
  /** Legal holds that are not lifted, by name. */
  readonly holds: Table<string, EventData<'LegalHoldSet'>>;
  /** Subjects whose key is to be deleted, or is. */
  readonly shredded: Table<string, true>;
  /** What actors may have, by name; the empty name is of everybody without one of their own. */
  readonly quotas: Table<string, QuotaLimits>;
  /** What actors have, on every host: it follows from the rows that they have created. */
  readonly uses: Table<string, Use>;
  /** Commands of each actor that were refused together. */
  readonly refused: Table<string, readonly RefusedRange[]>;
}

export interface BoundaryState {
  readonly journal: Journal;
  readonly shared: SharedState;
  readonly facts: Table<'host', EventData<'HostFacts'>>;
  /** Epoch whose worker showed no sign of life; it is away as long as its facts have that epoch (`isLapsed`). */
  readonly lapsed: Table<'epoch', number>;
  /** While the log is an older copy of what its worker had read, and what of that is held until it is removed. */
  readonly regressed: Table<'log', RegressedRow>;
  /** What is nearly used up, as its worker has said: by what it is, and its network's id behind a space. */
  readonly pressure: Table<string, EventData<'CapacityPressure'>>;
  /** Epoch in which it was declared lost; it is as long as its facts have that epoch (`isLost`). */
  readonly lost: Table<'epoch', number>;
  readonly drivers: Table<string, DriverRow>;
  /** Of this host alone; `networkOf` finds those of the realm too. */
  readonly networks: Table<string, NetworkRow>;
  /** Lower-case name to id of the incarnation that holds it. */
  readonly networkNames: Table<string, string>;
  readonly cells: Table<string, NetworkCell>;
  /** Ids of the host's networks that are the way out of others. */
  readonly outlets: Table<string, true>;
  /** Subnets of all networks of the host that are not gone, and the host's own routes. */
  readonly subnets: SubnetSpace;
  readonly endpoints: Table<string, EndpointRow>;
  /** By incarnation; several may bear one name while older ones are being removed. */
  readonly sandboxes: Table<string, SandboxRow>;
  readonly sandboxIds: Table<string, string>;
  /** How many endpoints are in a sandbox, or have not been reported out of it, by its incarnation; none has no entry. */
  readonly occupants: Table<string, number>;
  /** `tcp/8080` to those who hold it, one entry per port of a lease; what an open update gives up or takes is held as well. */
  readonly ports: Table<string, readonly PortHolder[]>;
  /** By `commandKey`; empty, as `remembered` is, where nothing is remembered. */
  readonly commands: Table<string, CommandRow>;
  readonly remembered: Queue<{ readonly key: string; readonly decidedMs: number }>;
  /** Accepted commands that have not ended. */
  readonly progress: Table<string, CommandRecord>;
  /** Intents that their host has not reported on, in log order: a worker's work. */
  readonly intents: Table<string, Event>;
  /** Intents among them whose command has timed out, or was cancelled: to be undone, not done. */
  readonly expired: Table<string, Cut>;
}

/** Whether a change of this sandbox that may be reverted, such as a move to another network, is not reported yet. */
export const isMoving = (state: BoundaryState, row: SandboxRow | undefined): boolean =>
  row !== undefined && row.move !== null && state.intents.has(row.move);

/** What its carrier said of the join that it is in; null where it said nothing, or has not yet. */
export const plugOf = ({ plug, sandbox }: Pick<EndpointRow, 'plug' | 'sandbox'>): EndpointRow['plug'] =>
  plug !== null && plug.joinId === sandbox?.joinId ? plug : null;

/** One string in one piece: keys are kept for long, and those put together by a template keep their parts. */
export const commandKey = (actor: string, id: string): string => [actor, id].join(' ');

/** @param memoryMs see `SharedState` */
export const sharedState = (memoryMs = memoryMsMost): SharedState => {
  const journal = new Journal();
  const uses = new Table<string, Use>(journal);
  return {
    journal,
    memoryMs,
    networks: new CountedTable<NetworkRow>(journal, uses, ({ facts }) => networkUse(facts)),
    networkNames: new Table(journal),
    cells: new Table(journal),
    subnets: subnetSpace(journal),
    vnis: new Table(journal),
    vniCursor: new Table(journal),
    tunnelKeys: new Table(journal),
    holds: new Table(journal),
    shredded: new Table(journal),
    quotas: new Table(journal),
    uses,
    refused: new Table(journal),
  };
};

/** @param shared that of the realm; one of its own where nothing is shared */
export const initialState = (shared: SharedState = sharedState()): BoundaryState => {
  const journal = new Journal();
  return {
    journal,
    shared,
    facts: new Table(journal),
    lapsed: new Table(journal),
    regressed: new Table(journal),
    pressure: new Table(journal),
    lost: new Table(journal),
    drivers: new Table(journal),
    networks: new CountedTable<NetworkRow>(journal, shared.uses, ({ facts }) => networkUse(facts)),
    networkNames: new Table(journal),
    cells: new Table(journal),
    outlets: new Table(journal),
    subnets: subnetSpace(journal),
    endpoints: new CountedTable<EndpointRow>(journal, shared.uses, ({ facts }) => endpointUse(facts)),
    sandboxes: new CountedTable<SandboxRow>(journal, shared.uses, ({ facts }) => sandboxUse(facts)),
    sandboxIds: new Table(journal),
    occupants: new Table(journal),
    ports: new Table(journal),
    commands: new Table(journal),
    remembered: new Queue(journal),
    progress: new Table(journal),
    intents: new Table(journal),
    expired: new Table(journal),
  };
};

/** A network of the host, or of the realm. */
export const networkOf = (state: BoundaryState, id: string): NetworkRow | undefined =>
  state.networks.get(id) ?? state.shared.networks.get(id);

/** What is unique inside a network of the host, or of the realm. */
export const cellOf = (state: BoundaryState, id: string): NetworkCell | undefined =>
  state.cells.get(id) ?? state.shared.cells.get(id);

export type NetworkHome = Pick<SharedState, 'journal' | 'networks' | 'networkNames' | 'cells'>;

/**
 * Whether a network is only on record: nobody has to do anything for it until an endpoint joins, so its creation and deletion are done
 * with their decision. Hosts make of it what a join needs, and take that away behind the last leave.
 */
export const isRecordOnly = ({ scope, outlet }: Pick<NetworkFacts, 'scope' | 'outlet'>): boolean =>
  scope === 'realm' || outlet;

/** The host that has to execute an intent that is decided on its boundary; empty: nobody. */
export const executorOf = (state: BoundaryState, fact: Fact, host: string): string => {
  const id = 'networkId' in fact.data && fact.type.startsWith('Network') ? fact.data.networkId : '';
  const facts = fact.type === 'NetworkCreateRequested' ? fact.data.network : networkOf(state, id)?.facts;
  return facts && isRecordOnly(facts) ? '' : host;
};

/** Where networks of a scope are kept. */
export const homeOf = (state: BoundaryState, scope: NetworkFacts['scope']): NetworkHome =>
  scope === 'realm' ? state.shared : state;

/** The network of that id, else of that name without case. */
export const namedIn = ({ networks, networkNames }: NetworkHome, name: string): NetworkRow | undefined =>
  networks.get(name) ?? networks.get(networkNames.get(name.toLowerCase()) ?? '');

/**
 * The network that a reference names as seen from this boundary: the host's own first, then the realm's; by id, else by name without
 * case. HOST/NAME of another host names none; on the boundary of no host the routing has seen to that.
 */
export const findNetwork = (state: BoundaryState, ref: string): NetworkRow | undefined => {
  const slash = ref.indexOf('/');
  const host = state.facts.get('host')?.host;
  if (slash >= 0 && host !== undefined && ref.slice(0, slash) !== host) return undefined;
  const name = ref.slice(slash + 1);
  return namedIn(state, name) ?? namedIn(state.shared, name);
};

/** The endpoint that a reference names in a network: by id, else by name without case. */
export const findEndpoint = (state: BoundaryState, networkId: string, ref: string): EndpointRow | undefined => {
  const byId = state.endpoints.get(ref);
  if (byId?.facts.networkId === networkId) return byId;
  const id = cellOf(state, networkId)?.names.get(ref.toLowerCase());
  return id === undefined ? undefined : state.endpoints.get(id);
};

/** The sandbox of that name: one that somebody is in, or that somebody may come back into (`isMoving`). */
export const findSandbox = (state: BoundaryState, id: string): SandboxRow | undefined =>
  state.sandboxes.get(state.sandboxIds.get(id) ?? '');

/** Whether the host's worker is known to show no sign of life. */
export const isLapsed = ({ facts, lapsed }: Pick<BoundaryState, 'facts' | 'lapsed'>): boolean =>
  lapsed.get('epoch') !== undefined && lapsed.get('epoch') === facts.get('host')?.epoch;

/** Whether the host's worker changes nothing, since the log is an older copy of what it had read. */
export const isStopped = ({ regressed }: Pick<BoundaryState, 'regressed'>): boolean =>
  regressed.get('log')?.status === 'stopped';

/** Whether the host was declared lost, and no worker of it has come back since. */
export const isLost = ({ facts, lost }: Pick<BoundaryState, 'facts' | 'lost'>): boolean =>
  lost.get('epoch') !== undefined && lost.get('epoch') === facts.get('host')?.epoch;
