/** What others do to a machine with the tools of the machine: take away what is ours, and put theirs where ours is to be. */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { type KernelObject, objectKey } from '../../drivers/objects.ts';
import type { Plan } from '../../drivers/port.ts';
import { sh } from './netns.ts';

const quietly = (command: string): string => sh(`${command} 2>/dev/null || true`);
const within = (netns: string, command: string): string => `nsenter --net=${netns} ${command}`;

/** Takes an object away, as far as it is there. Elements cannot be: the table has an owner. */
export const destroy = (object: KernelObject): void => {
  switch (object.kind) {
    case 'bridge':
    case 'vxlan':
    case 'vlan':
    case 'stub':
    case 'veth':
      quietly(`ip link del ${object.name}`);
      return;
    case 'device':
      quietly(within(object.netns, `ip link del ${object.name}`));
      return;
    case 'route':
      quietly(within(object.netns, `ip route del ${object.destination} dev ${object.device}`));
      return;
    case 'resolver':
      quietly(within(object.netns, `nft delete table inet cnm_${object.tag.realm}_${object.tag.host}_resolver`));
      return;
    case 'netns':
      if (object.owned) quietly(`umount ${object.path}; rm ${object.path}`);
      return;
    case 'file':
      rmSync(object.path, { force: true });
      return;
    case 'element':
      return;
    default:
      object satisfies never;
  }
};

/** Something of others where an object is to be: how they put it there, whether it still is, and how they take it away. */
export interface Rival {
  readonly name: string;
  put(): void;
  isThere(): boolean;
  remove(): void;
}

const link = (name: string, prefix: string): Rival => ({
  name,
  put: () => void sh(`${prefix} ip link add ${name} type bridge; ${prefix} ip link set ${name} alias others`),
  isThere: () => quietly(`${prefix} ip -d link show ${name}`).includes('alias others'),
  remove: () => void sh(`${prefix} ip link del ${name}`),
});

const file = (path: string): Rival => {
  const directory = dirname(path);
  let made: string | undefined;
  return {
    name: path,
    put: () => {
      made = mkdirSync(directory, { recursive: true });
      writeFileSync(path, 'of others');
    },
    isThere: () => existsSync(path) && sh(`cat ${path}`) === 'of others',
    remove: () => {
      rmSync(path);
      if (made !== undefined) rmSync(made, { recursive: true });
    },
  };
};

/** What may be in the way of an object; null where nothing of others can be, or its namespace is not there yet. */
export const rivalOf = (object: KernelObject): Rival | null => {
  switch (object.kind) {
    case 'bridge':
    case 'vxlan':
    case 'vlan':
    case 'stub':
    case 'veth':
      return link(object.name, '');
    case 'netns':
      return object.owned ? file(object.path) : null;
    case 'file':
      return file(object.path);
    case 'device':
      return existsSync(object.netns) ? link(object.name, `nsenter --net=${object.netns}`) : null;
    case 'route':
    case 'resolver':
    case 'element':
      return null;
    default:
      return object satisfies never;
  }
};

/** Of a plan what is made where nothing of its key is deleted before. */
export const madeBy = ({ operations }: Plan): readonly KernelObject[] => {
  const deleted = new Set(operations.flatMap(({ op, object }) => (op === 'delete' ? [objectKey(object)] : [])));
  return operations.flatMap(({ op, object }) => (op === 'create' && !deleted.has(objectKey(object)) ? [object] : []));
};

/** Some of the items, as bits say. */
const chosen = <T>(items: readonly T[], bits: number): readonly T[] => items.filter((_, at) => (bits >> (at % 30)) & 1);

/** Each alone, all, and some more subsets, always the same. */
export const subsets = <T>(items: readonly T[], more: number): readonly (readonly T[])[] => [
  ...items.map((item) => [item]),
  items,
  ...Array.from({ length: more }, (_, at) => chosen(items, Math.imul(at + 1, 0x9e3779b1) >>> 0)),
];
