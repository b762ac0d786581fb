/** Decisions on sandboxes that were lost with a boot of their host: ended, or made again. */
import { releasedAt } from '../reboots.ts';
import { type Refusal, refuse } from '../refusals.ts';
import { findSandbox, type SandboxRow } from '../state.ts';
import { accept, type Decide, movingSandbox, sandboxCulprit } from './context.ts';
import { detach } from './sandbox.ts';

const notLost = (row: SandboxRow): Refusal =>
  refuse('SANDBOX_NOT_LOST', `sandbox ${row.facts.id} is there, or about to be`, [sandboxCulprit(row)]);

export const restoreSandbox: Decide<'RestoreSandbox'> = (state, { sandbox: id }) => {
  const row = findSandbox(state, id);
  if (!row) return refuse('SANDBOX_NOT_FOUND', `there is no sandbox ${id}`, [{ kind: 'sandbox', id }]);
  if (!row.lost || row.lost.reclaimed) return notLost(row);
  const { incarnation } = row.facts;
  return accept({ type: 'SandboxReclaimed', data: { sandbox: { id, incarnation }, bootId: row.lost.bootId } });
};

export const releaseSandbox: Decide<'ReleaseSandbox'> = (state, { incarnation, bootId }, context) => {
  const row = state.sandboxes.get(incarnation);
  // Whom everybody was told to leave already: to decide nothing would leave no record of the command.
  if (!row || row.members.length === 0)
    return refuse('SANDBOX_NOT_FOUND', `there is no sandbox ${incarnation}`, [{ kind: 'sandbox', id: incarnation }]);
  if (!row.lost || row.lost.reclaimed || row.lost.bootId !== bootId) return notLost(row);
  const due = releasedAt(row.facts, row.lost);
  if (Date.parse(due) > context.nowMs)
    return refuse('SANDBOX_HELD', `sandbox ${row.facts.id} is held until ${due}`, [sandboxCulprit(row)]);
  return movingSandbox(state, row) ?? accept(...detach(state, row));
};
