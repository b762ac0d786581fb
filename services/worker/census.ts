/** The start of a worker: what the kernel holds against what the log adds up to. A diff, never a flush. Pure. */
import { formatTag, type KernelObject, objectKey } from '../../drivers/objects.ts';
import { diff } from '../../drivers/plan.ts';
import type { Census, Operation, Plan } from '../../drivers/port.ts';
import type { SandboxFacts } from '../../events/events.ts';
import { isAway } from '../../events/reboots.ts';
import { type BoundaryState, isRecordOnly, networkOf, type SandboxRow } from '../../events/state.ts';
import { courseOf, takeBack } from './course.ts';
import { type Scene, settledView } from './inmates.ts';
import { isUnknown, ownerOf, pathOf } from './present.ts';
import { keptOwners } from './regressed-owners.ts';
import { type Deployment, driverOf, sandboxObjects } from './sandbox.ts';
import { networkNow } from './settings.ts';
import { openUnits, sandboxOf, type Unit } from './units.ts';

/** Objects of everything that is reported as done. */
export const settledObjects = (state: BoundaryState, deployment: Deployment): readonly KernelObject[] => {
  const { host } = deployment;
  const objects: KernelObject[] = [];
  for (const row of state.networks.values()) {
    if (row.status !== 'active' || row.facts.configOnly) continue;
    objects.push(...(driverOf(deployment, row.facts)?.createNetwork(host, networkNow(row)).ensure ?? []));
  }
  for (const row of state.sandboxes.values())
    if (!isAway(state, row)) objects.push(...sandboxSettled(state, deployment, row));
  return objects;
};

/** Those of a sandbox, with what its endpoints need of their networks. */
export const sandboxSettled = (
  state: BoundaryState,
  deployment: Deployment,
  row: SandboxRow,
): readonly KernelObject[] => {
  const { host } = deployment;
  const view = settledView(state, row);
  const objects: KernelObject[] = [...sandboxObjects(deployment, view)];
  for (const { network, endpoint, interface: device, plug } of view.inmates) {
    const joinId = state.endpoints.get(endpoint.id)?.sandbox?.joinId ?? '';
    const join = { joinId, network, endpoint, sandbox: row.facts, interface: device, plug };
    const driver = driverOf(deployment, network);
    objects.push(...(driver?.presence(host, network) ?? []), ...(driver?.join(host, join).ensure ?? []));
  }
  return objects;
};

interface Pending {
  /** What accepted intents want there: it may be there already. */
  readonly ensured: ReadonlySet<string>;
  /** What accepted intents want gone: it may be gone already. */
  readonly removed: ReadonlySet<string>;
  /** What networks on record alone are in the kernel for: who is to leave one may come back, and its execution takes away what is left. */
  readonly kept: ReadonlySet<string>;
  /** Incarnations of the sandboxes that they are about. */
  readonly sandboxes: ReadonlySet<string>;
}

/** An object of one incarnation: another one at the same place is another object. */
const identityOf = (object: KernelObject): string => `${objectKey(object)} ${formatTag(object.tag)}`;

/** Networks that would be seen to be vacated (presence.ts): not those of which a process that ended in the middle of that left a part. */
const seenIn = ({ state }: Scene, { objects }: Census): ReadonlySet<string> =>
  new Set([...state.outlets.keys(), ...objects.flatMap(({ kind, tag }) => (kind === 'vxlan' ? [tag.id] : []))]);

/** What the networks that a unit is about are in the kernel with, as far as they come and go with their endpoints. */
const presenceOf = (
  { state, deployment }: Scene,
  { intents }: Unit,
  seen: ReadonlySet<string>,
): readonly KernelObject[] =>
  intents.flatMap(({ data }) => {
    const row = 'networkId' in data && seen.has(data.networkId) ? networkOf(state, data.networkId) : undefined;
    if (!row || !isRecordOnly(row.facts)) return [];
    return driverOf(deployment, row.facts)?.presence(deployment.host, networkNow(row)) ?? [];
  });

