/** What plugins are told of networks and endpoints that go, or never came about, in Docker's order. Pure. */
import type { Event } from '../../events/envelope.ts';
import type { EndpointFacts, NetworkFacts } from '../../events/events.ts';
import { ipamOf } from '../../events/settled.ts';
import { type BoundaryState, networkOf } from '../../events/state.ts';
import { bareAddress } from '../../projections/projection.ts';
import type { Parting } from './parting.ts';

/** Whose networks are plugins'. */
export interface Ground {
  readonly state: BoundaryState;
  readonly isPlugin: (driver: string) => boolean;
}

/** The network that an event is about. */
export const networkIdOf = ({ type, data }: Event): string => {
  if (type === 'NetworkCreateRequested') return data.network.id;
  if (type === 'EndpointCreateRequested') return data.endpoint.networkId;
  return 'networkId' in data ? data.networkId : '';
};

/** Whether addresses of a network are a plugin's to give. */
export const isForeign = (network: NetworkFacts): boolean => ipamOf(network) === 'plugin';

const families = [4, 6] as const;

/** What is released when an endpoint goes, as far as it is known. */
export const addressPartings = (network: NetworkFacts, endpoint: EndpointFacts): readonly Parting[] =>
  families.flatMap((family) => {
    const pool = network.subnets.find((subnet) => subnet.family === family)?.pool ?? null;
    const address = endpoint[`ipv${family}`];
    if (pool === null || address === null) return [];
    return [{ kind: 'address', plugin: network.ipam.driver, pool, address: bareAddress(address) }];
  });

export const endpointParting = (
  kind: 'revoke' | 'leave' | 'endpoint',
  { driver }: NetworkFacts,
  { id, networkId }: Pick<EndpointFacts, 'id' | 'networkId'>,
): Parting => ({ kind, plugin: driver, networkId, endpointId: id });

/** What is released when a network goes, in Docker's order. */
export const poolPartings = ({ ipam, subnets }: NetworkFacts): readonly Parting[] =>
  subnets.flatMap(({ pool, gateway, aux }): readonly Parting[] => {
    if (pool === null) return [];
    const addresses = [...(gateway === null ? [] : [gateway]), ...Object.values(aux)];
    return [
      ...addresses.map((address) => ({ kind: 'address', plugin: ipam.driver, pool, address }) as const),
      { kind: 'pool', plugin: ipam.driver, pool },
    ];
  });

export const networkParting = ({ driver, id }: NetworkFacts): Parting => ({
  kind: 'network',
  plugin: driver,
  networkId: id,
});

/** Of a network that plugins have to do with: it, and whether its driver is one. */
const concerned = ({ state, isPlugin }: Ground, intent: Event) => {
  const network = networkOf(state, networkIdOf(intent))?.facts;
  if (!network) return null;
  const isPlugins = isPlugin(network.driver);
  return isPlugins || isForeign(network) ? { network, isPlugins } : null;
};

/** What plugins are told of a deletion; nothing for other intents. */
export const deletionOf = (ground: Ground, intent: Event): readonly Parting[] => {
  if (intent.type !== 'EndpointDeleteRequested' && intent.type !== 'NetworkDeleteRequested') return [];
  const found = concerned(ground, intent);
  if (!found) return [];
  const { network, isPlugins } = found;
  if (intent.type === 'NetworkDeleteRequested')
    return [...poolPartings(network), ...(isPlugins ? [networkParting(network)] : [])];
  const { endpointId: id, networkId } = intent.data;
  const endpoint = ground.state.endpoints.get(id)?.facts;
  return [
    ...(isPlugins ? [endpointParting('endpoint', network, { id, networkId })] : []),
    ...(endpoint ? addressPartings(network, endpoint) : []),
  ];
};

/**
 * What takes back an intent that makes something, as far as the log knows it: what is settled is known whoever has begun it.
 * @param isUnknown another worker had begun it: it may have asked for everything
 */
export const inverseOf = (ground: Ground, intent: Event, isUnknown: boolean): readonly Parting[] => {
  const found = concerned(ground, intent);
  if (!found) return [];
  const { network, isPlugins } = found;
  const isAsked = isUnknown && isPlugins;
  switch (intent.type) {
    case 'EndpointJoinRequested': {
      const { endpointId: id, networkId } = intent.data;
      return isAsked ? [endpointParting('leave', network, { id, networkId })] : [];
    }
    case 'EndpointCreateRequested': {
      const endpoint = ground.state.endpoints.get(intent.data.endpoint.id)?.facts ?? intent.data.endpoint;
      const created = isAsked ? [endpointParting('endpoint', network, endpoint)] : [];
      return [...created, ...addressPartings(network, endpoint)];
    }
    case 'NetworkCreateRequested':
      return [...poolPartings(network), ...(isAsked ? [networkParting(network)] : [])];
    default:
      return [];
  }
};
