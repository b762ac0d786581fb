/**
 * Cancelling a command. What is still to be made for it is taken back, as at its deadline; where nothing is left but removals there is
 * nothing to take back, and to say "cancelled" of what is removed all the same would be a lie.
 */
import { isRevertible } from '../envelope.ts';
import { isConstructive } from '../events.ts';
import { refuse } from '../refusals.ts';
import { commandKey } from '../state.ts';
import { accept, type Decide } from './context.ts';

export const cancelCommand: Decide<'CancelCommand'> = (state, { commandId, reason = null }, { actor }) => {
  const key = commandKey(actor, commandId);
  const culprit = { kind: 'command', id: `${actor}/${commandId}` };
  const record = state.progress.get(key);
  if (!record) {
    const row = state.commands.get(key);
    if (!row) return refuse('COMMAND_NOT_FOUND', `no command ${commandId} of ${actor} is known`, [culprit]);
    const how = row.ended ? `${row.ended}, ` : '';
    const detail = `${how}position ${row.endedAt ?? row.decidedAt}`;
    return refuse('COMMAND_ENDED', `command ${commandId} of ${actor} has ended: ${detail}`, [{ ...culprit, detail }]);
  }
  const intents = record.open.flatMap((id) => state.intents.get(id) ?? []);
  if (!intents.some((intent) => isConstructive(intent.type) || isRevertible(intent)))
    return refuse('COMMAND_REMOVES', `${record.command} ${commandId} only has something to remove`, [culprit]);
  return accept({
    type: 'CommandCancelled',
    data: { actor, commandId, command: record.command, intents: [...record.open], reason },
  });
};
