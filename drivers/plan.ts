/** The shared planner: what must be done so that `observed` becomes `desired`. Pure. */
import { type DeviceSource, type Element, type KernelObject, objectKey } from './objects.ts';
import type { Operation } from './port.ts';

/** Order of creation; deletion goes the other way, so nothing is removed under what stands on it. */
const rank = {
  netns: 0,
  bridge: 1,
  vxlan: 2,
  stub: 2,
  vlan: 3,
  file: 4,
  element: 5,
  veth: 6,
  device: 6,
  resolver: 7,
  route: 8,
} as const;

/** Whether `a` is as `b` wants it: what is null there is left to others, and what was done at birth is not seen. */
const sameState = (a: unknown, b: unknown): boolean => {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((value, index) => b[index] === null || sameState(value, b[index]));
  const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>];
  const keys = Object.keys(left);
  return (
    keys.length === Object.keys(right).length &&
    keys.every((key) => key === 'birth' || right[key] === null || sameState(left[key], right[key]))
  );
};

/** What has to be done so that one object, found under its key or not, is as wanted; null: nothing. */
export const correctionOf = (wanted: KernelObject, found: KernelObject | undefined): Operation | null => {
  if (found === undefined) return { op: 'create', object: wanted };
  return sameState(found, wanted) ? null : { op: 'update', from: found, object: wanted };
};

const byRank = (a: Operation, b: Operation): number => rank[a.object.kind] - rank[b.object.kind];

/**
 * Deletions first (a name or address may move to another object), then creations and changes.
 * Complexity: one pass over both lists.
 */
export const diff = (desired: readonly KernelObject[], observed: readonly KernelObject[]): readonly Operation[] => {
  const wanted = new Map(desired.map((object) => [objectKey(object), object]));
  const present = new Map(observed.map((object) => [objectKey(object), object]));
  const deletions: Operation[] = [];
  const changes: Operation[] = [];
  for (const [key, object] of present) if (!wanted.has(key)) deletions.push({ op: 'delete', object });
  for (const [key, object] of wanted) {
    const change = correctionOf(object, present.get(key));
    if (change !== null) changes.push(change);
  }
  return inOrder([...deletions, ...changes]);
};

/** Deletions first, under which nothing is left standing; then creations and changes, each behind what it stands on. */
export const inOrder = (operations: readonly Operation[]): readonly Operation[] => {
  const [deletions, changes] = [
    operations.filter(({ op }) => op === 'delete'),
    operations.filter(({ op }) => op !== 'delete'),
  ];
  return [...deletions.sort((a, b) => byRank(b, a)), ...changes.sort(byRank)];
};

const describeElement = ({ key, data }: Element): string =>
  [key, data].flatMap((fields) => (fields.length === 0 ? [] : [fields.join(' . ')])).join(' : ');

const describeSource = (source: DeviceSource): string =>
  source.type === 'moved' ? source.type : `${source.type} ${source.mode} over ${source.parent}`;

/** An object as a person reads it, in one line. */
export const describe = (object: KernelObject): string => {
  switch (object.kind) {
    case 'netns':
      return `netns ${object.path}${object.owned ? '' : ' (brought, kept)'}`;
    case 'bridge':
      return `bridge ${object.name} mac ${object.mac} mtu ${object.mtu} ${object.addresses.join(' ')}`;
    case 'vxlan':
      return `vxlan ${object.name} vni ${object.vni} from ${object.local} port ${object.port} on ${object.bridge} mtu ${object.mtu}`;
    case 'vlan':
      return `vlan ${object.name} id ${object.id} over ${object.parent}`;
    case 'stub':
      return `stub ${object.name} mtu ${object.mtu}`;
    case 'device':
      return `device ${object.name} ${describeSource(object.source)} ${object.addresses.join(' ')} in ${object.netns}`;
    case 'veth':
      return `veth ${object.name} on ${object.bridge}${object.isolated ? ' isolated' : ''} peer ${object.peer.name} mac ${object.peer.mac} ${object.peer.addresses.join(' ')} in ${object.netns}`;
    case 'route':
      return `route ${object.destination}${object.gateway === '' ? '' : ` via ${object.gateway}`} dev ${object.device} in ${object.netns}`;
    case 'element':
      return `nft element ${object.set} { ${describeElement(object)} }`;
    case 'file':
      return `file ${object.path}`;
    case 'resolver':
      return `resolver at port ${object.port} in ${object.netns}`;
    default:
      return object satisfies never;
  }
};

/** A plan as a person reads it, one line an operation: the dry run. */
export const printPlan = (operations: readonly Operation[]): string =>
  operations
    .map((operation) => `${{ create: '+', delete: '-', update: '~' }[operation.op]} ${describe(operation.object)}`)
    .join('\n');
