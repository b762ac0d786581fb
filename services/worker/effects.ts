/** From intents to kernel objects: which must exist after an intent is executed, and which must not. Pure. */
import type { Driver, Effect, HostContext, Join } from '../../drivers/driver.ts';
import { tagOf } from '../../drivers/driver.ts';
import type { KernelObject, Netns, Route } from '../../drivers/objects.ts';
import { hostNetns } from '../../events/deciders/sandbox.ts';
import type { Event, EventOf } from '../../events/envelope.ts';
import type { Gateways, NetworkFacts, SandboxFacts } from '../../events/events.ts';
import type { BoundaryState, EndpointRow, NetworkRow } from '../../events/state.ts';
import type { Present } from './present.ts';

export interface Deployment {
  readonly host: HostContext;
  readonly drivers: ReadonlyMap<string, Driver>;
}

/** What plans are made from: what is wanted, by which drivers, and what is there. */
export interface Scene {
  readonly state: BoundaryState;
  readonly deployment: Deployment;
  readonly present: Present;
}

/** What an intent stands on is not there: its creation failed. */
export interface Missing {
  readonly missing: string;
}
const missing = (what: string): Missing => ({ missing: what });
export const nothing: Effect = { ensure: [], remove: [] };

const families = [
  { key: 'ipv4', family: 4, everywhere: '0.0.0.0/0' },
  { key: 'ipv6', family: 6, everywhere: '::/0' },
] as const;

export const netnsOf = ({ host }: Deployment, sandbox: SandboxFacts): Netns | null =>
  sandbox.key === hostNetns
    ? null
    : { kind: 'netns', path: sandbox.key, owned: sandbox.owned, tag: tagOf(host, 'sandbox', sandbox.incarnation) };

export const driverOf = (deployment: Deployment, network: NetworkFacts): Driver | undefined =>
  deployment.drivers.get(network.driver);

// ---------------------------------------------------------------- default routes

interface Carrier {
  readonly id: string;
  readonly network: NetworkFacts;
  readonly interface: string | null;
}

/** The default routes of a sandbox that go through one of its endpoints. */
const routesThrough = (
  deployment: Deployment,
  sandbox: SandboxFacts,
  gateways: Gateways,
  carrier: Carrier,
): readonly Route[] => {
  const device = carrier.interface;
  if (device === null) return [];
  return families.flatMap(({ key, family, everywhere }): readonly Route[] => {
    const gateway = carrier.network.subnets.find((subnet) => subnet.family === family)?.gateway ?? null;
    if (gateways[key] !== carrier.id || gateway === null) return [];
    const tag = tagOf(deployment.host, 'sandbox', sandbox.incarnation);
    return [{ kind: 'route', netns: sandbox.key, destination: everywhere, gateway, device, tag }];
  });
};

const isRoute = (object: KernelObject): object is Route => object.kind === 'route';
/** The routes among an intent's objects, as its outcome tells them. */
export const routesIn = (objects: readonly KernelObject[]) =>
  objects.filter(isRoute).map(({ destination, gateway }) => ({ destination, gateway }));

/** An endpoint that was elected while its join was still to be executed has no interface yet: that join brings the route. */
const hasInterface = (present: Present, id: string, sandbox: SandboxFacts, device: string | null): boolean =>
  present
    .of('endpoint', id)
    .some((object) => object.kind === 'veth' && object.netns === sandbox.key && object.peer.name === device);

/** The default routes through those of the elected endpoints that are there. */
export const electedRoutes = (scene: Scene, sandbox: SandboxFacts, gateways: Gateways): readonly Route[] => {
  const { state, deployment, present } = scene;
  return [...new Set([gateways.ipv4, gateways.ipv6])].flatMap((id) => {
    const row = state.endpoints.get(id ?? '');
    const network = row && state.networks.get(row.facts.networkId);
    if (!row || !network || row.sandbox?.incarnation !== sandbox.incarnation) return [];
    const device = row.sandbox.interface;
    if (!hasInterface(present, row.facts.id, sandbox, device)) return [];
    return routesThrough(deployment, sandbox, gateways, {
      id: row.facts.id,
      network: network.facts,
      interface: device,
    });
  });
};

/** What becomes of a sandbox when endpoints have left it: its end, or default routes through others. */
export const remainderEffect = (scene: Scene, sandbox: SandboxFacts, ends: boolean, gateways: Gateways): Effect => {
  const netns = netnsOf(scene.deployment, sandbox);
  if (netns === null) return nothing;
  const stale = families.map(
    ({ everywhere }): Route => ({
      kind: 'route',
      netns: sandbox.key,
      destination: everywhere,
      gateway: '',
      device: '',
      tag: netns.tag,
    }),
  );
  return ends
    ? { ensure: [], remove: [...stale, netns] }
    : { ensure: electedRoutes(scene, sandbox, gateways), remove: stale };
};

// ---------------------------------------------------------------- intents

export const joinEffect = (deployment: Deployment, join: Join, gateways: Gateways): Effect => {
  const { sandbox, network, endpoint } = join;
  const netns = netnsOf(deployment, sandbox);
  const driver = driverOf(deployment, network)?.join(deployment.host, join) ?? nothing;
  const routes = routesThrough(deployment, sandbox, gateways, { id: endpoint.id, network, interface: join.interface });
  return { ensure: [...(netns ? [netns] : []), ...driver.ensure, ...routes], remove: driver.remove };
};

