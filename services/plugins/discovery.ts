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
export const isPluginName = (name: string): boolean => NAME.test(name);

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
