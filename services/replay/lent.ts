/** Interfaces that a program of others had made and lent to a sandbox: what that was only the program knows, and it is not here. Pure. */
import type { Device, KernelObject } from '../../drivers/objects.ts';
import { drivers } from '../../drivers/registry.ts';
import type { BoundaryState } from '../../events/state.ts';

const isLent = (object: KernelObject): object is Device => object.kind === 'device' && object.source.type === 'moved';

const placeOf = (netns: string, device: string): string => `${netns} ${device}`;

/** Without what was lent, and without routes that lead over it. */
export const withoutLent = (objects: readonly KernelObject[]): readonly KernelObject[] => {
  const lent = new Set(objects.filter(isLent).map(({ netns, name }) => placeOf(netns, name)));
  return objects.filter(
    (object) => !isLent(object) && !(object.kind === 'route' && lent.has(placeOf(object.netns, object.device))),
  );
};

/** Networks whose driver is none of ours, with the sandboxes that were on them: `network wv of driver weave, which is not here (s1, s2)`. */
export const networksOfOthers = ({ networks, sandboxes, endpoints }: BoundaryState): readonly string[] => {
  const members = new Map<string, string[]>();
  for (const { facts, members: ids } of sandboxes.values()) {
    for (const id of ids) {
      const networkId = endpoints.get(id)?.facts.networkId ?? '';
      members.set(networkId, [...(members.get(networkId) ?? []), facts.id]);
    }
  }
  return [...networks.values()].flatMap(({ status, facts: { id, name, driver, configOnly } }) => {
    if (status !== 'active' || configOnly || drivers.has(driver)) return [];
    const inIt = members.get(id) ?? [];
    return [`network ${name} of driver ${driver}, which is not here${inIt.length > 0 ? ` (${inIt.join(', ')})` : ''}`];
  });
};
