/** What exists in the kernel, as far as the worker has made or seen it: a copy, so that plans need not ask the kernel. */
import { type Device, type KernelObject, objectKey, type Tag, type Veth, type Vxlan } from '../../drivers/objects.ts';
import type { Census, Operation } from '../../drivers/port.ts';

/** The namespace that an object is, or is in. */
export const pathOf = (object: KernelObject): string | null =>
  object.kind === 'netns' ? object.path : 'netns' in object ? object.netns : null;

/** Whether a census left it open if an object is there: it, what it lies in, or everything of its kind could not be read. */
export const isUnknown = (unknown: Census['unknown'], object: KernelObject): boolean => {
  const key = objectKey(object);
  const path = pathOf(object);
  return unknown.some(({ what }) => {
    if (what === key) return true;
    // `link `: everything of a kind.
    if (what.endsWith(' ')) return key.startsWith(what);
    const place = what.startsWith('netns /') ? what.slice('netns '.length) : what;
    if (place.startsWith('/')) return path === place || path?.startsWith(`${place}/`) === true;
    return !/^(link|device|route|element|file|resolver) /.test(what);
  });
};

/** The name of an interface inside its sandbox. */
export const deviceName = (object: Veth | Device): string => (object.kind === 'veth' ? object.peer.name : object.name);

const isInterface = (object: KernelObject | undefined): object is Veth | Device =>
  object?.kind === 'veth' || object?.kind === 'device';

export const ownerOf = ({ entity, id }: Pick<Tag, 'entity' | 'id'>): string => `${entity} ${id}`;

const add = (index: Map<string, Set<string>>, at: string, key: string): void => {
  const keys = index.get(at);
  if (keys) keys.add(key);
  else index.set(at, new Set([key]));
};

const remove = (index: Map<string, Set<string>>, at: string, key: string): void => {
  const keys = index.get(at);
  keys?.delete(key);
  if (keys?.size === 0) index.delete(at);
};

export class Present {
  readonly #objects = new Map<string, KernelObject>();
  readonly #keysByOwner = new Map<string, Set<string>>();
  /** By path of the namespace that they are in. */
  readonly #interfaceKeys = new Map<string, Set<string>>();
  readonly #vethsByBridge = new Map<string, Set<string>>();
  readonly #tunnelKeys = new Set<string>();

  get(key: string): KernelObject | undefined {
    return this.#objects.get(key);
  }

  /** The tunnels to other hosts. */
  tunnels(): readonly Vxlan[] {
    return [...this.#tunnelKeys].flatMap((key) => {
      const object = this.#objects.get(key);
      return object?.kind === 'vxlan' ? [object] : [];
    });
  }

  /** Whether an endpoint's interface is a port of this bridge. */
  isInUse(bridge: string): boolean {
    return this.#vethsByBridge.has(bridge);
  }

  /** Everything that carries the tag of this network, endpoint or sandbox. */
  of(entity: Tag['entity'], id: string): readonly KernelObject[] {
    const keys = this.#keysByOwner.get(ownerOf({ entity, id })) ?? [];
    return [...keys].flatMap((key) => this.#objects.get(key) ?? []);
  }

  /** The interfaces of endpoints that are in a namespace. */
  interfacesIn(path: string): readonly (Veth | Device)[] {
    return [...(this.#interfaceKeys.get(path) ?? [])].flatMap((key) => {
      const object = this.#objects.get(key);
      return isInterface(object) ? [object] : [];
    });
  }

  /** What a plan that succeeded has changed. */
  apply(operations: readonly Operation[]): void {
    for (const { op, object } of operations) {
      if (op === 'delete') this.#drop(objectKey(object));
      else this.#put(object);
    }
  }

  /** As it is now, to compare with later. */
  copy(): Pick<Present, 'get'> {
    return new Map(this.#objects);
  }

  /** What was found to differ, and stays so: what these operations would change is there as they say it is. */
  see(operations: readonly Operation[]): void {
    for (const operation of operations) {
      if (operation.op === 'create') this.#drop(objectKey(operation.object));
      else this.#put(operation.op === 'update' ? operation.from : operation.object);
    }
  }

  /** What a census has found. What it could not read is as it was, which is not absent. */
  replace(census: Census): void {
    const unread = [...this.#objects.values()].filter((object) => isUnknown(census.unknown, object));
    this.#objects.clear();
    this.#keysByOwner.clear();
    this.#interfaceKeys.clear();
    this.#vethsByBridge.clear();
    this.#tunnelKeys.clear();
    for (const object of [...unread, ...census.objects]) this.#put(object);
  }

  #put(object: KernelObject): void {
    const key = objectKey(object);
    this.#drop(key);
    this.#objects.set(key, object);
    add(this.#keysByOwner, ownerOf(object.tag), key);
    if (isInterface(object)) add(this.#interfaceKeys, object.netns, key);
    if (object.kind === 'veth') add(this.#vethsByBridge, object.bridge, key);
    if (object.kind === 'vxlan') this.#tunnelKeys.add(key);
  }

  #drop(key: string): void {
    const object = this.#objects.get(key);
    if (!object) return;
    this.#objects.delete(key);
    remove(this.#keysByOwner, ownerOf(object.tag), key);
    if (isInterface(object)) remove(this.#interfaceKeys, object.netns, key);
    if (object.kind === 'veth') remove(this.#vethsByBridge, object.bridge, key);
    this.#tunnelKeys.delete(key);
  }
}
