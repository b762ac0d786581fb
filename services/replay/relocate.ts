/** What a host had at its own paths, at paths below another directory, where all of it is ours. Pure. */
import type { KernelObject } from '../../drivers/objects.ts';

export interface Relocation {
  /** Run directory of the worker whose objects they were. */
  readonly from: string;
  /** The one that takes its place. */
  readonly to: string;
}

/** Two paths never become one: a worker's are in `netns/` and `files/`, and what lay elsewhere, as callers' namespaces do, is in `elsewhere/`. */
export const relocatePath = ({ from, to }: Relocation, path: string): string =>
  path.startsWith(`${from}/`) ? `${to}/${path.slice(from.length + 1)}` : `${to}/elsewhere${path}`;

export const relocate = (relocation: Relocation, object: KernelObject): KernelObject => {
  switch (object.kind) {
    case 'netns':
      // Whoever brought it is not here: it is made.
      return { ...object, path: relocatePath(relocation, object.path), owned: true };
    case 'file':
      return { ...object, path: relocatePath(relocation, object.path) };
    case 'veth':
    case 'device':
    case 'route':
    case 'resolver':
      return { ...object, netns: relocatePath(relocation, object.netns) };
    case 'bridge':
    case 'vxlan':
    case 'vlan':
    case 'stub':
    case 'element':
      return object;
    default:
      return object satisfies never;
  }
};
