/** From intents to kernel objects: which must exist after an intent is executed, and which must not. Pure. */
import type { Effect, Join } from '../../drivers/driver.ts';
import { type KernelObject, objectKey } from '../../drivers/objects.ts';
import type { Event, EventOf } from '../../events/envelope.ts';
import type { EndpointFacts, NetworkFacts } from '../../events/events.ts';
import { type BoundaryState, cellOf, type EndpointRow, networkOf, plugOf } from '../../events/state.ts';
import { noChanges, type Scene, viewOf } from './inmates.ts';
import { driverOf, sandboxObjects } from './sandbox.ts';
import { endpointNow, networkAfter, networkNow } from './settings.ts';

/** What an intent stands on is not there: its creation failed. */
export interface Missing {
  readonly missing: string;
}
const missing = (what: string): Missing => ({ missing: what });
export const nothing: Effect = { ensure: [], remove: [] };

interface Subject {
  readonly network: NetworkFacts;
  readonly endpoint: EndpointFacts;
  readonly plug: EndpointRow['plug'];
}

const subjectOf = (
  state: BoundaryState,
  data: { readonly networkId: string; readonly endpointId: string },
): Subject | Missing => {
  const network = networkOf(state, data.networkId);
  if (!network) return missing(`network ${data.networkId}`);
  const endpoint = state.endpoints.get(data.endpointId);
  if (!endpoint) return missing(`endpoint ${data.endpointId}`);
  return { network: networkNow(network), endpoint: endpointNow(endpoint), plug: endpoint.plug };
};

type JoinOrLeave = EventOf<'EndpointJoinRequested' | 'EndpointLeaveRequested'>['data'];

const joinOf = ({ network, endpoint, plug }: Subject, data: JoinOrLeave): Join => ({
  joinId: data.joinId,
  network,
  endpoint,
  sandbox: data.sandbox,
  interface: data.interface,
  plug: plug?.joinId === data.joinId ? plug : null,
});

/** An endpoint of the network that could not be removed: what is left of it stands on the network. */
const stuckIn = (state: BoundaryState, networkId: string): string | undefined => {
  for (const id of cellOf(state, networkId)?.endpoints.keys() ?? [])
    if (state.endpoints.get(id)?.status === 'stuck') return id;
  return undefined;
};

const joinEffect = ({ state, deployment }: Scene, data: JoinOrLeave): Effect | Missing => {
  const subject = subjectOf(state, data);
  if ('missing' in subject) return subject;
  const driver = driverOf(deployment, subject.network);
  if (!driver) return nothing;
  const { ensure, remove } = driver.join(deployment.host, joinOf(subject, data));
  return { ensure: [...driver.presence(deployment.host, subject.network), ...ensure], remove };
};

const leaveEffect = ({ state, deployment, present }: Scene, data: JoinOrLeave): Effect => {
  const subject = subjectOf(state, data);
  // Its creation failed, or somebody else has said what it is: what is known of it is what carries its tag.
  if ('missing' in subject || driverOf(deployment, subject.network).remote)
    return { ensure: [], remove: present.of('endpoint', data.endpointId) };
  return driverOf(deployment, subject.network).leave(deployment.host, joinOf(subject, data));
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
  const own = driverOf(deployment, network)?.deleteEndpoint(deployment.host, network, endpoint);
  return { ensure: own?.ensure ?? [], remove: [...(own?.remove ?? []), ...left] };
};

/** What other networks stand on too stays when one goes: the last of them has it then. */
const deletionOf = ({ state, deployment }: Scene, network: NetworkFacts): Effect => {
  const effect = driverOf(deployment, network)?.deleteNetwork(deployment.host, network) ?? nothing;
  const shared = new Map<string, KernelObject>();
  for (const object of effect.remove) if (object.kind === 'vlan') shared.set(objectKey(object), object);
  if (shared.size === 0) return effect;
  const kept = new Map<string, KernelObject>();
  for (const { facts, status } of state.networks.values()) {
    if (facts.id === network.id || facts.configOnly || status === 'deleting') continue;
    for (const object of driverOf(deployment, facts)?.createNetwork(deployment.host, facts).ensure ?? [])
      if (shared.has(objectKey(object))) kept.set(objectKey(object), object);
  }
  return {
    ensure: [...effect.ensure, ...kept.values()],
    remove: effect.remove.filter((object) => !kept.has(objectKey(object))),
  };
};

const deleteNetworkEffect = (scene: Scene, networkId: string): Effect | Missing => {
  const { state } = scene;
  const stuck = stuckIn(state, networkId);
  if (stuck !== undefined) return missing(`the end of endpoint ${stuck}`);
  const row = networkOf(state, networkId);
  return row ? deletionOf(scene, networkNow(row)) : nothing;
};

