/** Who has a name, of what a boundary's log adds up to: those whose join is reported and whose leave is not. Pure. */
import { isAway } from '../../events/reboots.ts';
import { type BoundaryState, type EndpointRow, type NetworkRow, networkOf } from '../../events/state.ts';
import { beforeUpdates } from '../../events/updates.ts';
import type { ZoneMember } from './zone.ts';

/**
 * The join is done and the leave is not. What was done after its deadline is on its way back, and what could not leave is no more to be
 * relied on: neither has a name.
 */
const isIn = ({ intents }: BoundaryState, { status, intent, leave }: EndpointRow): boolean => {
  if (status === 'joined') return !intents.has(intent);
  const isLeaving = status === 'leaving' || status === 'deleting';
  return isLeaving && leave !== null && intents.has(leave.intent) && !intents.has(leave.join) && !leave.joinFailed;
};

/** Settings hold from the report of the update that brought them. */
const networkNow = ({ facts, update }: NetworkRow) => ({ ...facts, ...beforeUpdates(update).at(-1) });
const endpointNow = ({ facts, update }: EndpointRow) => ({ ...facts, ...beforeUpdates(update).at(-1) });

/** All endpoints in the sandboxes of a host, of each sandbox in the order in which they joined. */
export const membersOf = (state: BoundaryState): readonly ZoneMember[] => {
  const places = new Map<string, number>();
  for (const { members } of state.sandboxes.values())
    for (const [place, id] of members.entries()) places.set(id, place);
  const members = [...state.endpoints.values()].flatMap((row): readonly ZoneMember[] => {
    const sandbox = state.sandboxes.get(row.sandbox?.incarnation ?? '');
    const network = networkOf(state, row.facts.networkId);
    if (!sandbox || !network || !isIn(state, row) || isAway(state, sandbox)) return [];
    return [{ endpoint: endpointNow(row), network: networkNow(network), sandbox: sandbox.facts }];
  });
  // Those that are leaving stand in no list any more: behind the others.
  const placeOf = ({ endpoint }: ZoneMember): number => places.get(endpoint.id) ?? Number.MAX_SAFE_INTEGER;
  return members.sort((a, b) => placeOf(a) - placeOf(b));
};
