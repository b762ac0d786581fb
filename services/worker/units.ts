/** Which intents are executed together: the intents of a command are one unit, units that do not touch each other one batch. Pure. */
import type { Event } from '../../events/envelope.ts';
import { type BoundaryState, commandKey } from '../../events/state.ts';

/** The intents of one command: executed all or none. */
export interface Unit {
  readonly id: string;
  readonly intents: readonly Event[];
  /** The command's deadline passed: what was made for it is taken back. */
  readonly expired: boolean;
}

/** Most units in one batch: outcomes of the first ones must not wait for a thousand others. */
const batchUnitsMax = 32;

/** The open intents that nobody works on, a unit per command, in log order; at most as many as one batch takes. */
const openUnits = (state: BoundaryState, busy: ReadonlySet<string>): readonly Unit[] => {
  const units = new Map<string, { readonly intents: Event[]; readonly expired: boolean }>();
  for (const intent of state.intents.values()) {
    if (busy.has(intent.meta.id)) continue;
    const expired = state.expired.has(intent.meta.id);
    const key = `${commandKey(intent.meta.actor, intent.meta.commandid)}${expired ? ' expired' : ''}`;
    const unit = units.get(key);
    if (unit) unit.intents.push(intent);
    else if (units.size < batchUnitsMax) units.set(key, { intents: [intent], expired });
    else break;
  }
  return [...units].map(([id, { intents, expired }]) => ({ id, intents, expired }));
};

interface Scope {
  readonly writes: readonly string[];
  readonly reads: readonly string[];
}

/** What an intent changes and what it stands on, by id. */
const scopeOf = (intent: Event): Scope => {
  switch (intent.type) {
    case 'DriverConfigureRequested':
      return { writes: [`driver ${intent.data.driver}`], reads: [] };
    case 'NetworkCreateRequested':
      return { writes: [`network ${intent.data.network.id}`], reads: [`driver ${intent.data.network.driver}`] };
    case 'NetworkDeleteRequested':
      return { writes: [`network ${intent.data.networkId}`], reads: [] };
    case 'EndpointCreateRequested':
      return { writes: [`endpoint ${intent.data.endpoint.id}`], reads: [`network ${intent.data.endpoint.networkId}`] };
    case 'EndpointDeleteRequested':
      return { writes: [`endpoint ${intent.data.endpointId}`], reads: [`network ${intent.data.networkId}`] };
    case 'EndpointJoinRequested':
    case 'EndpointLeaveRequested': {
      const { endpointId, networkId, sandbox } = intent.data;
      // By name, not incarnation: a sandbox that follows another of its name has the same namespace file.
      return { writes: [`endpoint ${endpointId}`, `sandbox ${sandbox.id}`], reads: [`network ${networkId}`] };
    }
    default:
      return { writes: [], reads: [] };
  }
};

/**
 * The next batch: units in log order up to the first one that touches what an earlier one of the batch changes, or changes what an
 * earlier one stands on. So every plan of a batch holds whatever becomes of the others.
 */
export const nextBatch = (state: BoundaryState, busy: ReadonlySet<string>): readonly Unit[] => {
  const written = new Set<string>();
  const read = new Set<string>();
  const batch: Unit[] = [];
  for (const unit of openUnits(state, busy)) {
    const scopes = unit.intents.map(scopeOf);
    const writes = scopes.flatMap((scope) => scope.writes);
    const reads = scopes.flatMap((scope) => scope.reads);
    if (writes.some((id) => written.has(id) || read.has(id)) || reads.some((id) => written.has(id))) break;
    for (const id of writes) written.add(id);
    for (const id of reads) read.add(id);
    batch.push(unit);
  }
  return batch;
};
