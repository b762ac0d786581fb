/** Whether a network has room for one more endpoint in a sandbox, where its driver takes only so many at once. */
import type { DriverRules } from '../driver-rules.ts';
import { type Refusal, refuse } from '../refusals.ts';
import { type BoundaryState, cellOf, type EndpointRow, isMoving, type NetworkRow } from '../state.ts';
import { endpointCulprit, sandboxOf } from './context.ts';

/** One that is to leave is in nobody's way, since the worker takes intents in order; but for one that could not, or may come back. */
const isInside = (state: BoundaryState, row: EndpointRow): boolean =>
  row.status === 'joining' ||
  row.status === 'joined' ||
  (row.sandbox !== null && (row.status === 'stuck' || isMoving(state, sandboxOf(state, row))));

/** O(endpoints of the network), and only where there is a limit. */
export const noRoom = (state: BoundaryState, { facts }: NetworkRow, rules: DriverRules): Refusal | null => {
  const max = rules.joinsMax?.(facts.options);
  if (max === undefined) return null;
  const inside = [...(cellOf(state, facts.id)?.endpoints.keys() ?? [])].flatMap((id) => {
    const row = state.endpoints.get(id);
    return row && isInside(state, row) ? [row] : [];
  });
  if (inside.length < max) return null;
  const names = inside.map((row) => `${row.facts.name} of sandbox ${row.sandbox?.id}`).join(', ');
  const detail = `network ${facts.name} of driver ${rules.name} can have ${max} endpoint${max === 1 ? '' : 's'} in sandboxes at a time, and has ${names}`;
  return refuse('DRIVER_FORBIDS', detail, inside.map(endpointCulprit));
};
