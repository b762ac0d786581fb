/** Decisions that the collector asks for: garbage in two steps, and deadlines. Each is checked anew against the state. */
import type { CommandData } from '../commands.ts';
import { skewMs } from '../evolve.ts';
import { garbageOf, type Verdict } from '../garbage.ts';
import { mintedMs } from '../names.ts';
import { type Refusal, refuse } from '../refusals.ts';
import { type BoundaryState, commandKey, type EndpointRow, networkOf } from '../state.ts';
import { accept, type Context, type Decide, endpointCulprit, found, type Result } from './context.ts';
import { deletion } from './endpoint.ts';

interface Garbage {
  readonly row: EndpointRow;
  readonly since: string;
  readonly dueAt: string;
  readonly reason: string;
}

const notGarbage = (row: EndpointRow, detail: string): Refusal =>
  refuse('NOT_GARBAGE', `endpoint ${row.facts.name} ${detail}`, [endpointCulprit(row)]);

/** Whether and when an endpoint is garbage, or null while something is still to happen to it. The collector asks the same. */
export const verdictOn = (state: BoundaryState, row: EndpointRow): Verdict | null =>
  row.status === 'created'
    ? garbageOf({
        everJoined: row.lastSandbox !== null,
        idleSince: row.idleSince,
        static: row.facts.static,
        endpointGc: row.facts.gc,
        networkGc: networkOf(state, row.facts.networkId)?.facts.gc ?? null,
      })
    : null;

/** The endpoint, if it is garbage that is due and nothing has happened to it since the collector looked. */
const garbage = (
  state: BoundaryState,
  { endpointId, generation }: CommandData<'CollectEndpoint'>,
  context: Context,
): Result<Garbage> => {
  const row = state.endpoints.get(endpointId);
  if (!row)
    return refuse('ENDPOINT_NOT_FOUND', `there is no endpoint ${endpointId}`, [{ kind: 'endpoint', id: endpointId }]);
  if (row.generation !== generation) return notGarbage(row, 'has changed since');
  const verdict = verdictOn(state, row);
  if (verdict === null) return notGarbage(row, `is ${row.status}`);
  if (verdict.dueAt === null) return notGarbage(row, verdict.reason);
  if (Date.parse(verdict.dueAt) > context.nowMs) return notGarbage(row, `is due at ${verdict.dueAt}`);
  return found({ row, since: verdict.since, dueAt: verdict.dueAt, reason: verdict.reason });
};

export const suspectEndpoint: Decide<'SuspectEndpoint'> = (state, data, context) => {
  const suspect = garbage(state, data, context);
  if (!suspect.ok) return suspect;
  const { row, since, dueAt, reason } = suspect.value;
  if (row.suspected) return notGarbage(row, 'is suspected already');
  const { id: endpointId, networkId, name } = row.facts;
  return accept({
    type: 'EndpointSuspected',
    data: { endpointId, networkId, name, since, dueAt, reason, lastSandbox: row.lastSandbox },
  });
};

export const collectEndpoint: Decide<'CollectEndpoint'> = (state, data, context) => {
  const suspect = garbage(state, data, context);
  if (!suspect.ok) return suspect;
  const { row, since, reason } = suspect.value;
  if (!row.suspected) return notGarbage(row, 'is not suspected');
  return accept(deletion(row, 'garbage', { since, reason, lastSandbox: row.lastSandbox }));
};

export const expireCommand: Decide<'ExpireCommand'> = (state, { actor, commandId }, context) => {
  const record = state.progress.get(commandKey(actor, commandId));
  const culprit = { kind: 'command', id: `${actor}/${commandId}` };
  if (!record) return refuse('COMMAND_ENDED', `command ${commandId} of ${actor} is not under way`, [culprit]);
  if (Date.parse(record.deadline ?? '') > context.nowMs) {
    return refuse('DEADLINE_NOT_PASSED', `command ${commandId} has until ${record.deadline}`, [culprit]);
  }
  return accept({
    type: 'CommandTimedOut',
    data: { actor, commandId, command: record.command, intents: [...record.open] },
  });
};

const dayMs = 86_400_000;

/** Refuses ids that are too old to be remembered, or minted in the future. */
export const checkId = (id: string, nowMs: number, memoryMs: number): Refusal | null => {
  const minted = mintedMs(id);
  const culprit = { kind: 'command', id, detail: new Date(minted).toISOString() };
  if (minted < nowMs - memoryMs)
    return refuse('COMMAND_TOO_OLD', `command id ${id} was minted more than ${memoryMs / dayMs} days ago`, [culprit]);
  if (minted > nowMs + skewMs)
    return refuse('COMMAND_FROM_FUTURE', `command id ${id} was minted in the future`, [culprit]);
  return null;
};
