/** A log that is an older copy of what was read: what the kernel has beyond it, and what of the open intents is there already. */
import { type KernelObject, objectKey } from '../../drivers/objects.ts';
import type { Census, Kernel } from '../../drivers/port.ts';
import type { EventData } from '../../events/events.ts';
import type { Held } from '../../events/held.ts';
import { formatCidr, parseCidr } from '../../events/ip.ts';
import { isSettled } from '../../events/settled.ts';
import type { BoundaryState } from '../../events/state.ts';
import { bareAddress } from '../../projections/projection.ts';
import type { Logger } from '../lib/logger.ts';
import { emptyRealm, type Realm } from '../lib/realm.ts';
import type { Stream } from '../lib/stream.ts';
import { repairsBut, settledObjects } from './census.ts';
import { type Course, courseOf } from './course.ts';
import type { Scene } from './inmates.ts';
import type { MemoryOfLog, Regress } from './memory-of-log.ts';
import { ownerOf, Present } from './present.ts';
import type { Report } from './reports.ts';
import { openUnits, type Unit } from './units.ts';

/** What the log adds up to, without what is there. */
export type LogScene = Omit<Scene, 'present'>;

const nobody: ReadonlySet<string> = new Set();

/** Objects that the log would have removed, or does not know. */
const strays = (scene: Scene, census: Census): readonly KernelObject[] =>
  repairsBut(scene, census, nobody).flatMap((operation) => {
    if (operation.op === 'delete') return [operation.object];
    return operation.op === 'update' && ownerOf(operation.from.tag) !== ownerOf(operation.object.tag)
      ? [operation.from]
      : [];
  });

/** The network of an interface: that of its bridge, or the only one that stands on its parent. */
const networkOf = (object: KernelObject, bridges: ReadonlyMap<string, string>, state: BoundaryState): string | null => {
  if (object.kind === 'veth') return bridges.get(object.bridge) ?? null;
  if (object.kind !== 'device' || object.source.type === 'moved') return null;
  const { parent } = object.source;
  const on = [...state.networks.values()].filter(({ facts }) => facts.parent?.link === parent);
  return on.length === 1 ? (on[0]?.facts.id ?? null) : null;
};

const isLinkLocal = (address: string): boolean => /^(fe[89ab]|169\.254\.)/i.test(address);

const namesOf = (object: KernelObject): readonly string[] => {
  if (object.kind === 'netns') return [object.path];
  return 'name' in object && object.kind !== 'device' ? [object.name] : [];
};

const addressesOf = (object: KernelObject): readonly string[] => {
  if (object.kind === 'veth') return object.peer.addresses;
  return object.kind === 'device' ? object.addresses : [];
};

const macsOf = (object: KernelObject): readonly string[] => {
  if (object.kind === 'veth') return [object.peer.mac];
  return object.kind === 'device' && object.mac !== null ? [object.mac] : [];
};

/** The subnet of an address with its prefix length, in canonical form. */
const subnetOf = (cidr: string): string => {
  const parsed = parseCidr(cidr)?.cidr;
  return parsed === undefined ? cidr : formatCidr(parsed);
};

const everywhere = { dnat4: '0.0.0.0', dnat6: '::' } as const;

const portsOf = (object: KernelObject): Held['ports'] => {
  if (object.kind !== 'element') return [];
  const { set, key } = object;
  const [hostAddress, protocol, port] =
    set === 'dnat4' || set === 'dnat6' ? [everywhere[set], ...key] : set === 'dnat4ip' || set === 'dnat6ip' ? key : [];
  if (hostAddress === undefined || port === undefined) return [];
  return [{ protocol: protocol as 'tcp', hostAddress, hostPort: Number(port) }];
};

