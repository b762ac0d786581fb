/** What an intent leaves open until a worker has learnt it from whoever carries the network: settled, it is a fact like any other. */
import type { Event } from './envelope.ts';
import { type BoundaryState, networkOf } from './state.ts';

/** Who manages the addresses of a network: we, nobody, or a plugin. */
export const ipamOf = ({ ipam }: { readonly ipam: { readonly driver: string } }): 'default' | 'null' | 'plugin' =>
  ipam.driver === 'default' || ipam.driver === 'null' ? ipam.driver : 'plugin';

/** A pool that stands for all addresses of its family: it is nobody's own, and says nothing of what is on the link. */
export const isWide = (subnet: string): boolean => subnet.endsWith('/0');

/** Whether nothing of an intent is open any more that it cannot be carried out without. */
export const isSettled = (state: BoundaryState, intent: Event): boolean => {
  switch (intent.type) {
    case 'NetworkCreateRequested': {
      const { network } = intent.data;
      return ipamOf(network) !== 'plugin' || networkOf(state, network.id)?.isSettled === true;
    }
    case 'EndpointCreateRequested': {
      const { endpoint } = intent.data;
      return endpoint.wanted === null || state.endpoints.get(endpoint.id)?.isSettled === true;
    }
    case 'EndpointJoinRequested': {
      const { endpointId, networkId, joinId } = intent.data;
      if (networkOf(state, networkId)?.facts.defaultRoute !== 'endpoint') return true;
      return state.endpoints.get(endpointId)?.plug?.joinId === joinId;
    }
    default:
      return true;
  }
};

/** An intent as it is carried out: with what was settled since. */
export const asSettled = (state: BoundaryState, intent: Event): Event => {
  switch (intent.type) {
    case 'NetworkCreateRequested': {
      const row = networkOf(state, intent.data.network.id);
      if (!row?.isSettled) return intent;
      const network = { ...intent.data.network, subnets: row.facts.subnets };
      return { ...intent, data: { network } };
    }
    case 'EndpointCreateRequested': {
      const row = state.endpoints.get(intent.data.endpoint.id);
      if (!row?.isSettled) return intent;
      const { ipv4, ipv6, mac } = row.facts;
      return { ...intent, data: { endpoint: { ...intent.data.endpoint, ipv4, ipv6, mac } } };
    }
    case 'EndpointJoinRequested': {
      const { data } = intent;
      const row = state.endpoints.get(data.endpointId);
      const isPlugged = row?.plug?.joinId === data.joinId;
      if (!row || !(row.isSettled || isPlugged)) return intent;
      const { ipv4, ipv6, mac } = row.facts;
      const device = isPlugged && row.sandbox?.joinId === data.joinId ? row.sandbox.interface : data.interface;
      return { ...intent, data: { ...data, ipv4, ipv6, mac, interface: device } };
    }
    default:
      return intent;
  }
};
