/** Whether a difference is somebody else's doing. Pure. */
import { isDeepStrictEqual } from 'node:util';
import { type KernelObject, objectKey } from '../../drivers/objects.ts';
import type { Census, Operation } from '../../drivers/port.ts';
import { correction, corrections, type Finding } from './drift-finding.ts';
import { busyThings, thingOf } from './drift-scope.ts';
import type { Scene } from './inmates.ts';
import { isUnknown, type Present } from './present.ts';

interface Looked {
  /** What was wanted when the look was asked for. */
  readonly before: ReadonlyMap<string, KernelObject>;
  /** Of these what was looked for. */
  readonly keys: ReadonlySet<string>;
  readonly census: Census;
  /** What is wanted now. */
  readonly now: ReadonlyMap<string, KernelObject>;
  /** Ours, and not wanted then. */
  readonly strays: readonly KernelObject[];
  readonly scene: Scene;
}

export interface Judged {
  /** What is to be done so that what was wanted all the time, with nothing under way about it, is there. */
  readonly operations: readonly Operation[];
  /** Keys of all that was wanted all the time and could be read. */
  readonly settled: ReadonlySet<string>;
}

export const judged = ({ before, keys, census, now, strays, scene }: Looked): Judged => {
  const settled = [...before].flatMap(([key, object]) =>
    keys.has(key) && !isUnknown(census.unknown, object) && isDeepStrictEqual(now.get(key), object) ? [object] : [],
  );
  const busy = busyThings(scene.state);
  const extra = strays.filter((object) => {
    const { id } = object.tag;
    const of = thingOf(scene.state, object.tag);
    const incarnation = of?.sandbox?.incarnation ?? '';
    if (busy.has(id) || busy.has(incarnation) || now.has(objectKey(object))) return false;
    // Known to us, it is a removal that failed: whoever looks at everything sees to it.
    return scene.present.get(objectKey(object)) === undefined;
  });
  return {
    operations: [...corrections(settled, census), ...extra.map((object) => ({ op: 'delete', object }) as const)],
    settled: new Set(settled.map(objectKey)),
  };
};

/** Whether the object was as it should be, as far as we knew: else it is for ourselves to bring it there, and nobody else has changed it. */
export const isNews = (
  operation: Operation,
  present: Pick<Present, 'get'>,
  census: Pick<Census, 'outdated'>,
): boolean => {
  const { op, object } = operation;
  const believed = present.get(objectKey(object));
  if (op === 'delete') return believed === undefined;
  if (census.outdated?.includes(objectKey(object))) return true;
  return believed !== undefined && correction(object, believed) === null;
};

/** Whether it only follows a setting of the host, of which alone is told. */
export const adapted = ({ operations }: Finding, { outdated = [] }: Pick<Census, 'outdated'>): boolean =>
  operations.every(({ object }) => outdated.includes(objectKey(object)));
