/** Who is in a sandbox while units are executed: by the kernel, not by what is accepted and not done yet. Pure. */
import type { EndpointFacts, Gateways, NetworkFacts, SandboxFacts } from '../../events/events.ts';
import { electGateways } from '../../events/gateways.ts';
import { type BoundaryState, type EndpointRow, networkOf, plugOf, type SandboxRow } from '../../events/state.ts';
import { deviceName, type Present } from './present.ts';
import type { Deployment, Inmate, SandboxView } from './sandbox.ts';
import { endpointNow, networkNow } from './settings.ts';

/** What plans are made from: what is wanted, by which drivers, and what is there. */
export interface Scene {
  readonly state: BoundaryState;
  readonly deployment: Deployment;
  readonly present: Present;
}

/** How a unit changes who is in its sandbox. */
export interface Changes {
  /** Interfaces of the endpoints that it puts there, by id; with a place among the others where they had one. */
  readonly comes: ReadonlyMap<string, { readonly interface: string | null; readonly index: number | null }>;
  readonly goes: ReadonlySet<string>;
  /** Facts of endpoints as it leaves them, where it updates them. */
  readonly facts: ReadonlyMap<string, EndpointFacts>;
  /** Of networks likewise. */
  readonly networks: ReadonlyMap<string, NetworkFacts>;
}

export const noChanges: Changes = { comes: new Map(), goes: new Set(), facts: new Map(), networks: new Map() };

/**
 * The interface of an endpoint that is in a sandbox; undefined for one that is not. A row says where it is to be after all that is
 * accepted, an interface where it is. Where drivers make none, the row is all there is.
 */
const deviceIn = ({ present }: Scene, row: EndpointRow, sandbox: SandboxFacts): string | null | undefined => {
  const { key: path, incarnation } = sandbox;
  if (present.get(`netns ${path}`)?.tag.id === incarnation) {
    const found = present.interfacesIn(path).find(({ tag }) => tag.id === row.facts.id);
    if (found) return deviceName(found);
  }
  const isBare = row.sandbox?.incarnation === incarnation && row.sandbox.interface === null && row.status === 'joined';
  return isBare ? null : undefined;
};

/** Endpoints that may be in a sandbox, in the order in which they joined; those that are to leave later come last. */
const candidates = (scene: Scene, row: SandboxRow | undefined, path: string, changes: Changes): Iterable<string> => {
  const order = [...(row?.members ?? [])];
  for (const [id, { index }] of changes.comes) {
    if (index !== null && !order.includes(id)) order.splice(index, 0, id);
  }
  return new Set([...order, ...changes.comes.keys(), ...scene.present.interfacesIn(path).map(({ tag }) => tag.id)]);
};

const inmatesOf = (scene: Scene, sandbox: SandboxFacts, changes: Changes): readonly Inmate[] => {
  const { state } = scene;
  const inmates: Inmate[] = [];
  for (const id of candidates(scene, state.sandboxes.get(sandbox.incarnation), sandbox.key, changes)) {
    const row = state.endpoints.get(id);
    const network = networkOf(state, row?.facts.networkId ?? '');
    if (!row || !network || changes.goes.has(id)) continue;
    const coming = changes.comes.get(id);
    const device = coming ? coming.interface : deviceIn(scene, row, sandbox);
    if (device === undefined) continue;
    inmates.push({
      endpoint: changes.facts.get(id) ?? endpointNow(row),
      network: changes.networks.get(network.facts.id) ?? networkNow(network),
      interface: device,
      plug: plugOf(row),
    });
  }
  return inmates;
};

/** The endpoints that are reported as joined. */
const settledInmates = (state: BoundaryState, row: SandboxRow): readonly Inmate[] =>
  row.members.flatMap((id) => {
    const endpoint = state.endpoints.get(id);
    const network = networkOf(state, endpoint?.facts.networkId ?? '');
    if (endpoint?.status !== 'joined' || !network) return [];
    const device = endpoint.sandbox?.interface ?? null;
    return [
      { endpoint: endpointNow(endpoint), network: networkNow(network), interface: device, plug: plugOf(endpoint) },
    ];
  });

/**
 * Who carries the default routes: as it was decided, or where that one did not get there, as it would be without it. What a carrier
 * says of a join comes later than decisions that stand beside it.
 */
const carriers = (inmates: readonly Inmate[], before: Gateways | null): Gateways => {
  const decided = inmates.some(({ network }) => network.defaultRoute === 'endpoint') ? null : before;
  const { ipv4, ipv6 } = electGateways(
    inmates.map(({ endpoint: { id, gatewayPriority }, network, plug }) => ({ id, gatewayPriority, network, plug })),
  );
  const there = (id: string | null | undefined): string | null =>
    inmates.some(({ endpoint }) => endpoint.id === id) ? (id ?? null) : null;
  return { ipv4: there(decided?.ipv4) ?? ipv4, ipv6: there(decided?.ipv6) ?? ipv6 };
};

/** A sandbox as it is when nothing is under way in it. */
export const settledView = (state: BoundaryState, row: SandboxRow): SandboxView => {
  const inmates = settledInmates(state, row);
  return { facts: row.facts, inmates, gateways: carriers(inmates, row.gateways) };
};

/**
 * A sandbox as it is after a unit has changed it.
 * @param decided who carries the default routes; null: whoever does by the rule
 */
export const viewOf = (
  scene: Scene,
  sandbox: SandboxFacts,
  changes: Changes,
  decided: Gateways | null,
): SandboxView => {
  const inmates = inmatesOf(scene, sandbox, changes);
  const gateways = carriers(inmates, decided);
  const facts = scene.state.sandboxes.get(sandbox.incarnation)?.facts ?? { ...sandbox, ports: [] };
  return { facts, inmates, gateways };
};
