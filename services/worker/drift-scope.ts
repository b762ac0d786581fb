/** What is wanted of some networks and sandboxes in which nothing is under way, and where to look for it. Pure. */
import { type KernelObject, objectKey, type Tag } from '../../drivers/objects.ts';
import type { Extent } from '../../drivers/port.ts';
import type { DriftThing, NetworkFacts } from '../../events/events.ts';
import { isAway } from '../../events/reboots.ts';
import { type BoundaryState, cellOf, networkOf, type SandboxRow } from '../../events/state.ts';
import { type Scene, settledView } from './inmates.ts';
import { ownerOf } from './present.ts';
import { keptOwners } from './regressed-owners.ts';
import { driverOf, sandboxObjects } from './sandbox.ts';
import { networkNow } from './settings.ts';
import { openUnits, sandboxOf, scopeOf } from './units.ts';

/** Ids of networks, and incarnations of sandboxes. */
export interface Scope {
  readonly networks: ReadonlySet<string>;
  readonly sandboxes: ReadonlySet<string>;
}

/** One to put something into. */
export const noScope = (): { networks: Set<string>; sandboxes: Set<string> } => ({
  networks: new Set(),
  sandboxes: new Set(),
});

/** Networks of all hosts among them where somebody here is in one. */
export const everything = ({ networks, endpoints, sandboxes }: BoundaryState): Scope => ({
  networks: new Set([...networks.keys(), ...[...endpoints.values()].map(({ facts }) => facts.networkId)]),
  sandboxes: new Set(sandboxes.keys()),
});

/** Ids of networks, endpoints and sandboxes that open intents change: what is there of them is for their execution to see to. */
export const busyThings = (state: BoundaryState): ReadonlySet<string> => {
  const busy = new Set<string>();
  for (const unit of openUnits(state)) {
    const sandbox = sandboxOf(state, unit);
    if (sandbox) busy.add(sandbox.incarnation);
    for (const intent of unit.intents) {
      for (const written of scopeOf(intent).writes) busy.add(written.slice(written.indexOf(' ') + 1));
      // A network that is on a host only while somebody is in it comes and goes with them.
      if ('networkId' in intent.data) {
        const row = networkOf(state, intent.data.networkId);
        if (row && (row.facts.scope === 'realm' || row.facts.outlet)) busy.add(row.facts.id);
      }
    }
  }
  return busy;
};

/** Everything of a sandbox with its endpoints, apart from the networks that they are in. Nothing where anything of it is under way. */
const sandboxWants = (scene: Scene, row: SandboxRow, busy: ReadonlySet<string>): readonly KernelObject[] => {
  const { state, deployment } = scene;
  if (isAway(state, row)) return [];
  const view = settledView(state, row);
  const ids = [row.facts.incarnation, ...row.members, ...view.inmates.map(({ network }) => network.id)];
  if (ids.some((id) => busy.has(id))) return [];
  const joined = view.inmates.flatMap(({ network, endpoint, interface: device, plug }) => {
    const joinId = state.endpoints.get(endpoint.id)?.sandbox?.joinId ?? '';
    const join = { joinId, network, endpoint, sandbox: row.facts, interface: device, plug };
    return driverOf(deployment, network)?.join(deployment.host, join).ensure ?? [];
  });
  return [...sandboxObjects(deployment, view), ...joined];
};

const isJoinedHere = (state: BoundaryState, networkId: string): boolean => {
  for (const id of cellOf(state, networkId)?.endpoints.keys() ?? [])
    if (state.endpoints.get(id)?.status === 'joined') return true;
  return false;
};

const networkWants = ({ state, deployment }: Scene, id: string, busy: ReadonlySet<string>): readonly KernelObject[] => {
  const row = networkOf(state, id);
  if (!row || busy.has(id) || row.facts.configOnly) return [];
  const facts = networkNow(row);
  const driver = driverOf(deployment, facts);
  const own =
    state.networks.has(id) && row.status === 'active' ? driver.createNetwork(deployment.host, facts).ensure : [];
  return isJoinedHere(state, id) ? [...own, ...driver.presence(deployment.host, facts)] : own;
};