/** A network with these facts, and all that stands on it: the interfaces of its endpoints, and the files of their sandboxes. */
const networkEffect = (scene: Scene, facts: NetworkFacts): Effect => {
  const { state, deployment, present } = scene;
  const driver = driverOf(deployment, facts);
  if (!driver) return nothing;
  const ensure = [...driver.createNetwork(deployment.host, facts).ensure];
  for (const id of cellOf(state, facts.id)?.endpoints.keys() ?? []) {
    const row = state.endpoints.get(id);
    const sandbox = state.sandboxes.get(row?.sandbox?.incarnation ?? '');
    if (!row?.sandbox || !sandbox) continue;
    // What could not be removed is removed with the next look at everything: it is not to be as the network is.
    if (row.status === 'stuck' || sandbox.status === 'removing') continue;
    const { joinId, interface: device } = row.sandbox;
    const join = {
      joinId,
      network: facts,
      endpoint: endpointNow(row),
      sandbox: sandbox.facts,
      interface: device,
      plug: plugOf(row),
    };
    // What is to join later will find the network as it is then.
    ensure.push(...driver.join(deployment.host, join).ensure.filter((object) => present.get(objectKey(object))));
    const changes = { ...noChanges, networks: new Map([[facts.id, facts]]) };
    const view = viewOf(scene, sandbox.facts, changes, sandbox.gateways);
    ensure.push(...sandboxObjects(deployment, view).filter(({ kind }) => kind === 'file'));
  }
  return { ensure, remove: present.of('network', facts.id) };
};

/**
 * What executing an intent changes, or what it stands on and is not there. What is to be removed and is not there is removed:
 * only what makes something can miss something.
 */
export const effectOf = (scene: Scene, intent: Event): Effect | Missing => {
  const { state, deployment } = scene;
  const { host } = deployment;
  switch (intent.type) {
    case 'DriverConfigureRequested':
      return driverOf(deployment, intent.data).configure(host);
    case 'NetworkCreateRequested': {
      const { network } = intent.data;
      return driverOf(deployment, network)?.createNetwork(host, network) ?? missing(`driver ${network.driver}`);
    }
    case 'NetworkUpdateRequested': {
      const row = networkOf(state, intent.data.networkId);
      return row
        ? networkEffect(scene, networkAfter(row, intent.meta.id))
        : missing(`network ${intent.data.networkId}`);
    }
    case 'NetworkDeleteRequested':
      return deleteNetworkEffect(scene, intent.data.networkId);
    case 'EndpointCreateRequested': {
      const { endpoint } = intent.data;
      const row = networkOf(state, endpoint.networkId);
      if (!row) return missing(`network ${endpoint.networkId}`);
      return driverOf(deployment, row.facts)?.createEndpoint(host, networkNow(row), endpoint) ?? nothing;
    }
    case 'EndpointUpdateRequested': {
      // What changes is its sandbox.
      const subject = subjectOf(state, intent.data);
      return 'missing' in subject ? subject : nothing;
    }
    case 'EndpointDeleteRequested':
      return deleteEndpointEffect(scene, intent.data);
    case 'EndpointJoinRequested':
      return joinEffect(scene, intent.data);
    case 'EndpointLeaveRequested':
      return leaveEffect(scene, intent.data);
    default:
      return nothing;
  }
};

const orNothing = (effect: Effect | Missing): Effect => ('missing' in effect ? nothing : effect);

/** What takes an intent back: because it failed, or came too late. */
export const undoEffectOf = (scene: Scene, intent: Event): Effect => {
  const { state, deployment } = scene;
  const { host } = deployment;
  switch (intent.type) {
    case 'NetworkCreateRequested':
      return deletionOf(scene, intent.data.network);
    case 'NetworkUpdateRequested': {
      const row = networkOf(state, intent.data.networkId);
      return row ? networkEffect(scene, networkNow(row)) : nothing;
    }
    case 'EndpointCreateRequested': {
      const { id: endpointId, networkId } = intent.data.endpoint;
      return deleteEndpointEffect(scene, { endpointId, networkId });
    }
    case 'EndpointDeleteRequested': {
      const subject = subjectOf(state, intent.data);
      if ('missing' in subject) return nothing;
      const { network, endpoint } = subject;
      return driverOf(deployment, network)?.createEndpoint(host, network, endpoint) ?? nothing;
    }
    case 'EndpointJoinRequested':
      return leaveEffect(scene, intent.data);
    case 'EndpointLeaveRequested':
      return orNothing(joinEffect(scene, intent.data));
    default:
      return nothing;
  }
};
