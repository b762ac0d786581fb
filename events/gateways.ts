/**
 * Who carries the default routes of a sandbox, and with them its published ports. One rule for decisions and for folds: the members
 * alone say who it is, so that nothing has to be remembered when one of them fails.
 */
import type { Gateways, NetworkFacts, Plug } from './events.ts';
import type { Family } from './ip.ts';

/** The destinations of default routes. */
export const defaultDestinations = { 4: '0.0.0.0/0', 6: '::/0' } as const;

/** Where a sandbox's default route leads: an auxiliary address of Docker's name, else the gateway; null where there is none. */
export const gatewayOf = ({ subnets }: Pick<NetworkFacts, 'subnets'>, family: Family): string | null => {
  const subnet = subnets.find((one) => one.family === family);
  return subnet?.aux[`DefaultGatewayIPv${family}`] ?? subnet?.gateway ?? null;
};

const leadsTo = (
  network: Pick<NetworkFacts, 'subnets' | 'defaultRoute'>,
  family: Family,
  plug: Plug | null,
): string | null => {
  if (network.defaultRoute === 'endpoint') return plug?.[`gateway${family}`] ?? null;
  return network.defaultRoute === 'link' ? '' : gatewayOf(network, family);
};

/**
 * The default route through a network that can carry one; an empty gateway: the destination is on the link.
 * @param plug what the carrier of an endpoint's network said of its join, where it says that
 */
export const defaultRouteOf = (
  network: Pick<NetworkFacts, 'subnets' | 'defaultRoute'>,
  family: Family,
  plug: Plug | null = null,
): { readonly destination: string; readonly gateway: string } | null => {
  const gateway = leadsTo(network, family, plug);
  return gateway === null ? null : { destination: defaultDestinations[family], gateway };
};

/** A member of a sandbox, as far as its election goes. */
export interface Candidate {
  readonly id: string;
  readonly gatewayPriority: number;
  readonly network: Pick<NetworkFacts, 'internal' | 'subnets' | 'defaultRoute'>;
  /** What its carrier said of its join; null or left out: nothing. */
  readonly plug?: Plug | null;
}

/**
 * A network can carry the default route of a family when it reaches beyond itself, and has a gateway there or needs none. Where the
 * route is each endpoint's own, its carrier says through which gateway.
 */
export const canCarry = (
  { internal, subnets, defaultRoute }: Candidate['network'],
  family: Family,
  plug: Plug | null = null,
): boolean => {
  if (internal || defaultRoute === 'none' || defaultRoute === 'outlet') return false;
  if (defaultRoute === 'endpoint') return plug !== null && plug[`gateway${family}`] !== null;
  return subnets.some((subnet) => subnet.family === family && (subnet.gateway !== null || defaultRoute === 'link'));
};

const elected = (candidates: readonly Candidate[], family: Family): string | null => {
  let best: Candidate | null = null;
  for (const candidate of candidates) {
    if (!canCarry(candidate.network, family, candidate.plug)) continue;
    if (best === null || candidate.gatewayPriority > best.gatewayPriority) best = candidate;
  }
  return best?.id ?? null;
};

/**
 * Of the members that can carry a family the one with the highest priority, of equal ones the first that joined.
 * @param candidates in the order in which they joined
 */
export const electGateways = (candidates: readonly Candidate[]): Gateways => ({
  ipv4: elected(candidates, 4),
  ipv6: elected(candidates, 6),
});
