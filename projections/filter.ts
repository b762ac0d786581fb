/** Filters of queries over views: which rows pass, and what is wrong with a filter. */
import type { ViewName } from '../events/queries.ts';
import type { Projection } from './projection.ts';
import { projections, rowsOf, type Views } from './views.ts';

/** Values by name; of a list one, but of the names in `allOf` all. */
export type Filter = Readonly<Record<string, string | readonly string[]>>;

/** A thing has many labels, so that several are asked for together; of everything else it has one. */
const allOf: ReadonlySet<string> = new Set(['label']);

/** People write names of networks and endpoints in any case; what a caller calls its sandbox stands as it is. */
const caseless: ReadonlySet<string> = new Set(['network', 'endpoint']);

/** Whether a thing that goes by these names is meant. `HOST/NAME` names a network on that host. */
export const isMeant = (
  reference: string,
  wanted: string,
  names: readonly (string | null)[],
  host: string | null,
): boolean => {
  const slash = reference === 'network' ? wanted.indexOf('/') : -1;
  if (slash >= 0 && wanted.slice(0, slash) !== host) return false;
  const name = wanted.slice(slash + 1);
  if (!caseless.has(reference)) return names.includes(name);
  const lower = name.toLowerCase();
  return names.some((known) => known !== null && known.toLowerCase() === lower);
};

/** Whether a network goes by this name. One of the realm (without a host) is on every host, so that any may stand in front. */
export const isNetwork = (wanted: string, names: readonly string[], host: string | null): boolean =>
  isMeant('network', host ? wanted : wanted.slice(wanted.indexOf('/') + 1), names, host);

interface Fields {
  readonly [field: string]: unknown;
  readonly host?: string | null;
}

/** A network of the realm is on every host that there is. */
const isEverywhere = ({ rows }: Views, row: Fields, host: string): boolean =>
  row.scope === 'realm' && rows.hosts.has(host);

const textOf = (value: unknown): string => (value === null || value === undefined ? '' : String(value));

const fieldIs = (value: unknown, wanted: string): boolean =>
  Array.isArray(value) ? value.some((item) => textOf(item) === wanted) : textOf(value) === wanted;

/** Names that a view's filter knows. */
export const filterNames = (view: ViewName): readonly string[] => [
  ...new Set([...projections[view].fields, ...projections[view].references]),
];

/** Names in a filter that mean nothing to this view. */
export const unknownNames = (view: ViewName, filter: Filter): readonly string[] => {
  const known = filterNames(view);
  return Object.keys(filter).filter((name) => !known.includes(name));
};

/** Ids of the networks that are meant: rows of commands name the networks of their endpoints by id alone. */
const idsMeant = (views: Views, wanted: string): ReadonlySet<string> => {
  const ids = new Set<string>();
  for (const { id, name, host } of views.rows.networks.values()) {
    if (isMeant('network', wanted, [name, id], host)) ids.add(id);
  }
  return ids;
};

type Test = (row: Fields) => boolean;

const testOfOne = (views: Views, projection: Projection<object>, name: string, wanted: string): Test => {
  if (name === 'host') return (row) => fieldIs(row.host, wanted) || isEverywhere(views, row, wanted);
  if (!projection.references.includes(name)) return (row) => fieldIs(row[name], wanted);
  const ids = name === 'network' ? idsMeant(views, wanted) : null;
  const [from] = wanted.split('/', 1);
  return (row) => {
    const names = projection.refer(row, name);
    const host = from !== undefined && isEverywhere(views, row, from) ? from : (row.host ?? null);
    return isMeant(name, wanted, names, host) || names.some((id) => id !== null && ids?.has(id) === true);
  };
};

const testOf = (views: Views, projection: Projection<object>, name: string, wanted: Filter[string]): Test => {
  if (typeof wanted === 'string') return testOfOne(views, projection, name, wanted);
  const tests = wanted.map((one) => testOfOne(views, projection, name, one));
  return allOf.has(name) ? (row) => tests.every((test) => test(row)) : (row) => tests.some((test) => test(row));
};

/** What a filter says with one value: only that can name a row's key. */
const singles = (filter: Filter): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(filter).filter((entry): entry is [string, string] => typeof entry[1] === 'string'));

/** The rows that pass a filter, with their keys, in the view's order. Complexity: one row where the filter names its key, else all. */
export const selectRows = function* (
  views: Views,
  view: ViewName,
  filter: Filter,
): Generator<readonly [string, object]> {
  const projection: Projection<object> = projections[view];
  const rows: ReadonlyMap<string, object> = rowsOf(views, view);
  const tests = Object.entries(filter).map(([name, wanted]) => testOf(views, projection, name, wanted));
  const passes = (row: object): boolean => tests.every((test) => test(row as Fields));
  const key = projection.keyOf?.(singles(filter), rows);
  if (key !== undefined) {
    const row = rows.get(key);
    if (row && passes(row)) yield [key, row];
    return;
  }
  for (const entry of rows) if (passes(entry[1])) yield entry;
};
