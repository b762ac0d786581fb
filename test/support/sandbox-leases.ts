/** What leads into a sandbox, as the state has it. */
import type { PublishedPort } from '../../events/events.ts';
import type { BoundaryState } from '../../events/state.ts';

/** Its own ports and those of its members, as far as their host ports are known. */
export const sandboxLeases = (state: BoundaryState, incarnation: string): readonly PublishedPort[] => {
  const row = state.sandboxes.get(incarnation);
  if (!row) return [];
  const members = row.members.flatMap((id) => state.endpoints.get(id)?.facts.ports ?? []);
  return [...row.facts.ports, ...members].filter(({ hostPort }) => hostPort > 0);
};
