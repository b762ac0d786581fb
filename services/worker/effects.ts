/** From intents to kernel objects: which must exist after an intent is executed, and which must not. Pure. */
import type { Driver, Effect, HostContext, Join } from '../../drivers/driver.ts';
import { tagOf } from '../../drivers/driver.ts';
import type { KernelObject, Netns, Route } from '../../drivers/objects.ts';
import { hostNetns } from '../../events/deciders/sandbox.ts';
import type { Event, EventOf } from '../../events/envelope.ts';
import type { Gateways, NetworkFacts, SandboxFacts } from '../../events/events.ts';
import type { BoundaryState, EndpointRow, NetworkRow, SandboxRow } from '../../events/state.ts';

export interface Deployment {
  readonly host: HostContext;
  readonly drivers: ReadonlyMap<string, Driver>;
}

/** What an intent stands on is not there: its creation failed. */
export interface Missing {
  readonly missing: string;
}
const missing = (what: string): Missing => ({ missing: what });
const nothing: Effect = { ensure: [], remove: [] };

const families = [
  { key: 'ipv4', family: 4, everywhere: '0.0.0.0/0' },
  { key: 'ipv6', family: 6, everywhere: '::/0' },
] as const;

export const netnsOf = ({ host }: Deployment, sandbox: SandboxFacts): Netns | null =>
  sandbox.key === hostNetns
    ? null
    : { kind: 'netns', path: sandbox.key, owned: sandbox.owned, tag: tagOf(host, 'sandbox', sandbox.incarnation) };

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

const driverOf = (deployment: Deployment, network: NetworkFacts): Driver | undefined =>
  deployment.drivers.get(network.driver);

const joinEffect = (deployment: Deployment, join: Join, gateways: Gateways): Effect => {
  const { sandbox, network, endpoint } = join;
  const netns = netnsOf(deployment, sandbox);
  const driver = driverOf(deployment, network)?.join(deployment.host, join) ?? nothing;
  const routes = routesThrough(deployment, sandbox, gateways, { id: endpoint.id, network, interface: join.interface });
  return { ensure: [...(netns ? [netns] : []), ...driver.ensure, ...routes], remove: driver.remove };
};

/** The default routes as they are when an endpoint has left: through those elected now, none where nobody can. */
const routesAfter = (
  state: BoundaryState,
  deployment: Deployment,
  sandbox: SandboxFacts,
  gateways: Gateways,
): readonly Route[] =>
  [...new Set([gateways.ipv4, gateways.ipv6])].flatMap((id) => {
    const row = id === null ? undefined : state.endpoints.get(id);
    const network = row && state.networks.get(row.facts.networkId);
    if (!row || !network || row.sandbox?.incarnation !== sandbox.incarnation) return [];
    const carrier = { id: row.facts.id, network: network.facts, interface: row.sandbox.interface };
    return routesThrough(deployment, sandbox, gateways, carrier);
  });

