/**
 * The driver port: the seven verbs of the Container Network Model. A built-in driver never touches the kernel; it answers which
 * objects must exist for a network, an endpoint and a join, and the shared planner and executor do the rest.
 */
import type { DriverRules } from '../events/driver-rules.ts';
import type {
  EndpointFacts,
  EventData,
  NetworkFacts,
  Plug,
  PortBinding,
  PublishedPort,
  SandboxFacts,
} from '../events/events.ts';
import type { Family } from '../events/ip.ts';
import type { KernelObject, Tag } from './objects.ts';

/** Where a driver's objects will be: the names that their tags carry. */
export interface HostContext {
  readonly realm: string;
  readonly host: string;
  /** What other hosts reach this one at, as its worker has stated it last; left out or null: no tunnel can begin here. */
  readonly underlay?: Pick<NonNullable<EventData<'HostFacts'>['underlay']>, 'address'> | null;
}

export interface Join {
  readonly joinId: string;
  readonly network: NetworkFacts;
  readonly endpoint: EndpointFacts;
  readonly sandbox: SandboxFacts;
  readonly interface: string | null;
  /** What its carrier said of it, where that is somebody else. */
  readonly plug: Plug | null;
}

/** Ports that lead into a sandbox, for one family: through the endpoint that carries its default route of that family. */
export interface Publication {
  readonly family: Family;
  readonly sandbox: SandboxFacts;
  readonly network: NetworkFacts;
  readonly endpoint: EndpointFacts;
  readonly ports: readonly PublishedPort[];
}

/** What one verb changes: these objects must exist afterwards, those must not. */
export interface Effect {
  readonly ensure: readonly KernelObject[];
  readonly remove: readonly KernelObject[];
  /** Links of the host that have to be there before anything is done. */
  readonly needs?: readonly string[];
}

export interface Driver extends DriverRules {
  configure(host: HostContext): Effect;
  createNetwork(host: HostContext, network: NetworkFacts): Effect;
  deleteNetwork(host: HostContext, network: NetworkFacts): Effect;
  /** What must exist on a host while an endpoint of the network is joined there: ensured by each join, gone behind the last leave. */
  presence(host: HostContext, network: NetworkFacts): readonly KernelObject[];
  createEndpoint(host: HostContext, network: NetworkFacts, endpoint: EndpointFacts): Effect;
  deleteEndpoint(host: HostContext, network: NetworkFacts, endpoint: EndpointFacts): Effect;
  join(host: HostContext, join: Join): Effect;
  leave(host: HostContext, join: Join): Effect;
  /** What must exist while an endpoint carries a sandbox's default route, apart from the route (libnetwork: ProgramExternalConnectivity). */
  publish(host: HostContext, publication: Publication): readonly KernelObject[];
  /** Where those ports are reached then, as an outcome states it: a lease per host address of the family. */
  bindingsOf(publication: Publication): readonly PortBinding[];
}

/** What a built-in driver says about the kernel: pure functions from the model to objects. */
export interface DesiredObjects {
  /** Links of the host that a network stands on and that nobody here makes. */
  needs?(network: NetworkFacts): readonly string[];
  network(host: HostContext, network: NetworkFacts): readonly KernelObject[];
  presence(host: HostContext, network: NetworkFacts): readonly KernelObject[];
  endpoint(host: HostContext, network: NetworkFacts, endpoint: EndpointFacts): readonly KernelObject[];
  join(host: HostContext, join: Join): readonly KernelObject[];
  publish(host: HostContext, publication: Publication): readonly KernelObject[];
  bindingsOf(publication: Publication): readonly PortBinding[];
}

/** Of drivers that make nothing. */
export const nothingDesired: DesiredObjects = {
  network: () => [],
  presence: () => [],
  endpoint: () => [],
  join: () => [],
  publish: () => [],
  bindingsOf: () => [],
};

const ensure = (objects: readonly KernelObject[]): Effect => ({ ensure: objects, remove: [] });
const remove = (objects: readonly KernelObject[]): Effect => ({ ensure: [], remove: objects });

/** The seven verbs out of three pure functions: creation ensures the objects, deletion removes the same ones. */
export const builtIn = (rules: DriverRules, desired: DesiredObjects): Driver => ({
  ...rules,
  configure: () => ensure([]),
  createNetwork: (host, network) => ({
    ...ensure(desired.network(host, network)),
    ...(desired.needs && { needs: desired.needs(network) }),
  }),
  deleteNetwork: (host, network) => remove(desired.network(host, network)),
  presence: (host, network) => desired.presence(host, network),
  createEndpoint: (host, network, endpoint) => ensure(desired.endpoint(host, network, endpoint)),
  deleteEndpoint: (host, network, endpoint) => remove(desired.endpoint(host, network, endpoint)),
  join: (host, join) => ensure(desired.join(host, join)),
  leave: (host, join) => remove(desired.join(host, join)),
  publish: (host, publication) => desired.publish(host, publication),
  bindingsOf: (publication) => desired.bindingsOf(publication),
});

export const tagOf = (host: HostContext, entity: Tag['entity'], id: string): Tag => ({
  realm: host.realm,
  host: host.host,
  entity,
  id,
});