interface Subject {
  readonly network: NetworkRow;
  readonly endpoint: EndpointRow;
}

const subjectOf = (
  state: BoundaryState,
  data: { readonly networkId: string; readonly endpointId: string },
): Subject | Missing => {
  const network = state.networks.get(data.networkId);
  if (!network) return missing(`network ${data.networkId}`);
  const endpoint = state.endpoints.get(data.endpointId);
  return endpoint ? { network, endpoint } : missing(`endpoint ${data.endpointId}`);
};

type JoinOrLeave = EventOf<'EndpointJoinRequested' | 'EndpointLeaveRequested'>['data'];

const joinOf = ({ network, endpoint }: Subject, data: JoinOrLeave): Join => ({
  joinId: data.joinId,
  network: network.facts,
  endpoint: endpoint.facts,
  sandbox: data.sandbox,
  interface: data.interface,
});

/** An endpoint of the network that could not be removed: what is left of it stands on the network. */
const stuckIn = (state: BoundaryState, networkId: string): string | undefined => {
  for (const id of state.cells.get(networkId)?.endpoints.keys() ?? [])
    if (state.endpoints.get(id)?.status === 'stuck') return id;
  return undefined;
};

const leaveEffect = ({ state, deployment, present }: Scene, data: JoinOrLeave): Effect => {
  const subject = subjectOf(state, data);
  // Its creation failed: nothing is known of it but what carries its tag.
  if ('missing' in subject) return { ensure: [], remove: present.of('endpoint', data.endpointId) };
  return driverOf(deployment, subject.network.facts)?.leave(deployment.host, joinOf(subject, data)) ?? nothing;
};

/** Whatever carries the endpoint's tag goes too: a leave may have failed before. */
const deleteEndpointEffect = (
  scene: Scene,
  ids: { readonly networkId: string; readonly endpointId: string },
): Effect => {
  const { state, deployment, present } = scene;
  const left = present.of('endpoint', ids.endpointId);
  const subject = subjectOf(state, ids);
  if ('missing' in subject) return { ensure: [], remove: left };
  const { network, endpoint } = subject;
  const own = driverOf(deployment, network.facts)?.deleteEndpoint(deployment.host, network.facts, endpoint.facts);
  return { ensure: own?.ensure ?? [], remove: [...(own?.remove ?? []), ...left] };
};

const deleteNetworkEffect = ({ state, deployment }: Scene, networkId: string): Effect | Missing => {
  const stuck = stuckIn(state, networkId);
  if (stuck !== undefined) return missing(`the end of endpoint ${stuck}`);
  const row = state.networks.get(networkId);
  return (row && driverOf(deployment, row.facts)?.deleteNetwork(deployment.host, row.facts)) ?? nothing;
};

/**
 * What executing an intent changes, or what it stands on and is not there. What is to be removed and is not there is removed:
 * only what makes something can miss something.
 */
export const effectOf = (scene: Scene, intent: Event): Effect | Missing => {
  const { state, deployment } = scene;
  const { host, drivers } = deployment;
  switch (intent.type) {
    case 'DriverConfigureRequested':
      return drivers.get(intent.data.driver)?.configure(host) ?? missing(`driver ${intent.data.driver}`);
    case 'NetworkCreateRequested': {
      const { network } = intent.data;
      return driverOf(deployment, network)?.createNetwork(host, network) ?? missing(`driver ${network.driver}`);
    }
    case 'NetworkDeleteRequested':
      return deleteNetworkEffect(scene, intent.data.networkId);
    case 'EndpointCreateRequested': {
      const { endpoint } = intent.data;
      const network = state.networks.get(endpoint.networkId);
      if (!network) return missing(`network ${endpoint.networkId}`);
      return driverOf(deployment, network.facts)?.createEndpoint(host, network.facts, endpoint) ?? nothing;
    }
    case 'EndpointDeleteRequested':
      return deleteEndpointEffect(scene, intent.data);
    case 'EndpointJoinRequested': {
      const subject = subjectOf(state, intent.data);
      if ('missing' in subject) return subject;
      return joinEffect(deployment, joinOf(subject, intent.data), intent.data.gateways);
    }
    case 'EndpointLeaveRequested':
      return leaveEffect(scene, intent.data);
    default:
      return nothing;
  }
};

/** What takes an intent back that makes something: because it failed, or came too late. */
export const undoEffectOf = (scene: Scene, intent: Event): Effect => {
  const { host } = scene.deployment;
  switch (intent.type) {
    case 'NetworkCreateRequested': {
      const { network } = intent.data;
      return driverOf(scene.deployment, network)?.deleteNetwork(host, network) ?? nothing;
    }
    case 'EndpointCreateRequested': {
      const { id: endpointId, networkId } = intent.data.endpoint;
      return deleteEndpointEffect(scene, { endpointId, networkId });
    }
    case 'EndpointJoinRequested':
      return leaveEffect(scene, intent.data);
    default:
      return nothing;
  }
};
