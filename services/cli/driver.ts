/** `cnm driver`: ls, inspect, configure. */
import { drivers } from '../../drivers/registry.ts';
import type { ViewRows } from '../../projections/views.ts';
import { type Context, NotFound, printJson, sendAndTell, sendOptions, withClient } from './context.ts';
import { asOfOf, describeFields, describePairs } from './listing.ts';
import { type Call, listOptions, type Spec } from './spec.ts';
import { type Column, orDash, renderTable } from './table.ts';
import { parseDriverOptions } from './values.ts';

interface Row {
  readonly name: string;
  readonly addresses: boolean;
  readonly networksMax: number;
  readonly endpointsMax: number;
  readonly scope: 'host' | 'realm';
  /** Capabilities that its networks need whatever their options are. */
  readonly needs: readonly string[];
  /** Hosts that say that they carry it out; null: it is built in, so all do that have what it needs. */
  readonly hosts: readonly string[] | null;
  /** One per host on which it was given options. */
  readonly configured: readonly ViewRows['drivers'][];
}

const builtIn = (name: string, configured: readonly ViewRows['drivers'][]): Row | null => {
  const driver = drivers.get(name);
  if (!driver) return null;
  const { addresses, networksMax, endpointsMax, scope } = driver;
  const own = configured.filter((row) => row.driver === driver.name || row.driver === name);
  const needs = driver.needs({});
  return { name, addresses, networksMax, endpointsMax, scope, needs, hosts: null, configured: own };
};

type Stated = Pick<ViewRows['hosts'], 'host' | 'drivers'>;

/** A driver of somebody else: a plugin, or a program that is a worker itself. */
const stated = (name: string, hosts: readonly Stated[], configured: readonly ViewRows['drivers'][]): Row | null => {
  const own = hosts.filter((row) => row.drivers.includes(name)).map(({ host }) => host);
  if (own.length === 0) return null;
  return {
    ...{ name, addresses: true, networksMax: Number.MAX_SAFE_INTEGER, endpointsMax: Number.MAX_SAFE_INTEGER },
    ...{ scope: 'host', needs: [], hosts: own, configured: configured.filter(({ driver }) => driver === name) },
  };
};

/** All drivers: ours, then those that hosts name. */
const rowsOf = (hosts: readonly Stated[], configured: readonly ViewRows['drivers'][]): readonly Row[] => {
  const others = new Set(hosts.flatMap((row) => row.drivers).filter((name) => !drivers.has(name)));
  return [
    ...[...drivers.keys()].flatMap((name) => builtIn(name, configured) ?? []),
    ...[...others].sort().flatMap((name) => stated(name, hosts, configured) ?? []),
  ];
};

/** Both views at one position. */
const askedFor = async (call: Call, context: Context) =>
  withClient(context, async (client) => {
    const { position, rows } = await client.drivers(asOfOf(call));
    const hosts = await client.hosts({ asOf: position });
    return { position, rows: rowsOf(hosts.rows, rows) };
  });

const count = (most: number): string =>
  Number.isFinite(most) && most < Number.MAX_SAFE_INTEGER ? String(most) : 'any';

const atMost = (most: number): string => (count(most) === 'any' ? 'any number' : `at most ${most}`);

const columns: readonly Column<Row>[] = [
  { title: 'NAME', text: ({ name }) => name },
  { title: 'ADDRESSES', text: ({ addresses }) => (addresses ? 'yes' : 'no') },
  { title: 'NETWORKS', text: ({ networksMax }) => count(networksMax) },
  { title: 'ENDPOINTS', text: ({ endpointsMax }) => count(endpointsMax) },
  { title: 'HOSTS', text: ({ hosts }) => (hosts === null ? 'any' : hosts.join(' ')) },
  {
    title: 'CONFIGURED',
    text: ({ configured }) =>
      orDash(configured.map(({ host, options }) => `${host}: ${describePairs(options)}`).join('; ')),
  },
];

const list: Spec = {
  path: 'driver ls',
  args: [],
  summary: 'list drivers and what they were told',
  options: listOptions,
  run: async (call, context) => {
    const { position, rows } = await askedFor(call, context);
    if (call.flag('json')) printJson(context, { position, rows });
    else context.out(renderTable(columns, rows, context.width));
    return undefined;
  },
};

const describeConfigured = ({ host, status, options, fault }: ViewRows['drivers']): string =>
  `${status} on ${host}: ${describePairs(options)}${fault ? ` (${fault.code}: ${fault.text})` : ''}`;

const inspect: Spec = {
  path: 'driver inspect',
  args: ['NAME'],
  summary: 'show one driver',
  options: listOptions,
  run: async (call, context) => {
    const name = call.args[0] ?? '';
    const { position, rows } = await askedFor(call, context);
    const row = rows.find((one) => one.name === name);
    if (!row) throw new NotFound(`there is no driver ${name}`, `There are ${rows.map((one) => one.name).join(', ')}.`);
    if (call.flag('json')) printJson(context, { position, ...row });
    else
      context.out(
        describeFields({
          name,
          addresses: row.addresses ? 'yes' : 'no',
          networks: `${atMost(row.networksMax)} per host`,
          endpoints: `${atMost(row.endpointsMax)} per network`,
          scope: row.scope,
          hosts: row.hosts?.join(' ') ?? 'any that has what it needs',
          needs: row.needs.join(' '),
          configured: row.configured.map(describeConfigured).join('; '),
        }),
      );
    return undefined;
  },
};

const configure: Spec = {
  path: 'driver configure',
  args: ['NAME'],
  summary: 'set options of a driver on a host',
  options: {
    opt: { short: 'o', value: 'KEY=VALUE', multiple: true, help: 'an option (docs/drivers/)' },
    host: { value: 'HOST', help: 'the host that is meant, when there are several' },
    ...sendOptions,
  },
  run: async (call, context) => {
    const driver = call.args[0] ?? '';
    const options = parseDriverOptions(call.texts('opt'), '-o');
    return sendAndTell(call, context, {
      what: `driver ${driver}`,
      host: call.text('host'),
      send: (sender, sent) => sender.configureDriver({ driver, options }, sent),
      done: `configured driver ${driver}`,
    });
  },
};

export const driverSpecs: readonly Spec[] = [list, inspect, configure];
