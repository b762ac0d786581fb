/** What differs between two moments, row by row and field by field, as data: the changes of a moment applied to one give the other. */
import type { Change } from '../events/past-queries.ts';
import { type ViewName, viewNames } from '../events/queries.ts';
import { isNetwork } from './filter.ts';
import { projections, rowsOf, type ViewRows, type Views } from './views.ts';

type Row = Readonly<Record<string, unknown>>;
type Fields = NonNullable<Change['fields']>;

/** What a question about differences is about when it does not say: what there is, not what was asked for and what is left over. */
export const shownViews = [
  'networks',
  'endpoints',
  'sandboxes',
  'ports',
  'names',
  'addresses',
  'hosts',
  'drivers',
] as const satisfies readonly ViewName[];

export interface DiffScope {
  readonly views: readonly ViewName[];
  /** Name, `HOST/NAME` or id, as it was called in either moment. */
  readonly network?: string;
  readonly host?: string;
}

/** What a row is called where people read it. */
const namers: { readonly [View in ViewName]: (row: ViewRows[View]) => string } = {
  networks: ({ name }) => name,
  endpoints: ({ network, name }) => `${network}/${name}`,
  sandboxes: ({ id }) => id,
  addresses: ({ address }) => address,
  names: ({ network, endpoint }) => `${network}/${endpoint}`,
  ports: ({ hostAddress, hostPort, protocol }) =>
    `${hostAddress.includes(':') ? `[${hostAddress}]` : hostAddress}:${hostPort}/${protocol}`,
  hosts: ({ host }) => host,
  drivers: ({ host, driver }) => `${host}/${driver}`,
  commands: ({ commandid }) => commandid,
  drift: ({ host, kind, name }) => (kind === 'host' ? host : `${host}/${kind} ${name}`),
  garbage: ({ network, endpoint }) => `${network}/${endpoint}`,
  leases: ({ kind, name }) => `${kind} ${name}`,
  parked: ({ position }) => position,
  holds: ({ name }) => name,
  shredded: ({ subject }) => subject,
  quotas: ({ actor }) => actor,
  capacity: ({ host, what, network }) => `${host} ${what}${network === null ? '' : ` of ${network}`}`,
};

const isObject = (value: unknown): value is Row => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Of a field's name, as a JSON pointer has it. */
const toPointer = (name: string): string => name.replaceAll('~', '~0').replaceAll('/', '~1');
const ofPointer = (name: string): string => name.replaceAll('~1', '/').replaceAll('~0', '~');

/** Labels may be called anything. */
const own = (row: Row, name: string): unknown => (Object.hasOwn(row, name) ? row[name] : undefined);

/** Objects field by field, everything else as a whole. A field that is not there is undefined. */
const fieldsBetween = function* (before: Row, after: Row, path: string): Generator<Fields[number]> {
  for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const [left, right] = [own(before, name), own(after, name)];
    if (left === right) continue;
    const here = `${path}/${toPointer(name)}`;
    if (isObject(left) && isObject(right)) yield* fieldsBetween(left, right, here);
    else if (JSON.stringify(left) !== JSON.stringify(right)) yield { path: here, before: left, after: right };
  }
};

type InScope = (view: ViewName, row: Row) => boolean;

const scopeOf = (from: Views, to: Views, { network, host }: DiffScope): InScope => {
  const ids = new Set<string>();
  for (const views of network === undefined ? [] : [from, to]) {
    for (const row of views.rows.networks.values()) {
      if (isNetwork(network ?? '', [row.name, row.id], row.host)) ids.add(row.id);
    }
  }
  const inNetwork: InScope = (view, row) => {
    const { references, refer } = projections[view] as (typeof projections)['networks'];
    return (
      references.includes('network') && refer(row as never, 'network').some((name) => name !== null && ids.has(name))
    );
  };
  // A network of the realm is on every host.
  const onHost = (row: Row): boolean => host === undefined || row.host === host || row.scope === 'realm';
  return (view, row) => onHost(row) && (network === undefined || inNetwork(view, row));
};

const changesOf = function* (view: ViewName, from: Views, to: Views, inScope: InScope): Generator<Change> {
  const left: ReadonlyMap<string, object> = rowsOf(from, view);
  const right: ReadonlyMap<string, object> = rowsOf(to, view);
  const nameOf = namers[view] as (row: object) => string;
  for (const [key, row] of left) {
    if (right.has(key) || !inScope(view, row as Row)) continue;
    yield { view, key, name: nameOf(row), change: 'gone', row: row as Row };
  }
  for (const [key, row] of right) {
    const before = left.get(key);
    if (row === before) continue;
    if (!inScope(view, row as Row) && !(before && inScope(view, before as Row))) continue;
    const name = nameOf(row);
    if (before === undefined) yield { view, key, name, change: 'made', row: row as Row };
    else {
      const fields = [...fieldsBetween(before as Row, row as Row, '')];
      if (fields.length > 0) yield { view, key, name, change: 'changed', fields };
    }
  }
};

/** What has become of the rows of one moment in another, view by view: what is gone first, then what was made or has changed. */
export const diffViews = function* (from: Views, to: Views, scope: DiffScope): Generator<Change> {
  const inScope = scopeOf(from, to, scope);
  for (const view of viewNames) if (scope.views.includes(view)) yield* changesOf(view, from, to, inScope);
};

/** The row with a field set, or taken out where the value is undefined. */
const withField = (row: Row, [name = '', ...rest]: readonly string[], value: unknown): Row => {
  if (rest.length > 0) return { ...row, [name]: withField(own(row, name) as Row, rest, value) };
  const { [name]: _before, ...others } = row;
  return value === undefined ? others : { ...row, [name]: value };
};

const changed = (row: Row, fields: Fields): Row =>
  fields.reduce((before, { path, after }) => withField(before, path.slice(1).split('/').map(ofPointer), after), row);

/** Puts the rows of one moment to what they are in another. Rows keep their place, and new ones come last. @throws RangeError for changes of other rows */
export const applyChanges = (rows: Views['rows'], changes: Iterable<Change>): void => {
  for (const { view, key, change, row, fields } of changes) {
    const map = rows[view] as Map<string, unknown>;
    if (map.has(key) !== (change !== 'made')) throw new RangeError(`${view} ${key} cannot be ${change}`);
    if (change === 'gone') map.delete(key);
    else map.set(key, change === 'made' ? row : changed(map.get(key) as Row, fields ?? []));
  }
};
