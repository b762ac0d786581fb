/** What differs from what is wanted, by the thing whose it is. Pure. */
import { type KernelObject, objectKey } from '../../drivers/objects.ts';
import { correctionOf } from '../../drivers/plan.ts';
import type { Census, Operation } from '../../drivers/port.ts';
import type { DriftChange, DriftThing } from '../../events/events.ts';
import type { BoundaryState } from '../../events/state.ts';
import { policyOf, thingKey, thingOf } from './drift-scope.ts';
import { changeOf } from './drift-text.ts';

export interface Finding {
  readonly key: string;
  readonly of: DriftThing;
  readonly policy: 'repair' | 'report';
  readonly operations: readonly Operation[];
  readonly changes: readonly DriftChange[];
}

/** A vlan carries the tag of whichever network had it last. */
const asShared = (wanted: KernelObject, found: KernelObject | undefined): KernelObject | undefined =>
  wanted.kind === 'vlan' && found ? ({ ...found, tag: wanted.tag } as KernelObject) : found;

/** What has to be done so that one object is as wanted; null: nothing. */
export const correction = (wanted: KernelObject, found: KernelObject | undefined): Operation | null =>
  correctionOf(wanted, asShared(wanted, found));

/** Of what is wanted, and could be read, what is not so. */
export const corrections = (wanted: Iterable<KernelObject>, census: Census): readonly Operation[] => {
  const observed = new Map(census.objects.map((object) => [objectKey(object), object]));
  const found: Operation[] = [];
  for (const object of wanted) {
    const operation = correction(object, observed.get(objectKey(object)));
    if (operation !== null) found.push(operation);
  }
  return found;
};

export const objectsOf = (operations: readonly Operation[]): readonly KernelObject[] =>
  operations.map(({ object }) => object);

/** By thing, in the order in which they come. What belongs to nothing any more is left out. */
export const findingsOf = (
  state: BoundaryState,
  operations: readonly Operation[],
  census: Pick<Census, 'remarks'>,
): readonly Finding[] => {
  const found = new Map<string, { of: DriftThing; operations: Operation[] }>();
  for (const operation of operations) {
    const of = thingOf(state, operation.object.tag);
    if (of === null) continue;
    const known = found.get(thingKey(of));
    if (known) known.operations.push(operation);
    else found.set(thingKey(of), { of, operations: [operation] });
  }
  return [...found].map(([key, { of, operations: own }]) => ({
    key,
    of,
    policy: policyOf(state, of),
    operations: own,
    changes: own.map((operation) => changeOf(operation, census)),
  }));
};

/** Links that are left as they are: nothing can lead over them. */
const leftLinks = (left: readonly Operation[]): ReadonlySet<string> =>
  new Set(
    left.flatMap(({ object }) => {
      if (object.kind === 'veth') return [`${object.netns} ${object.peer.name}`];
      return object.kind === 'device' ? [`${object.netns} ${object.name}`] : [];
    }),
  );

/** Without routes over what is left. */
export const standing = (operations: readonly Operation[], left: readonly Operation[]): readonly Operation[] => {
  const links = leftLinks(left);
  if (links.size === 0) return operations;
  return operations.filter(({ object }) => object.kind !== 'route' || !links.has(`${object.netns} ${object.device}`));
};
