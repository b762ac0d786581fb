/** Which intents are executed together: the intents of a command are one unit. Pure. */
import { hostNetns } from '../../events/deciders/sandbox.ts';
import type { Event } from '../../events/envelope.ts';
import type { SandboxFacts } from '../../events/events.ts';
import { asSettled } from '../../events/settled.ts';
import { type BoundaryState, cellOf, commandKey } from '../../events/state.ts';

/** The intents of one command, with what was settled since: executed all or none. */
export interface Unit {
  readonly id: string;
  readonly intents: readonly Event[];
  /** The command's deadline passed, or it was cancelled: what was made for it is taken back. */
  readonly expired: boolean;
  /** It was cancelled. */
  readonly isCancelled: boolean;
}

/**
 * A unit as it is now. What is late in part is late as a whole: a move is executed or taken back, never both.
 * @param ids of its open intents, in log order
 */
export const unitOf = (state: BoundaryState, id: string, ids: Iterable<string>): Unit => {
  const intents = [...ids].flatMap((intent) => state.intents.get(intent) ?? []);
  return {
    id,
    intents: intents.map((intent) => asSettled(state, intent)),
    expired: intents.some(({ meta }) => state.expired.has(meta.id)),
    isCancelled: intents.some(({ meta }) => state.expired.get(meta.id) === 'cancelled'),
  };
};

/** The open intents as units, in log order. */
export const openUnits = (state: BoundaryState): readonly Unit[] => {
  const units = new Map<string, string[]>();
  for (const { meta } of state.intents.values()) {
    const key = commandKey(meta.actor, meta.commandid);
    const ids = units.get(key);
    if (ids) ids.push(meta.id);
    else units.set(key, [meta.id]);
  }
  return [...units].map(([id, ids]) => unitOf(state, id, ids));
};

/** The sandbox that an endpoint is in, as far as that is accepted. */
const sandboxWith = (state: BoundaryState, endpointId: string): SandboxFacts | null => {
  const member = state.endpoints.get(endpointId)?.sandbox;
  return state.sandboxes.get(member?.incarnation ?? '')?.facts ?? null;
};

/** The sandbox that a unit is about. There is at most one: a command names one. */
export const sandboxOf = (state: BoundaryState, { intents }: Unit): SandboxFacts | null => {
  for (const intent of intents) {
    if (intent.type === 'EndpointJoinRequested' || intent.type === 'EndpointLeaveRequested') return intent.data.sandbox;
    // The endpoint's leave may have failed, so that it is still in there.
    if (intent.type === 'EndpointDeleteRequested' || intent.type === 'EndpointUpdateRequested') {
      const sandbox = sandboxWith(state, intent.data.endpointId);
      if (sandbox) return sandbox;
    }
  }
  return null;
};

export interface Scope {
  readonly writes: readonly string[];
  readonly reads: readonly string[];
}

/**
 * Sandboxes that a unit changes, whoever is in them now. By path, not incarnation: one that follows another at the same path has the
 * same namespace file.
 */
export const placesOf = (state: BoundaryState, unit: Unit): readonly string[] => {
  // The files of the sandboxes on a network change with it.
  const onNetworks = unit.intents.flatMap(({ type, data }) => {
    if (type !== 'NetworkUpdateRequested') return [];
    const members = cellOf(state, data.networkId)?.endpoints.keys() ?? [];
    return [...members].flatMap((id) => sandboxWith(state, id) ?? []);
  });
  const own = sandboxOf(state, unit);
  return [...onNetworks, ...(own ? [own] : [])].map(({ id, key }) =>
    key === hostNetns ? `sandbox ${id}` : `netns ${key}`,
  );
};

/** What an intent changes and what it stands on, by id; without sandboxes. */
export const scopeOf = (intent: Event): Scope => {
  switch (intent.type) {
    case 'DriverConfigureRequested':
      return { writes: [`driver ${intent.data.driver}`], reads: [] };
    case 'NetworkCreateRequested':
      return { writes: [`network ${intent.data.network.id}`], reads: [`driver ${intent.data.network.driver}`] };
    case 'NetworkUpdateRequested':
    case 'NetworkDeleteRequested':
      return { writes: [`network ${intent.data.networkId}`], reads: [] };
    case 'EndpointCreateRequested':
      return { writes: [`endpoint ${intent.data.endpoint.id}`], reads: [`network ${intent.data.endpoint.networkId}`] };
    case 'EndpointUpdateRequested':
    case 'EndpointJoinRequested':
    case 'EndpointLeaveRequested':
    case 'EndpointDeleteRequested':
      return { writes: [`endpoint ${intent.data.endpointId}`], reads: [`network ${intent.data.networkId}`] };
    default:
      return { writes: [], reads: [] };
  }
};
