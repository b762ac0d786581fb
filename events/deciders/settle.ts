/** Decisions about what workers learn of their intents: what a plugin that carries a network has answered becomes facts. */
import type { EventOf } from '../envelope.ts';
import { workerActor } from '../names.ts';
import { refuse } from '../refusals.ts';
import type { BoundaryState } from '../state.ts';
import { type Context, type Decide, found, type Result } from './context.ts';

type Open = EventOf<'NetworkCreateRequested' | 'EndpointCreateRequested' | 'EndpointJoinRequested'>;

/** The intent, if it is open and in time: an answer that comes too late finds it expired or gone. */
const openIntent = (state: BoundaryState, id: string, context: Context): Result<Open> => {
  const worker = workerActor(context.host);
  if (context.actor !== worker)
    return refuse('SETTLE_INVALID', `only ${worker} settles intents of host ${context.host}`, [
      { kind: 'actor', id: context.actor },
    ]);
  const intent = state.intents.get(id);
  const why = state.expired.has(id) ? 'has timed out' : 'is not open';
  if (!intent || state.expired.has(id))
    return refuse('SETTLE_INVALID', `intent ${id} ${why}`, [{ kind: 'intent', id }]);
  if (
    intent.type === 'NetworkCreateRequested' ||
    intent.type === 'EndpointCreateRequested' ||
    intent.type === 'EndpointJoinRequested'
  )
    return found(intent);
  return refuse('SETTLE_INVALID', `intent ${id} leaves nothing open`, [{ kind: 'intent', id, detail: intent.type }]);
};

export const settleIntent: Decide<'SettleIntent'> = (state, { intent: id, answer }, context) => {
  const intent = openIntent(state, id, context);
  if (!intent.ok) return intent;
  return refuse('SETTLE_INVALID', `intent ${id} waits for no answer about a ${answer.kind}`, [
    { kind: 'intent', id, detail: intent.value.type },
  ]);
};
