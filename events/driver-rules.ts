/** What a decision must know about a driver. The controller hands the rules of its drivers in, since this folder imports none. */
import type { EndpointFacts, EventData, NetworkFacts } from './events.ts';
import type { Family } from './ip.ts';
import type { Refusal } from './refusals.ts';

type HostFacts = EventData<'HostFacts'>;
type Options = Readonly<Record<string, string>>;

export interface Tunnel {
  /** UDP port. */
  readonly port: number;
  readonly encrypted: boolean;
  /** VXLAN network identifier that is asked for; null: any. */
  readonly vni: number | null;
  /** How much larger a packet is on the link between hosts than in the network, bytes. */
  readonly overhead: number;
}

export interface DriverRules {
  readonly name: string;
  /**
   * Somebody else carries it out: what he answers (MAC address, interface, gateways, routes) is not known until it is settled or
   * reported. Options are his.
   */
  readonly remote?: true;
  /** `host`: a network is on one host. `realm`: it is on all of them, and decided on the realm's boundary. */
  readonly scope: NetworkFacts['scope'];
  /** Capabilities of the host (`HostFacts`) without which a network with these options cannot work. */
  needs(options: Options): readonly string[];
  /** Whether a subnet gets a gateway where nobody asks for one. */
  needsGateway(options: Options): boolean;
  /** Whether its endpoints have MAC addresses of their own. */
  readonly hasMac: boolean;
  /** What carries a default route out of a network with these options. */
  defaultRoute(options: Options): NetworkFacts['defaultRoute'];
  /** Who may manage the addresses of its networks beside us: nobody (`null`), a plugin. Left out: we alone do. */
  readonly ipams?: readonly ('null' | 'plugin')[];
  /** Whether its networks have subnets and its endpoints addresses. */
  readonly addresses: boolean;
  /** `host`: sandboxes on its networks are the host's own namespace. */
  readonly sandbox: 'own' | 'host';
  /** A sandbox on one of its networks can be on no other network. */
  readonly exclusive: boolean;
  /** How many networks it can have on one host. */
  readonly networksMax: number;
  /** How many endpoints one of its networks takes. */
  readonly endpointsMax: number;
  /** How many endpoints of a network with these options can be in sandboxes at a time; left out, or undefined: as many as it has. */
  joinsMax?(options: Options): number | undefined;
  /** Options of a network that can change while it is in use. */
  readonly updatableOptions: readonly string[];
  /**
   * MTU of a network with these options; null where the driver makes no links, or takes it from the parent. Values that fail the checks
   * may be given.
   * @param config what the driver is configured to (ConfigureDriver)
   * @param host where the network is; undefined for a network of the realm
   * @param underlays MTUs of the links that lead to other hosts, of every host that has one
   */
  mtu(options: Options, config: Options, host: HostFacts | undefined, underlays: readonly number[]): number | null;
  /** The link of the host that interfaces of the network stand on, or why there can be none; null where they stand on none. */
  parentOf(
    network: Pick<NetworkFacts, 'id' | 'options' | 'internal'>,
    host: HostFacts | undefined,
  ): NetworkFacts['parent'] | Refusal;
  /**
   * The link of the host whose own network endpoints are in, so that a subnet of theirs may be one that the host reaches over it; left out,
   * or null: there is none.
   */
  lanOf?(options: Options): string | null;
  /** How frames of a network with these options travel between hosts; left out, or null: they do not. */
  tunnelOf?(options: Options): Tunnel | null;
  /** Names of interfaces inside sandboxes begin with it; the first free number follows. */
  interfacePrefix(network: NetworkFacts): string;
  /** Whether ports on host addresses of the family can be led to endpoints of the network. */
  canPublish(network: NetworkFacts, family: Family): boolean;
  /** Why a port at this address of the host cannot be led to endpoints of the network; null when it can. */
  publishProblem(network: NetworkFacts, hostAddress: string): string | null;
  /**
   * Host addresses of a port that names none, at most one of each family; empty: somebody has to say.
   * @param config what the driver is configured to (ConfigureDriver)
   */
  defaultBindings(network: NetworkFacts, config: Options): readonly string[];
  /** Each check answers null, or why not. Options are opaque to everyone else. */
  checkConfigure(options: Options): Refusal | null;
  /** Also of what a network would be after an update; then it is not among the others. `others`: networks of any driver in its scope. */
  checkNetwork(network: NetworkFacts, others: Iterable<NetworkFacts>): Refusal | null;
  checkEndpoint(endpoint: EndpointFacts, network: NetworkFacts): Refusal | null;
}

/** Of a driver that makes no links: nothing goes in or out, and there is nothing to name. */
export const linkless = {
  scope: 'host',
  needsGateway: () => false,
  hasMac: false,
  defaultRoute: () => 'none',
  updatableOptions: [],
  mtu: () => null,
  parentOf: () => null,
  interfacePrefix: () => 'eth',
  canPublish: () => false,
  publishProblem: () => 'the driver makes no links',
  defaultBindings: () => [],
} as const satisfies Partial<DriverRules>;