const leaveEffect = (
  state: BoundaryState,
  deployment: Deployment,
  join: Join,
  last: boolean,
  gateways: Gateways,
): Effect => {
  const { sandbox } = join;
  const netns = netnsOf(deployment, sandbox);
  const driver = driverOf(deployment, join.network)?.leave(deployment.host, join) ?? nothing;
  const routes = last ? [] : routesAfter(state, deployment, sandbox, gateways);
  const stale = families.map(({ everywhere }): Route => {
    const tag = tagOf(deployment.host, 'sandbox', sandbox.incarnation);
    return { kind: 'route', netns: sandbox.key, destination: everywhere, gateway: '', device: '', tag };
  });
  return {
    ensure: [...driver.ensure, ...routes],
    remove: [...driver.remove, ...stale, ...(last && netns ? [netns] : [])],
  };
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

const joinOf = (
  { network, endpoint }: Subject,
  data: EventOf<'EndpointJoinRequested' | 'EndpointLeaveRequested'>['data'],
): Join => ({
  joinId: data.joinId,
  network: network.facts,
  endpoint: endpoint.facts,
  sandbox: data.sandbox,
  interface: data.interface,
});

const stuckIn = (state: BoundaryState, networkId: string): string | undefined => {
  for (const id of state.cells.get(networkId)?.endpoints.keys() ?? [])
    if (state.endpoints.get(id)?.status === 'stuck') return id;
  return undefined;
};

/** What executing an intent changes, or what it stands on and is not there. */
export const effectOf = (state: BoundaryState, deployment: Deployment, intent: Event): Effect | Missing => {
  const { host } = deployment;
  switch (intent.type) {
    case 'DriverConfigureRequested':
      return deployment.drivers.get(intent.data.driver)?.configure(host) ?? missing(`driver ${intent.data.driver}`);
    case 'NetworkCreateRequested':
      return (
        driverOf(deployment, intent.data.network)?.createNetwork(host, intent.data.network) ??
        missing(`driver ${intent.data.network.driver}`)
      );
    case 'NetworkDeleteRequested': {
      const row = state.networks.get(intent.data.networkId);
      const stuck = stuckIn(state, intent.data.networkId);
      if (stuck !== undefined) return missing(`the end of endpoint ${stuck}`);
      return (row && driverOf(deployment, row.facts)?.deleteNetwork(host, row.facts)) ?? nothing;
    }
    case 'EndpointCreateRequested': {
      const network = state.networks.get(intent.data.endpoint.networkId);
      if (!network) return missing(`network ${intent.data.endpoint.networkId}`);
      return driverOf(deployment, network.facts)?.createEndpoint(host, network.facts, intent.data.endpoint) ?? nothing;
    }
    case 'EndpointDeleteRequested': {
      const subject = subjectOf(state, intent.data);
      if ('missing' in subject) return nothing;
      return (
        driverOf(deployment, subject.network.facts)?.deleteEndpoint(
          host,
          subject.network.facts,
          subject.endpoint.facts,
        ) ?? nothing
      );
    }
    case 'EndpointJoinRequested': {
      const subject = subjectOf(state, intent.data);
      return 'missing' in subject
        ? subject
        : joinEffect(deployment, joinOf(subject, intent.data), intent.data.gateways);
    }
    case 'EndpointLeaveRequested': {
      const subject = subjectOf(state, intent.data);
      if ('missing' in subject) return nothing;
      return leaveEffect(state, deployment, joinOf(subject, intent.data), intent.data.last, intent.data.gateways);
    }
    default:
      return nothing;
  }
};

/** Whether a sandbox is wanted by anybody but this endpoint. */
export const isWantedByOthers = (row: SandboxRow | undefined, endpointId: string): boolean =>
  row?.members.some((id) => id !== endpointId) === true;

/** What takes back an intent that was executed too late. Only intents that make something are taken back. */
export const undoEffectOf = (state: BoundaryState, deployment: Deployment, intent: Event): Effect => {
  const { host } = deployment;
  switch (intent.type) {
    case 'NetworkCreateRequested':
      return driverOf(deployment, intent.data.network)?.deleteNetwork(host, intent.data.network) ?? nothing;
    case 'EndpointCreateRequested': {
      const network = state.networks.get(intent.data.endpoint.networkId);
      return (
        (network && driverOf(deployment, network.facts)?.deleteEndpoint(host, network.facts, intent.data.endpoint)) ??
        nothing
      );
    }
    case 'EndpointJoinRequested': {
      const subject = subjectOf(state, intent.data);
      if ('missing' in subject) return nothing;
      const sandbox = state.sandboxes.get(intent.data.sandbox.incarnation);
      const last = !isWantedByOthers(sandbox, intent.data.endpointId);
      const without = (id: string | null | undefined) => (id === intent.data.endpointId ? null : (id ?? null));
      const gateways = { ipv4: without(sandbox?.gateways.ipv4), ipv6: without(sandbox?.gateways.ipv6) };
      return leaveEffect(state, deployment, joinOf(subject, intent.data), last, gateways);
    }
    default:
      return nothing;
  }
};

/** Objects of everything that is reported as done: what a census is compared with. */
export const settledObjects = (state: BoundaryState, deployment: Deployment): readonly KernelObject[] => {
  const objects: KernelObject[] = [];
  for (const { facts, status } of state.networks.values()) {
    if (status === 'active')
      objects.push(...(driverOf(deployment, facts)?.createNetwork(deployment.host, facts).ensure ?? []));
  }
  for (const endpoint of state.endpoints.values()) {
    const network = state.networks.get(endpoint.facts.networkId);
    const sandbox = state.sandboxes.get(endpoint.sandbox?.incarnation ?? '');
    if (endpoint.status !== 'joined' || !endpoint.sandbox || !network || !sandbox) continue;
    const { joinId, interface: device } = endpoint.sandbox;
    const join = {
      joinId,
      network: network.facts,
      endpoint: endpoint.facts,
      sandbox: sandbox.facts,
      interface: device,
    };
    objects.push(...joinEffect(deployment, join, sandbox.gateways).ensure);
  }
  return objects;
};

/** Objects that accepted but unreported intents may have made already: neither wanted nor unwanted until they are executed. */
export const pendingObjects = (state: BoundaryState, deployment: Deployment): readonly KernelObject[] => {
  const objects: KernelObject[] = [];
  for (const intent of state.intents.values()) {
    const effect = effectOf(state, deployment, intent);
    if (!('missing' in effect)) objects.push(...effect.ensure, ...effect.remove);
  }
  return objects;
};
