/** A plugin as a network driver: every method of the interface, typed. */
import type { z } from 'zod';
import type { CallOptions } from './deadline.ts';
import type { Called } from './fault.ts';
import type { GoValue } from './go-json.ts';
import {
  type CreateEndpoint,
  type CreateNetwork,
  type Discovery,
  type EndpointRef,
  endpointAnswer,
  GwAllocAnswer,
  type Join,
  JoinAnswer,
  NetworkCapabilities,
  Nothing,
  networkBodies,
  OperInfo,
  type PluginInterface,
  type ProgramExternal,
} from './network-messages.ts';
import type { NetworkOptions } from './options.ts';
import type { Asking } from './plugin.ts';

/** A method: what it is asked, and what it answers. None rejects, and each is answered within the time of the call. */
type Method<Request, Answer> = (request: Request, options: CallOptions) => Promise<Called<Answer>>;

export interface NetworkPlugin {
  readonly name: string;
  /** What the handshake has said; activates the plugin when it is not. */
  capabilities(options: CallOptions): Promise<Called<NetworkCapabilities>>;
  /** The same without asking again: null where the handshake has said nothing of use. The next call asks anew, not this one. */
  known(options: CallOptions): Promise<NetworkCapabilities | null>;
  /** Asks for them on the wire. */
  getCapabilities(options: CallOptions): Promise<Called<NetworkCapabilities>>;
  /** Only for plugins whose capabilities say so. */
  readonly gwAllocCheck: Method<NetworkOptions, GwAllocAnswer>;
  readonly createNetwork: Method<CreateNetwork, null>;
  readonly deleteNetwork: Method<string, null>;
  /** Answers what the plugin has chosen of what was left open. */
  readonly createEndpoint: Method<CreateEndpoint, PluginInterface>;
  /** A free map; empty from a plugin that has no such method. */
  readonly endpointOperInfo: Method<EndpointRef, Readonly<Record<string, unknown>>>;
  readonly deleteEndpoint: Method<EndpointRef, null>;
  readonly join: Method<Join, JoinAnswer>;
  readonly leave: Method<EndpointRef, null>;
  /** Done, too, from a plugin that has no such method. */
  readonly programExternal: Method<ProgramExternal, null>;
  readonly revokeExternal: Method<EndpointRef, null>;
  readonly discoverNew: Method<Discovery, null>;
  readonly discoverDelete: Method<Discovery, null>;
}

type Body = { readonly [field: string]: GoValue };

export const networkPlugin = (plugin: Asking): NetworkPlugin => {
  const side = 'NetworkDriver';
  /** A method about nothing that waits for its turn. */
  const free = <T>(method: string, body: Body | null, answer: z.ZodType<T>, options: CallOptions) =>
    plugin.call({ side, method, body, answer, lane: null }, options);
  const ofNetwork = <T>(method: string, id: string, body: Body, answer: z.ZodType<T>, options: CallOptions) =>
    plugin.call({ side, method, body, answer, lane: `network ${id}` }, options);
  const ofEndpoint = <T>(
    method: string,
    { endpointId }: EndpointRef,
    body: Body,
    answer: z.ZodType<T>,
    options: CallOptions,
  ) => plugin.call({ side, method, body, answer, lane: `endpoint ${endpointId}` }, options);
  /** Plugins of old have no such method, and need none. */
  const optional = <T>(
    method: string,
    ref: EndpointRef,
    body: Body,
    answer: z.ZodType<T>,
    absent: T,
    options: CallOptions,
  ) => plugin.call({ side, method, body, answer, lane: `endpoint ${ref.endpointId}`, absent }, options);
  const { endpoint, network } = networkBodies;

  return {
    name: plugin.name,
    capabilities: async (options) => {
      const activated = await plugin.activation(options);
      if (!activated.ok) return activated;
      const { network: known } = activated.value;
      return known?.ok ? known : free('GetCapabilities', null, NetworkCapabilities, options);
    },
    known: async (options) => {
      const activated = await plugin.activation(options);
      return activated.ok && activated.value.network?.ok ? activated.value.network.value : null;
    },
    getCapabilities: (options) => free('GetCapabilities', null, NetworkCapabilities, options),
    gwAllocCheck: (request, options) =>
      free('GwAllocCheck', networkBodies.gwAllocCheck(request), GwAllocAnswer, options),
    createNetwork: (request, options) =>
      ofNetwork('CreateNetwork', request.networkId, networkBodies.createNetwork(request), Nothing, options),
    deleteNetwork: (id, options) => ofNetwork('DeleteNetwork', id, network(id), Nothing, options),
    createEndpoint: (request, options) =>
      ofEndpoint(
        'CreateEndpoint',
        request,
        networkBodies.createEndpoint(request),
        endpointAnswer(request.interface),
        options,
      ),
    endpointOperInfo: (ref, options) => optional('EndpointOperInfo', ref, endpoint(ref), OperInfo, {}, options),
    deleteEndpoint: (ref, options) => ofEndpoint('DeleteEndpoint', ref, endpoint(ref), Nothing, options),
    join: (request, options) => ofEndpoint('Join', request, networkBodies.join(request), JoinAnswer, options),
    leave: (ref, options) => ofEndpoint('Leave', ref, endpoint(ref), Nothing, options),
    programExternal: (request, options) =>
      optional('ProgramExternalConnectivity', request, networkBodies.programExternal(request), Nothing, null, options),
    revokeExternal: (ref, options) =>
      optional('RevokeExternalConnectivity', ref, endpoint(ref), Nothing, null, options),
    discoverNew: (node, options) => free('DiscoverNew', networkBodies.discover(node), Nothing, options),
    discoverDelete: (node, options) => free('DiscoverDelete', networkBodies.discover(node), Nothing, options),
  };
};
