/** `ls` and `inspect` over a view: the same for every noun. */
import type { QueryInput, ViewName } from '../../events/queries.ts';
import type { ViewRows } from '../../projections/views.ts';
import type { Client } from '../client/index.ts';
import { NotFound, printJson, withClient } from './context.ts';
import { type Call, listOptions, type Options, type Spec } from './spec.ts';
import { type Column, renderTable } from './table.ts';
import { parseMoment, splitName } from './values.ts';

/** `--as-of` as a query's field. */
export const asOfOf = (call: Call): Pick<QueryInput, 'asOf'> => {
  const text = call.text('as-of');
  return text === undefined ? {} : { asOf: parseMoment(text) };
};

/** Nothing on a host that there is not, or in a network, is no answer. @throws NotFound */
const expect = async (client: Client, call: Call, host: string | undefined, network?: string): Promise<void> => {
  const on = network === undefined ? host : splitName(network, host).host;
  const at = asOfOf(call);
  if (on !== undefined && (await client.hosts({ ...at, filter: { host: on } })).rows.length === 0)
    throw new NotFound(`there is no host ${on}`, 'See `cnm host ls`.');
  if (network !== undefined && (await client.networks({ ...at, filter: { network } })).rows.length === 0)
    throw new NotFound(`there is no network ${network}`, 'See `cnm network ls`.');
};

export interface Listing<View extends ViewName> {
  readonly view: View;
  readonly path: string;
  readonly summary: string;
  /** Optional arguments, each a name of the view's filter. */
  readonly args?: Readonly<Record<string, string>>;
  readonly columns: readonly Column<ViewRows[View]>[];
  /** Options of its own, and what they ask for. */
  readonly options?: Options;
  readonly narrow?: (call: Call) => Narrowing<ViewRows[View]>;
  /** Its rows are of no host. */
  readonly hostless?: true;
}

/** What is asked of the view, and what no query can say. */
export interface Narrowing<Row> {
  readonly filter: NonNullable<QueryInput['filter']>;
  readonly passes: (row: Row) => boolean;
}

const ofHost = { host: { value: 'HOST', help: 'only of this host' } } as const satisfies Options;

/** The view as a table, or with `--json` as one document with the position that it reflects. */
export const listing = <View extends ViewName>(given: Listing<View>): Spec => ({
  path: given.path,
  args: Object.keys(given.args ?? {}).map((name) => `[${name}]`),
  summary: given.summary,
  options: { ...given.options, ...listOptions, ...(given.hostless ? {} : ofHost) },
  run: async (call, context) => {
    const host = call.text('host');
    const { view, columns, narrow } = given;
    const { filter: own = {}, passes = () => true } = narrow?.(call) ?? {};
    const named = Object.values(given.args ?? {}).flatMap((field, index) => {
      const value = call.args[index];
      return value === undefined ? [] : [[field, value] as const];
    });
    const filter = { ...own, ...Object.fromEntries(named), ...(host === undefined ? {} : { host }) };
    const { position, rows: all } = await withClient(context, async (client) => {
      const answer = await client.view(view, { ...asOfOf(call), filter });
      if (answer.rows.length === 0) await expect(client, call, host, new Map(named).get('network'));
      return answer;
    });
    const rows = all.filter(passes);
    if (call.flag('json')) printJson(context, { position, rows });
    else context.out(renderTable(columns, rows, context.width));
    return undefined;
  },
});

export interface Inspection<View extends ViewName> {
  readonly view: View;
  readonly path: string;
  readonly summary: string;
  readonly args: readonly string[];
  /** What is looked for, in the words of the view's filter. */
  readonly filter: (call: Call) => Readonly<Record<string, string>>;
  /** @param position that the row reflects, for what else is asked of it */
  readonly describe: (row: ViewRows[View], client: Client, position: number) => string | Promise<string>;
  /** For a name that fits two: how to tell this one from the other. */
  readonly name: (row: ViewRows[View]) => string;
}

/** The one row that is meant. @throws NotFound when there is none, or several */
export const findOne = <Row>(rows: readonly Row[], what: string, name: (row: Row) => string): Row => {
  const [row, second] = rows;
  if (row === undefined) throw new NotFound(`there is no ${what}`, `See \`cnm ${what.split(' ', 1)[0]} ls\`.`);
  if (second !== undefined) throw new NotFound(`${what} fits ${rows.map(name).join(' and ')}: name one of them`);
  return row;
};

export const inspection = <View extends ViewName>(given: Inspection<View>): Spec => ({
  path: given.path,
  args: given.args,
  summary: given.summary,
  options: { ...listOptions, host: { value: 'HOST', help: 'only on this host' } },
  run: async (call, context) => {
    const host = call.text('host');
    const filter: Readonly<Record<string, string>> = {
      ...given.filter(call),
      ...(host === undefined ? {} : { host }),
    };
    return withClient(context, async (client) => {
      const { position, rows } = await client.view(given.view, { ...asOfOf(call), filter });
      if (rows.length === 0) await expect(client, call, host, filter.network);
      const noun = given.path.slice(0, given.path.indexOf(' '));
      const row = findOne(rows, `${noun} ${call.args.join('/')}`, given.name);
      if (call.flag('json')) printJson(context, { position, ...row });
      else context.out(await client.seals.opened(await given.describe(row, client, position)));
      return undefined;
    });
  },
});

/** `key: value` lines, aligned; what is null or empty is left out. */
export const describeFields = (fields: Readonly<Record<string, string | null | undefined>>): string => {
  const shown = Object.entries(fields).filter(([, value]) => value);
  const width = Math.max(...shown.map(([key]) => key.length)) + 2;
  return shown.map(([key, value]) => `${`${key}:`.padEnd(width)}${value}\n`).join('');
};

/** `a=1 b=2` */
export const describePairs = (pairs: Readonly<Record<string, string>>): string =>
  Object.entries(pairs)
    .map(([key, value]) => `${key}=${value}`)
    .join(' ');