const heldOf = (objects: readonly KernelObject[], networkId: string | null): Held => {
  const { entity, id } = (objects[0] as KernelObject).tag;
  const addresses = objects.flatMap(addressesOf).map(bareAddress);
  return {
    entity,
    id,
    networkId,
    names: objects.flatMap(namesOf),
    addresses: addresses.filter((address) => !isLinkLocal(address)),
    macs: objects.flatMap(macsOf),
    subnets: objects.flatMap((object) => (object.kind === 'bridge' ? object.addresses.map(subnetOf) : [])),
    ports: objects.flatMap(portsOf),
  };
};

/** What the kernel holds that the log does not know, by what it belongs to. */
export const heldIn = (scene: Scene, census: Census): readonly Held[] => {
  const known = settledObjects(scene.state, scene.deployment);
  const bridges = new Map<string, string>();
  for (const object of [...known, ...census.objects])
    if (object.kind === 'bridge') bridges.set(object.name, object.tag.id);
  const owned = new Map<string, KernelObject[]>();
  for (const object of strays(scene, census)) {
    const owner = ownerOf(object.tag);
    owned.set(owner, [...(owned.get(owner) ?? []), object]);
  }
  return [...owned.values()].map((objects) => {
    const networks = objects.flatMap((object) => networkOf(object, bridges, scene.state) ?? []);
    return heldOf(objects, networks[0] ?? null);
  });
};

/** Open intents that the kernel shows to be done: everything that they make is there, and nothing that they remove. */
export const alreadyDone = (
  scene: Scene,
): readonly { readonly unit: Unit; readonly course: Course; readonly makes: boolean }[] =>
  openUnits(scene.state).flatMap((unit) => {
    if (!unit.intents.every((intent) => isSettled(scene.state, intent))) return [];
    const course = courseOf(scene, unit);
    const effects = [...course.effects, course.remainder];
    const isThere = (object: KernelObject): boolean => scene.present.get(objectKey(object))?.tag.id === object.tag.id;
    const ensured = effects.flatMap(({ ensure }) => ensure);
    const keys = new Set(ensured.map(objectKey));
    const removed = effects.flatMap(({ remove }) => remove).filter((object) => !keys.has(objectKey(object)));
    if (course.missing !== null || !ensured.every(isThere) || removed.some(isThere)) return [];
    const makes = ensured.length > 0;
    // What is late and has left nothing behind is over.
    return unit.expired && !makes ? [] : [{ unit, course, makes }];
  });

/** That the log has lost what this host's worker had read; nothing where it is another log, and there is nothing of ours: somebody has begun anew. */
const regressReports = (
  { host, bootId }: Pick<EventData<'HostFacts'>, 'host' | 'bootId'>,
  { seen, found }: Regress,
  scene: LogScene,
  census: Census,
): readonly Report[] => {
  const present = new Present();
  present.replace(census);
  const shown = { ...scene, present };
  const done = alreadyDone(shown).filter(({ makes }) => makes);
  const data = {
    host,
    bootId,
    seen,
    found,
    stopped: census.objects.length > 0 || census.unknown.length > 0,
    held: [...heldIn(shown, census)],
    done: done.flatMap(({ unit }) => unit.intents.map(({ meta }) => meta.id)),
  };
  if (seen.epoch !== found.epoch && !data.stopped) return [];
  return [{ fact: { type: 'LogRegressed', data }, intent: null }];
};

export interface LookBack {
  readonly log: Stream;
  readonly realm: Realm | undefined;
  readonly kernel: Pick<Kernel, 'census'>;
  readonly logger: Logger;
  readonly host: string;
  readonly bootId: string;
  readonly scene: LogScene;
}

/** Whether the log holds what was read of it before; what is to be reported where it does not. */
export const lookBack = async (memory: MemoryOfLog, options: LookBack): Promise<readonly Report[]> => {
  const { log, realm = emptyRealm(), kernel, logger, host, bootId, scene } = options;
  const regress = await memory.compare(log, realm);
  if (regress === null) return [];
  logger.error({ ...regress }, 'the log does not hold what was read of it before');
  return regressReports({ host, bootId }, regress, scene, await kernel.census());
};
