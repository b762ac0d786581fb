/** What a decision must know about a driver. The controller hands the rules of its drivers in, since this folder imports none. */
import type { EndpointFacts, NetworkFacts } from './events.ts';
import type { Refusal } from './refusals.ts';

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
  /** MTU of a network with these options; null where the driver makes no links. Values that fail the checks may be given. */
  mtu(
    options: Readonly<Record<string, string>>,
    config: Readonly<Record<string, string>>,
    hostMtu: number,
  ): number | null;
  /** Each check answers null, or why not. Options are opaque to everyone else. */
  checkConfigure(options: Readonly<Record<string, string>>): Refusal | null;
  checkNetwork(network: NetworkFacts, others: Iterable<NetworkFacts>): Refusal | null;
  checkEndpoint(endpoint: EndpointFacts, network: NetworkFacts): Refusal | null;
}
