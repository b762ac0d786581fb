/** What a decision must know about a driver. The controller hands the rules of its drivers in, since this folder imports none. */
import type { EndpointFacts, NetworkFacts } from './events.ts';
import type { Family } from './ip.ts';
import type { Refusal } from './refusals.ts';

type Options = Readonly<Record<string, string>>;

export interface DriverRules {
  readonly name: string;
  /** Capabilities of the host (`HostFacts`) without which its networks cannot work. */
  readonly capabilities: readonly string[];
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
  /** Options of a network that can change while it is in use. */
  readonly updatableOptions: readonly string[];
  /** MTU of a network with these options; null where the driver makes no links. Values that fail the checks may be given. */
  mtu(options: Options, config: Options, hostMtu: number): number | null;
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
  /** Also of what a network would be after an update; then it is not among the others. */
  checkNetwork(network: NetworkFacts, others: Iterable<NetworkFacts>): Refusal | null;
  checkEndpoint(endpoint: EndpointFacts, network: NetworkFacts): Refusal | null;
}

/** Of a driver that makes no links: nothing goes in or out, and there is nothing to name. */
export const linkless = {
  updatableOptions: [],
  mtu: () => null,
  interfacePrefix: () => 'eth',
  canPublish: () => false,
  publishProblem: () => 'the driver makes no links',
  defaultBindings: () => [],
} as const satisfies Partial<DriverRules>;
