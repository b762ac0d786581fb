/** Networks that are only on record (`isRecordOnly`) are in the kernel of a host while somebody there is in them. Pure. */
import type { Bridge, KernelObject } from '../../drivers/objects.ts';
import { diff } from '../../drivers/plan.ts';
import type { Plan } from '../../drivers/port.ts';
import type { Event } from '../../events/envelope.ts';
import type { Scene } from './inmates.ts';
import { ownerOf } from './present.ts';
import { keptOwners } from './regressed-owners.ts';

/** Networks that accepted joins, not reported nor taken back yet, are about. */
const wantedBy = (intents: Iterable<Event>, withdrawn: ReadonlySet<string>): ReadonlySet<string> => {
  const ids = new Set<string>();
  for (const { type, data, meta } of intents)
    if (type === 'EndpointJoinRequested' && !withdrawn.has(meta.id)) ids.add(data.networkId);
  return ids;
};

const isBridge = (object: KernelObject): object is Bridge => object.kind === 'bridge';

export interface Vacated {
  readonly networkId: string;
  readonly plan: Plan;
}

/**
 * What takes networks out of the kernel that nobody on this host is in any more, nor about to be. Behind a batch, before its reports: so
 * two that leave in one batch need not know of each other. Complexity: the tunnels and ways out there, and the open
 * intents where one of them is idle.
 *
 * @param withdrawn intents that were taken back: nobody comes for their sake
 */
export const vacated = ({ state, present }: Scene, withdrawn: ReadonlySet<string>): readonly Vacated[] => {
  const ways = [...state.outlets.keys()].flatMap((id) => present.of('network', id)).filter(isBridge);
  const there = [...present.tunnels(), ...ways.map(({ name, tag }) => ({ bridge: name, tag }))];
  const idle = there.filter(({ bridge }) => !present.isInUse(bridge));
  if (idle.length === 0) return [];
  const kept = keptOwners(state);
  const wanted = wantedBy(state.intents.values(), withdrawn);
  return idle
    .filter(({ tag }) => !wanted.has(tag.id) && !kept.has(ownerOf(tag)))
    .map(({ tag: { id } }) => ({
      networkId: id,
      plan: { id: `vacate/${id}`, operations: diff([], present.of('network', id)) },
    }));
};
