/** What executing a unit, or taking it back, comes to as a whole. Pure. */
import type { Effect } from '../../drivers/driver.ts';
import { type KernelObject, objectKey } from '../../drivers/objects.ts';
import { diff } from '../../drivers/plan.ts';
import type { Operation } from '../../drivers/port.ts';
import type { Event } from '../../events/envelope.ts';
import type { EndpointFacts, Gateways, SandboxFacts } from '../../events/events.ts';
import { type BoundaryState, networkOf } from '../../events/state.ts';
import { effectOf, nothing, undoEffectOf } from './effects.ts';
import { type Changes, noChanges, type Scene, viewOf } from './inmates.ts';
import type { Present } from './present.ts';
import { netnsOf, type SandboxView, sandboxObjects } from './sandbox.ts';
import { endpointAfter } from './settings.ts';
import { sandboxOf, type Unit } from './units.ts';

export interface Course {
  /** Of each intent, in order. */
  readonly effects: readonly Effect[];
  /** Of the sandbox that endpoints join, leave or are changed in. */
  readonly remainder: Effect;
  /** The sandbox as it is afterwards; null where there is none. */
  readonly view: SandboxView | null;
  /** What the unit stands on and is not there. */
  readonly missing: string | null;
  /** The sandbox that ends with it. */
  readonly ended: SandboxFacts | null;
  /** It takes a sandbox from one network to another. */
  readonly isMove: boolean;
  /** Of a move that is taken back: endpoints that were to leave, and are in the sandbox as they were. */
  readonly returned: ReadonlySet<string>;
}

const empty = { remainder: nothing, view: null, missing: null, ended: null, returned: new Set<string>() };

/** Endpoints that a unit makes or puts into a sandbox. */
const madeBy = ({ intents }: Unit): ReadonlySet<string> =>
  new Set(
    intents.flatMap((intent) => {
      if (intent.type === 'EndpointCreateRequested') return [intent.data.endpoint.id];
      return intent.type === 'EndpointJoinRequested' ? [intent.data.endpointId] : [];
    }),
  );

const isRemoval = ({ type }: Event): boolean => type === 'EndpointLeaveRequested' || type === 'EndpointDeleteRequested';

/** What makes and removes in one: a sandbox goes from one network to another. */
const isMove = (unit: Unit): boolean => madeBy(unit).size > 0 && unit.intents.some(isRemoval);

/**
 * Whether nobody is in a sandbox any more, nor about to be, apart from these endpoints. Decided anew, since of those that were to
 * stay when a leave was decided some may have failed to join, and one that was to be gone may have been brought back.
 * Complexity: the open intents, where the sandbox has no other members and this is not its last leave.
 */
const isDeserted = (
  state: BoundaryState,
  { incarnation }: SandboxFacts,
  unit: Unit,
  apart: ReadonlySet<string>,
): boolean => {
  if (state.sandboxes.get(incarnation)?.members.some((id) => !apart.has(id))) return false;
  if (unit.intents.some((intent) => intent.type === 'EndpointLeaveRequested' && intent.data.last)) return true;
  const own = new Set(unit.intents.map(({ meta }) => meta.id));
  for (const { type, data, meta } of state.intents.values()) {
    if (type !== 'EndpointJoinRequested' && type !== 'EndpointLeaveRequested') continue;
    if (data.sandbox.incarnation === incarnation && !own.has(meta.id)) return false;
  }
  return true;
};

/**
 * Who carries the default routes, as the state says now. The unit was decided on what had been asked for before it, and that may have failed
 * since; who comes in a later unit is not there yet, and is passed over.
 */
const gatewaysOf = ({ state }: Scene, { incarnation }: SandboxFacts): Gateways | null =>
  state.sandboxes.get(incarnation)?.gateways ?? null;

const changesOf = ({ state }: Scene, { intents }: Unit): Changes => {
  const facts = new Map<string, EndpointFacts>();
  const comes = new Map<string, { readonly interface: string | null; readonly index: null }>();
  const goes = new Set<string>();
  for (const { type, data, meta } of intents) {
    const updated = type === 'EndpointUpdateRequested' ? state.endpoints.get(data.endpointId) : undefined;
    if (updated) facts.set(updated.facts.id, endpointAfter(updated, meta.id));
    if (type === 'EndpointJoinRequested') comes.set(data.endpointId, { interface: data.interface, index: null });
    else if (type === 'EndpointLeaveRequested' || type === 'EndpointDeleteRequested') goes.add(data.endpointId);
  }
  return { ...noChanges, comes, goes, facts };
};

/** Everything of the sandbox as a whole, made to be as the view says; with nobody in it, what is empty stays for those who come. */
const viewed = (scene: Scene, view: SandboxView): Effect => {
  const there = scene.present.of('sandbox', view.facts.incarnation);
  if (view.inmates.length > 0) return { ensure: sandboxObjects(scene.deployment, view), remove: there };
  return { ensure: [], remove: there.filter(({ kind }) => kind !== 'netns' && kind !== 'file') };
};