/** What intents that are not reported yet have to do with: their execution sees to it. */
const pendingObjects = (scene: Scene, census: Census): Pending => {
  const ensured = new Set<string>();
  const removed = new Set<string>();
  const kept = new Set<string>();
  const seen = seenIn(scene, census);
  const sandboxes = new Set<string>();
  for (const unit of openUnits(scene.state)) {
    const { effects, remainder } = unit.expired ? takeBack(scene, unit) : courseOf(scene, unit);
    for (const { ensure, remove } of [...effects, remainder]) {
      for (const object of ensure) ensured.add(identityOf(object));
      for (const object of remove) removed.add(identityOf(object));
    }
    for (const object of presenceOf(scene, unit, seen)) kept.add(identityOf(object));
    const sandbox = sandboxOf(scene.state, unit);
    if (sandbox) sandboxes.add(sandbox.incarnation);
  }
  return { ensured, removed, kept, sandboxes };
};

/**
 * What has to change so that the kernel holds what the log says. What is unknown is neither removed nor made anew, and what accepted
 * intents are about is left to them; only a namespace that is lost is made again at once, since others may stand on it.
 */
export const repairs = (scene: Scene, census: Census): readonly Operation[] =>
  repairsBut(scene, census, keptOwners(scene.state));

/** @param held owners whose objects stay as they are, whatever the log says: `ownerOf` */
export const repairsBut = (scene: Scene, census: Census, held: ReadonlySet<string>): readonly Operation[] => {
  const { ensured, removed, kept, sandboxes } = pendingObjects(scene, census);
  const isPending = (object: KernelObject): boolean =>
    ensured.has(identityOf(object)) || (object.tag.entity === 'sandbox' && sandboxes.has(object.tag.id));
  const isHeld = (object: KernelObject): boolean => held.has(ownerOf(object.tag));
  const places = new Map(census.objects.filter(isHeld).map((object) => [objectKey(object), identityOf(object)]));
  const wanted = settledObjects(scene.state, scene.deployment).filter(
    (object) =>
      (places.get(objectKey(object)) ?? identityOf(object)) === identityOf(object) &&
      !removed.has(identityOf(object)) &&
      (object.kind === 'netns' || !isPending(object)) &&
      !isUnknown(census.unknown, object),
  );
  const wantedKeys = new Set(wanted.map(objectKey));
  const observed = census.objects.filter((object) => {
    if (wantedKeys.has(objectKey(object))) return true;
    const isLeft = removed.has(identityOf(object)) || kept.has(identityOf(object));
    return !(isHeld(object) || isPending(object) || isLeft || isUnknown(census.unknown, object));
  });
  return diff(wanted, observed);
};

/** Sandboxes that have ended and are in no open intent's charge: their removal failed. */
export const remains = ({ sandboxes, intents }: BoundaryState): readonly SandboxFacts[] => {
  const ended = [...sandboxes.values()].filter(({ status }) => status === 'removing');
  if (ended.length === 0) return [];
  const open = new Set<string>();
  for (const { type, data } of intents.values()) {
    if (type === 'EndpointJoinRequested' || type === 'EndpointLeaveRequested') open.add(data.sandbox.incarnation);
  }
  return ended.map(({ facts }) => facts).filter(({ incarnation }) => !open.has(incarnation));
};

/** What stands and falls together: a sandbox with what is in it, or the objects of one network. */
const placeOf = (object: KernelObject): string => pathOf(object) || `${object.tag.entity} ${object.tag.id}`;

/** Repairs as plans, a plan for each place, so that one that cannot be repaired is in no other's way. */
export const repairPlans = (operations: readonly Operation[]): readonly Plan[] => {
  const plans = new Map<string, Operation[]>();
  for (const operation of operations) {
    const inNetwork = operation.object.tag.entity === 'network';
    // Sandboxes stand on networks.
    const phase = operation.op === 'delete' ? (inNetwork ? 1 : 0) : inNetwork ? 2 : 3;
    const id = `repair/${phase}/${placeOf(operation.object)}`;
    const plan = plans.get(id);
    if (plan) plan.push(operation);
    else plans.set(id, [operation]);
  }
  const phaseOf = (id: string): number => Number(id.charAt('repair/'.length));
  return [...plans].sort(([a], [b]) => phaseOf(a) - phaseOf(b)).map(([id, own]) => ({ id, operations: own }));
};
