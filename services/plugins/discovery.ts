/**
 * Which plugins there are, by the files in their directories. A name is looked up in Docker's order: sockets `<dir>/<name>.sock` and
 * `<dir>/<name>/<name>.sock`, then in each directory of specs `<name>.spec`, `<name>/<name>.spec`, `<name>.json`, `<name>/<name>.json`.
 */
import { readdirSync, readFileSync, type Stats, statSync } from 'node:fs';
import { join } from 'node:path';
import { type AddressRead, readJson, readSpec } from './address.ts';

export interface Directories {
  readonly sockets: readonly string[];
  readonly specs: readonly string[];
}

/** A file that says where a plugin is. */
export interface Found {
  readonly file: string;
  /** Changes when the file does, and when another takes its place: a plugin that began anew has another socket. */
  readonly version: string;
  readonly read: AddressRead;
}

/** What may stand in a path, and in the name of a driver. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;
const isPluginName = (name: string): boolean => NAME.test(name);

const statOf = (file: string): Stats | null => {
  try {
    return statSync(file);
  } catch {
    return null; // not there, or not for us to see: no plugin either way
  }
};

const readOf = (file: string, read: (text: string) => AddressRead): AddressRead => {
  try {
    return read(readFileSync(file, 'utf8'));
  } catch (error) {
    return { ok: false, problem: error instanceof Error ? error.message : String(error) };
  }
};

const kinds = {
  '.sock': {
    is: (stats: Stats) => stats.isSocket(),
    read: (file: string): AddressRead => ({ ok: true, address: { kind: 'unix', path: file } }),
  },
  '.spec': { is: (stats: Stats) => stats.isFile(), read: (file: string) => readOf(file, readSpec) },
  '.json': { is: (stats: Stats) => stats.isFile(), read: (file: string) => readOf(file, readJson) },
} as const;
type Suffix = keyof typeof kinds;

const isOne = (file: string, suffix: Suffix): boolean => {
  const stats = statOf(file);
  return stats !== null && kinds[suffix].is(stats);
};

const places = ({ sockets, specs }: Directories): readonly (readonly [string, Suffix])[] => [
  ...sockets.map((directory) => [directory, '.sock'] as const),
  ...specs.flatMap((directory) => [[directory, '.spec'] as const, [directory, '.json'] as const]),
];

/** Where the plugin is, by the first file that there is; null: none. */
export const findPlugin = (directories: Directories, name: string): Found | null => {
  if (!isPluginName(name)) return null;
  for (const [directory, suffix] of places(directories)) {
    for (const file of [join(directory, `${name}${suffix}`), join(directory, name, `${name}${suffix}`)]) {
      const stats = statOf(file);
      if (stats === null || !kinds[suffix].is(stats)) continue;
      return { file, version: `${file} ${stats.ino} ${stats.mtimeMs}`, read: kinds[suffix].read(file) };
    }
  }
  return null;
};

const entriesOf = (directory: string): readonly string[] => {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
};

/** The names that the directories hold, sorted; nobody is asked for it. A file that cannot be read as an address counts too. */
export const pluginNames = (directories: Directories): readonly string[] => {
  const candidates = places(directories).flatMap(([directory, suffix]) =>
    entriesOf(directory).map((entry) => (entry.endsWith(suffix) ? entry.slice(0, -suffix.length) : entry)),
  );
  return [...new Set(candidates)].filter((name) => findPlugin(directories, name) !== null).sort();
};

/** A file of a plugin directory that no plugin is found by. */
export interface Stray {
  readonly file: string;
  /** Why it is no plugin. */
  readonly why: string;
  /** It is called as plugins are. */
  readonly isMeant: boolean;
}

const suffixes = Object.keys(kinds) as readonly Suffix[];

/** What stands against a plugin being found by this entry; null: one is, or it is a directory that has nothing to do with plugins. */
const whyStray = (
  directory: string,
  entry: string,
  looked: readonly Suffix[],
): Pick<Stray, 'why' | 'isMeant'> | null => {
  const file = join(directory, entry);
  const stats = statOf(file);
  const suffix = suffixes.find((one) => entry.endsWith(one));
  if (stats?.isDirectory()) {
    if (looked.some((one) => isOne(join(file, `${entry}${one}`), one)) && isPluginName(entry)) return null;
    return { why: `no ${looked.map((one) => `${entry}${one}`).join(' or ')} in it`, isMeant: false };
  }
  if (suffix === undefined || !looked.includes(suffix))
    return { why: `plugins end in ${looked.join(' or ')} here`, isMeant: suffix !== undefined };
  if (stats === null) return { why: 'it leads nowhere, or is not for us to see', isMeant: true };
  if (!kinds[suffix].is(stats)) return { why: suffix === '.sock' ? 'it is no socket' : 'it is no file', isMeant: true };
  if (isPluginName(entry.slice(0, -suffix.length))) return null;
  return { why: `a name of a plugin is ${NAME.source}`, isMeant: true };
};

/** What lies in the directories and no plugin is found by, in the order of the directories. */
export const strayFiles = (directories: Directories): readonly Stray[] => {
  const looked = new Map<string, Suffix[]>();
  for (const [directory, suffix] of places(directories))
    looked.set(directory, [...(looked.get(directory) ?? []), suffix]);
  return [...looked].flatMap(([directory, own]) =>
    entriesOf(directory)
      .toSorted()
      .flatMap((entry) => {
        const stray = whyStray(directory, entry, own);
        return stray === null ? [] : [{ file: join(directory, entry), ...stray }];
      }),
  );
};
