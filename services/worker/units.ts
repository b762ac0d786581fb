/** Which intents are executed together: the intents of a command are one unit, units that do not touch each other one batch. Pure. */
import { hostNetns } from '../../events/deciders/sandbox.ts';
import type { Event } from '../../events/envelope.ts';
import type { SandboxFacts } from '../../events/events.ts';
import { asSettled } from '../../events/settled.ts';
import { type BoundaryState, cellOf, commandKey } from '../../events/state.ts';

/** The intents of one command, with what was settled since: executed all or none. */
export interface Unit {
  readonly id: string;
  readonly intents: readonly Event[];
  /** The command's deadline passed: what was made for it is taken back. */
  readonly expired: boolean;
}

/** Most units in one batch: outcomes of the first ones must not wait for a thousand others. */
const batchUnitsMax = 16;
/** How many open units are looked at for a batch, those that are under way included. */
const lookAheadMax = 512;

/**
 * The open intents as units, in log order. What is late in part is late as a whole: a move is executed or taken back, never both.
 * @param isApart of intents that others are not to wait behind: their units come on top of `most`
 */
export const openUnits = (
  state: BoundaryState,
  most = Number.POSITIVE_INFINITY,
  isApart: (intent: Event) => boolean = () => false,
): readonly Unit[] => {
  const units = new Map<string, { readonly intents: Event[]; expired: boolean; apart: boolean }>();
  let apart = 0;
  for (const intent of state.intents.values()) {
    const expired = state.expired.has(intent.meta.id);
    const key = commandKey(intent.meta.actor, intent.meta.commandid);
    let unit = units.get(key);
    if (unit) {
      unit.intents.push(asSettled(state, intent));
      unit.expired ||= expired;
    } else {
      if (units.size - apart >= most) break;
      unit = { intents: [asSettled(state, intent)], expired, apart: false };
      units.set(key, unit);
    }
    if (unit.apart || !isApart(intent)) continue;
    unit.apart = true;
    apart += 1;
  }
  return [...units].map(([id, { intents, expired }]) => ({ id, intents, expired }));
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

interface Scope {
  readonly writes: readonly string[];
  readonly reads: readonly string[];
}

/** By path, not incarnation: a sandbox that follows another at the same path has the same namespace file. */
const placeOf = ({ id, key }: SandboxFacts): string => (key === hostNetns ? `sandbox ${id}` : `netns ${key}`);

/** What an intent changes and what it stands on, by id. */
const scopeOf = (state: BoundaryState, intent: Event): Scope => {
  switch (intent.type) {
    case 'DriverConfigureRequested':
      return { writes: [`driver ${intent.data.driver}`], reads: [] };
    case 'NetworkCreateRequested':
      return { writes: [`network ${intent.data.network.id}`], reads: [`driver ${intent.data.network.driver}`] };
    case 'NetworkUpdateRequested': {
      // The files of the sandboxes on it change too.
      const { networkId } = intent.data;
      const sandboxes = [...(cellOf(state, networkId)?.endpoints.keys() ?? [])].flatMap(
        (id) => sandboxWith(state, id) ?? [],
      );
      return { writes: [`network ${networkId}`, ...sandboxes.map(placeOf)], reads: [] };
    }
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

/**
 * The next batch: units of which none touches what an earlier one changes, or changes what an earlier one stands on. Earlier ones are
 * those before it in the log, in this batch or not, until their outcome is folded in (`busy` meanwhile). So every plan of a batch
 * holds whatever becomes of the others, and every plan is made from a state that knows the end of all that it depends on.
 * Complexity: the units looked at, each with the ids it names.
 * @param isReady whether nothing else is to be waited for, asked of each unit whose turn it is
 * @param isApart of intents whose units may wait long for somebody else: any number of them hides nobody
 */
export const nextBatch = (
  state: BoundaryState,
  busy: ReadonlySet<string>,
  isReady: (unit: Unit) => boolean = () => true,
  isApart?: (intent: Event) => boolean,
): readonly Unit[] => {
  const written = new Set<string>();
  const read = new Set<string>();
  const batch: Unit[] = [];
  for (const unit of openUnits(state, lookAheadMax, isApart)) {
    const scopes = unit.intents.map((intent) => scopeOf(state, intent));
    const sandbox = sandboxOf(state, unit);
    const writes = [...scopes.flatMap((scope) => scope.writes), ...(sandbox ? [placeOf(sandbox)] : [])];
    const reads = scopes.flatMap((scope) => scope.reads);
    const waits = writes.some((id) => written.has(id) || read.has(id)) || reads.some((id) => written.has(id));
    for (const id of writes) written.add(id);
    for (const id of reads) read.add(id);
    if (!waits && !unit.intents.some(({ meta }) => busy.has(meta.id)) && isReady(unit)) batch.push(unit);
    if (batch.length === batchUnitsMax) break;
  }
  return batch;
};