/** What is wanted, by key. */
export const wantedIn = (scene: Scene, scope: Scope): ReadonlyMap<string, KernelObject> => {
  const { state } = scene;
  const busy = busyThings(state);
  const wanted = new Map<string, KernelObject>();
  // Whose objects stay as they are, whatever the log says.
  const held = keptOwners(state);
  const add = (objects: readonly KernelObject[]): void => {
    for (const object of objects) if (!held.has(ownerOf(object.tag))) wanted.set(objectKey(object), object);
  };
  for (const id of scope.networks) add(networkWants(scene, id, busy));
  for (const incarnation of scope.sandboxes) {
    const row = state.sandboxes.get(incarnation);
    if (row) add(sandboxWants(scene, row, busy));
  }
  return wanted;
};

const isHostLink = ({ kind }: KernelObject): boolean =>
  kind === 'bridge' || kind === 'vxlan' || kind === 'vlan' || kind === 'stub';

/** Where to look for objects. */
export const extentOf = (objects: Iterable<KernelObject>, elements: boolean): Extent => {
  const [links, namespaces, files] = [new Set<string>(), new Set<string>(), new Set<string>()];
  for (const object of objects) {
    if (object.kind === 'netns') namespaces.add(object.path);
    else if ('netns' in object) namespaces.add(object.netns);
    else if (object.kind === 'file') files.add(object.path);
    else if (isHostLink(object) && 'name' in object) links.add(object.name);
  }
  return { links: [...links], namespaces: [...namespaces], files: [...files], elements };
};

/** Whose an object is; null for what is not there any more. */
export const thingOf = (state: BoundaryState, { entity, id }: Pick<Tag, 'entity' | 'id'>): DriftThing | null => {
  if (entity === 'network') {
    const row = networkOf(state, id);
    if (!row) return null;
    return { kind: 'network', name: row.facts.name, networkId: id, endpointId: null, sandbox: null };
  }
  if (entity === 'endpoint') {
    const row = state.endpoints.get(id);
    if (!row) return null;
    const sandbox = state.sandboxes.get(row.sandbox?.incarnation ?? '')?.facts;
    return {
      kind: 'endpoint',
      name: row.facts.name,
      networkId: row.facts.networkId,
      endpointId: id,
      sandbox: sandbox ? { id: sandbox.id, incarnation: sandbox.incarnation } : null,
    };
  }
  const facts = state.sandboxes.get(id)?.facts;
  if (!facts) return null;
  return {
    ...{ kind: 'sandbox', name: facts.id, networkId: null, endpointId: null },
    sandbox: { id: facts.id, incarnation: facts.incarnation },
  };
};

/** What is to be done about a thing that has drifted. A sandbox is left as it is where that is said of all its networks. */
export const policyOf = (state: BoundaryState, { networkId, sandbox, kind }: DriftThing): NetworkFacts['drift'] => {
  const said = (id: string): NetworkFacts['drift'] => networkOf(state, id)?.facts.drift ?? 'repair';
  if (networkId !== null) return said(networkId);
  if (kind === 'host' || sandbox === null) return 'repair';
  const members = state.sandboxes.get(sandbox.incarnation)?.members ?? [];
  const networks = members.flatMap((id) => state.endpoints.get(id)?.facts.networkId ?? []);
  return networks.length > 0 && networks.every((id) => said(id) === 'report') ? 'report' : 'repair';
};

/** Names a thing among all that there ever are. */
export const thingKey = ({ kind, networkId, endpointId, sandbox }: DriftThing): string =>
  kind === 'endpoint'
    ? `endpoint ${endpointId}`
    : kind === 'sandbox'
      ? `sandbox ${sandbox?.incarnation}`
      : `${kind} ${networkId ?? ''}`;

/** Networks and sandboxes that objects belong to. */
export const scopeAround = (objects: readonly KernelObject[], state: BoundaryState): Scope => {
  const scope = noScope();
  for (const { tag } of objects) {
    if (tag.entity === 'network') scope.networks.add(tag.id);
    const sandbox = tag.entity === 'endpoint' ? state.endpoints.get(tag.id)?.sandbox?.incarnation : tag.id;
    if (tag.entity !== 'network' && sandbox !== undefined) scope.sandboxes.add(sandbox);
  }
  return scope;
};
