/** What executing a unit, or taking it back, comes to as a whole. Pure. */
import type { Effect } from '../../drivers/driver.ts';
import { type KernelObject, objectKey } from '../../drivers/objects.ts';
import { diff } from '../../drivers/plan.ts';
import type { Operation } from '../../drivers/port.ts';
import type { Gateways, SandboxFacts } from '../../events/events.ts';
import type { BoundaryState } from '../../events/state.ts';
import { effectOf, electedRoutes, nothing, remainderEffect, type Scene, undoEffectOf } from './effects.ts';
import type { Present } from './present.ts';
import { sandboxOf, type Unit } from './units.ts';

export interface Course {
  /** Of each intent, in order. */
  readonly effects: readonly Effect[];
  /** Of the sandbox that endpoints join or leave. */
  readonly remainder: Effect;
  /** What the unit stands on and is not there. */
  readonly missing: string | null;
  /** The sandbox that ends with it. */
  readonly ended: SandboxFacts | null;
}

const noGateways: Gateways = { ipv4: null, ipv6: null };

/** Endpoints that a unit makes or puts into a sandbox. */
const madeBy = ({ intents }: Unit): ReadonlySet<string> =>
  new Set(
    intents.flatMap((intent) => {
      if (intent.type === 'EndpointCreateRequested') return [intent.data.endpoint.id];
      return intent.type === 'EndpointJoinRequested' ? [intent.data.endpointId] : [];
    }),
  );

/**
 * Whether nobody is in a sandbox any more, nor about to be, apart from these endpoints. Decided anew, since of those that were to
 * stay when a leave was decided some may have failed to join.
 * Complexity: the open intents, where the sandbox has no other members.
 */
const isDeserted = (
  state: BoundaryState,
  { incarnation }: SandboxFacts,
  unit: Unit,
  apart: ReadonlySet<string>,
): boolean => {
  if (unit.intents.some((intent) => intent.type === 'EndpointLeaveRequested' && intent.data.last)) return true;
  if (state.sandboxes.get(incarnation)?.members.some((id) => !apart.has(id))) return false;
  const own = new Set(unit.intents.map(({ meta }) => meta.id));
  for (const { type, data, meta } of state.intents.values()) {
    if (type !== 'EndpointJoinRequested' && type !== 'EndpointLeaveRequested') continue;
    if (data.sandbox.incarnation === incarnation && !own.has(meta.id)) return false;
  }
  return true;
};

const gatewaysAfter = (state: BoundaryState, sandbox: SandboxFacts, unit: Unit): Gateways => {
  const last = unit.intents.findLast(
    ({ type }) => type === 'EndpointJoinRequested' || type === 'EndpointLeaveRequested',
  );
  if (last && 'gateways' in last.data) return last.data.gateways;
  return state.sandboxes.get(sandbox.incarnation)?.gateways ?? noGateways;
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
  const sandbox = sandboxOf(scene.state, unit);
  if (!sandbox) return { effects, remainder: nothing, missing, ended: null };
  const gateways = gatewaysAfter(scene.state, sandbox, unit);
  if (madeBy(unit).size > 0) {
    // With a join, one that was there before may be elected: after the former carrier had failed.
    const remainder = { ensure: electedRoutes(scene, sandbox, gateways), remove: [] };
    return { effects, remainder, missing, ended: null };
  }
  const ends = isDeserted(scene.state, sandbox, unit, new Set());
  const remainder = remainderEffect(scene, sandbox, ends, gateways);
  return { effects, remainder, missing, ended: ends ? sandbox : null };
};

/** What taking back a unit changes that made something, in part or whole or not at all. */
export const takeBack = (scene: Scene, unit: Unit): Course => {
  const effects = unit.intents.map((intent) => undoEffectOf(scene, intent));
  const sandbox = sandboxOf(scene.state, unit);
  const made = madeBy(unit);
  if (!sandbox || made.size === 0) return { effects, remainder: nothing, missing: null, ended: null };
  const ends = isDeserted(scene.state, sandbox, unit, made);
  const gateways = scene.state.sandboxes.get(sandbox.incarnation)?.gateways ?? noGateways;
  const without = (id: string | null): string | null => (id !== null && made.has(id) ? null : id);
  const others = { ipv4: without(gateways.ipv4), ipv6: without(gateways.ipv6) };
  const remainder = remainderEffect(scene, sandbox, ends, others);
  return { effects, remainder, missing: null, ended: ends ? sandbox : null };
};

const isSameOwner = (a: KernelObject, b: KernelObject): boolean =>
  a.tag.entity === b.tag.entity && a.tag.id === b.tag.id;

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
    const found = op === 'create' ? present.get(objectKey(object)) : undefined;
    return found !== undefined && !isSameOwner(found, object);
  });
