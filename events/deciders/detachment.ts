/** What ends a sandbox: its endpoints leave, and those that came with it go. */
import type { Fact } from '../events.ts';
import type { BoundaryState, SandboxRow } from '../state.ts';
import { draftOf, leave } from './draft.ts';
import { deletion } from './endpoint.ts';

export const detachment = (state: BoundaryState, row: SandboxRow): readonly Fact[] => {
  let draft = draftOf(state, row);
  const facts: Fact[] = [];
  for (const memberId of row.members) {
    const endpoint = state.endpoints.get(memberId);
    if (!endpoint) continue;
    const left = leave(draft, endpoint);
    draft = left.draft;
    facts.push(left.fact);
    if (endpoint.facts.origin !== 'endpoint') facts.push(deletion(endpoint, 'detach'));
  }
  return facts;
};