const ending = (scene: Scene, sandbox: SandboxFacts): Effect => {
  const netns = netnsOf(scene.deployment, sandbox);
  if (netns === null) return nothing;
  return { ensure: [], remove: [...scene.present.of('sandbox', sandbox.incarnation), netns] };
};

/** What executing a unit changes. */
export const courseOf = (scene: Scene, unit: Unit): Course => {
  const effects: Effect[] = [];
  let missing: string | null = null;
  for (const intent of unit.intents) {
    const effect = effectOf(scene, intent);
    if ('missing' in effect) missing ??= effect.missing;
    effects.push('missing' in effect ? nothing : effect);
  }
  const course = { ...empty, effects, missing, isMove: isMove(unit) };
  const sandbox = sandboxOf(scene.state, unit);
  if (!sandbox) return course;
  const takes = madeBy(unit).size === 0 && unit.intents.some(isRemoval);
  if (takes && isDeserted(scene.state, sandbox, unit, new Set())) {
    return { ...course, remainder: ending(scene, sandbox), ended: sandbox };
  }
  const view = viewOf(scene, sandbox, changesOf(scene, unit), gatewaysOf(scene, sandbox));
  return { ...course, remainder: viewed(scene, view), view };
};

/** Of a move that is taken back: the endpoints that were to leave, with their places. Those that were not there do not return. */
const returning = ({ state }: Scene, unit: Unit): Changes['comes'] => {
  const comes = new Map<string, { readonly interface: string | null; readonly index: number }>();
  if (!isMove(unit)) return comes;
  for (const { type, data } of unit.intents) {
    if (type !== 'EndpointLeaveRequested') continue;
    const row = state.endpoints.get(data.endpointId);
    if (row?.sandbox?.incarnation !== data.sandbox.incarnation || !networkOf(state, data.networkId)) continue;
    if (row.leave?.joinFailed) continue;
    comes.set(data.endpointId, { interface: data.interface, index: data.before.index });
  }
  return comes;
};

/** What taking back a unit changes that made something, in part or whole or not at all. */
export const takeBack = (scene: Scene, unit: Unit): Course => {
  const { state } = scene;
  const made = madeBy(unit);
  const comes = returning(scene, unit);
  const returned = new Set(comes.keys());
  const effects = unit.intents.map((intent) => {
    // What is not there to return is removed after all.
    const isGone =
      isMove(unit) && isRemoval(intent) && 'endpointId' in intent.data && !returned.has(intent.data.endpointId);
    const effect = isGone ? effectOf(scene, intent) : undoEffectOf(scene, intent);
    return 'missing' in effect ? nothing : effect;
  });
  const course = { ...empty, effects, returned, isMove: isMove(unit) };
  const sandbox = sandboxOf(state, unit);
  if (!sandbox) return course;
  if (made.size > 0 && returned.size === 0 && isDeserted(state, sandbox, unit, made)) {
    return { ...course, remainder: ending(scene, sandbox), ended: sandbox };
  }
  const goes = new Set([...made, ...changesOf(scene, unit).goes].filter((id) => !returned.has(id)));
  const view = viewOf(scene, sandbox, { ...noChanges, comes, goes }, null);
  return { ...course, remainder: viewed(scene, view), view };
};

const isSameOwner = (a: KernelObject, b: KernelObject): boolean =>
  a.tag.entity === b.tag.entity && a.tag.id === b.tag.id;

/** Links of the host that a course stands on. */
export const needsOf = ({ effects }: Course): readonly string[] => [
  ...new Set(effects.flatMap(({ needs = [] }) => needs)),
];

/** What has to change so that a course holds: later effects win over earlier ones. What another incarnation holds is not touched. */
export const operationsOf = ({ effects, remainder }: Course, present: Present): readonly Operation[] => {
  const desired = new Map<string, KernelObject>();
  const touched = new Map<string, KernelObject>();
  for (const { ensure, remove } of [...effects, remainder]) {
    for (const object of remove) {
      touched.set(objectKey(object), object);
      desired.delete(objectKey(object));
    }
    for (const object of ensure) {
      touched.set(objectKey(object), object);
      desired.set(objectKey(object), object);
    }
  }
  const observed = [...touched].flatMap(([key, object]) => {
    const found = present.get(key);
    return found && isSameOwner(found, object) ? [found] : [];
  });
  return diff([...desired.values()], observed);
};

/** Whether an earlier incarnation still holds a place of one that is to be made: its removal failed. */
export const isInTheWay = (operations: readonly Operation[], present: Present): boolean =>
  operations.some(({ op, object }) => {
    // A vlan is taken over from whichever network has it.
    const found = op === 'create' && object.kind !== 'vlan' ? present.get(objectKey(object)) : undefined;
    return found !== undefined && !isSameOwner(found, object);
  });
