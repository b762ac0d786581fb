/** Decisions about what workers learn of their intents: what a plugin that carries a network has answered becomes facts. */
import { workerActor } from '../names.ts';
import { type Refusal, refuse } from '../refusals.ts';
import type { BoundaryState } from '../state.ts';
import type { Context, Decide } from './context.ts';
import { settleEndpoint } from './settle-endpoint.ts';
import { settleJoin } from './settle-join.ts';
import { settleNetwork } from './settle-network.ts';

/** Whether this worker may still say anything of the intent: an answer that comes too late finds it expired or gone. */
const late = (state: BoundaryState, intent: string, epoch: number, context: Context): Refusal | null => {
  const worker = workerActor(context.host);
  if (context.actor !== worker)
    return refuse('SETTLE_INVALID', `only ${worker} settles intents of host ${context.host}`, [
      { kind: 'actor', id: context.actor },
    ]);
  const now = state.facts.get('host')?.epoch;
  if (epoch !== now)
    return refuse('SETTLE_INVALID', `epoch ${epoch} of host ${context.host} is over: it is ${now}`, [
      { kind: 'host', id: context.host, detail: String(now) },
    ]);
  const culprits = [{ kind: 'intent', id: intent }];
  if (state.expired.has(intent)) return refuse('SETTLE_INVALID', `intent ${intent} has timed out`, culprits);
  return state.intents.has(intent) ? null : refuse('SETTLE_INVALID', `intent ${intent} is not open`, culprits);
};

export const settleIntent: Decide<'SettleIntent'> = (state, { intent: id, epoch, answer }, context) => {
  const refusal = late(state, id, epoch, context);
  if (refusal) return refusal;
  const intent = state.intents.get(id);
  if (answer.kind === 'network' && intent?.type === 'NetworkCreateRequested')
    return settleNetwork(state, intent, answer, context);
  if (answer.kind === 'endpoint' && intent?.type === 'EndpointCreateRequested')
    return settleEndpoint(state, intent, answer, context);
  if (answer.kind === 'join' && intent?.type === 'EndpointJoinRequested')
    return settleJoin(state, intent, answer, context);
  return refuse('SETTLE_INVALID', `intent ${id} waits for no answer about a ${answer.kind}`, [
    { kind: 'intent', id, detail: intent?.type ?? '' },
  ]);
};
