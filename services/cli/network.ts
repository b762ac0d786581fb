/** `cnm network`: create, ls, inspect, rm, prune. */
import type { ViewRows } from '../../projections/views.ts';
import type { Client } from '../client/index.ts';
import { type Context, printJson, sendAndWait, sendOptions, withClient } from './context.ts';
import { report } from './failures.ts';
import { describeFields, describePairs, inspection, listing } from './listing.ts';
import type { Call, Spec } from './spec.ts';
import { type Column, orDash, shortDuration, shortTime } from './table.ts';
import { parseGc, parsePairs, parseSubnets, splitName } from './values.ts';

type NetworkRow = ViewRows['networks'];

const subnetsOf = ({ subnets }: NetworkRow): string => subnets.map(({ subnet }) => subnet).join(' ');

export const describeGc = (gc: number | 'off' | null): string =>
  gc === null ? '' : gc === 'off' ? 'off' : `after ${shortDuration(gc)}`;

const columns: readonly Column<NetworkRow>[] = [
  { title: 'NAME', text: ({ name }) => name },
  { title: 'ID', text: ({ id }) => id },
  { title: 'HOST', text: ({ host }) => host },
  { title: 'DRIVER', text: ({ driver }) => driver },
  { title: 'SUBNETS', text: (row) => orDash(subnetsOf(row)) },
  { title: 'STATUS', text: ({ status }) => status },
  { title: 'CREATED', text: ({ createdAt }) => shortTime(createdAt) },
];

const describe = (row: NetworkRow): string =>
  describeFields({
    name: row.name,
    id: row.id,
    host: row.host,
    driver: row.driver,
    status: `${row.status} since ${shortTime(row.since)}`,
    created: shortTime(row.createdAt),
    subnets: row.subnets
      .map(({ subnet, gateway, range }) =>
        [subnet, gateway && `gateway ${gateway}`, range && `range ${range}`].filter(Boolean).join(' '),
      )
      .join(', '),
    auxiliary: row.subnets.map(({ aux }) => describePairs(aux)).join(' '),
    internal: row.internal ? 'yes' : '',
    options: describePairs(row.options),
    labels: describePairs(row.labels),
    collection: describeGc(row.gc),
    fault: row.fault ? `${row.fault.code}: ${row.fault.text}` : '',
  });

const createOptions = {
  driver: { short: 'd', value: 'DRIVER', help: 'bridge (the default), host or null' },
  subnet: { value: 'CIDR', multiple: true, help: 'of the network; chosen from the pools when left out' },
  'ip-range': { value: 'CIDR', multiple: true, help: 'part of the subnet that endpoints get addresses from' },
  gateway: { value: 'IP', multiple: true, help: "the subnet's first address when left out" },
  aux: { value: 'NAME=IP', multiple: true, help: 'an address that no endpoint gets' },
  ipv6: { help: 'with IPv6 addresses too' },
  internal: { help: 'without a way out of the host' },
  'ipam-driver': { value: 'NAME', help: 'default is the only one' },
  'ipam-opt': { value: 'K=V', multiple: true, help: 'option of the IPAM driver' },
  opt: { short: 'o', value: 'KEY=VALUE', multiple: true, help: 'option of the driver (docs/drivers/)' },
  label: { value: 'K=V', multiple: true, help: 'kept with the network' },
  gc: { value: 'DURATION|off', help: 'when its endpoints without a sandbox are collected' },
  host: { value: 'HOST', help: 'where to make it, when there are several hosts' },
  ...sendOptions,
} as const;

const createInput = (call: Call, name: string) => {
  const driver = call.text('driver');
  const gc = parseGc(call.text('gc'));
  const ipamDriver = call.text('ipam-driver');
  const subnets = parseSubnets({
    subnets: call.texts('subnet'),
    ranges: call.texts('ip-range'),
    gateways: call.texts('gateway'),
    aux: parsePairs(call.texts('aux'), '--aux'),
  });
  return {
    name,
    ipv6: call.flag('ipv6'),
    internal: call.flag('internal'),
    ipam: {
      subnets: [...subnets],
      options: parsePairs(call.texts('ipam-opt'), '--ipam-opt'),
      ...(ipamDriver === undefined ? {} : { driver: ipamDriver }),
    },
    options: parsePairs(call.texts('opt'), '-o'),
    labels: parsePairs(call.texts('label'), '--label'),
    ...(driver === undefined ? {} : { driver }),
    ...(gc === undefined ? {} : { gc }),
  };
};

/** What was chosen for the network, for the person who made it; nothing when the views do not answer. */
const describeCreated = async (client: Client, id: string, atLeast: number): Promise<string> => {
  try {
    const { rows } = await client.networks({ filter: { id }, atLeast });
    const [row] = rows;
    return row ? ` (${[row.driver, subnetsOf(row), `on ${row.host}`].filter((part) => part !== '').join(', ')})` : '';
  } catch {
    return '';
  }
};

const create: Spec = {
  path: 'network create',
  args: ['NAME'],
  summary: 'make a network',
  options: createOptions,
  run: async (call, context) => {
    const { host: named, name } = splitName(call.args[0] ?? '');
    const input = createInput(call, name);
    const host = named ?? call.text('host');
    return withClient(context, async (client) => {
      const what = `network ${name}`;
      const send: Parameters<typeof sendAndWait>[3]['send'] = (sender, options) => sender.createNetwork(input, options);
      const outcome = await sendAndWait(call, context, client, { what, host, send });
      if (call.flag('json')) printJson(context, outcome);
      else {
        const id = outcome.network?.id ?? '';
        context.out(`created network ${name}${await describeCreated(client, id, outcome.position)}\n`);
      }
      return undefined;
    });
  },
};

const remove: Spec = {
  path: 'network rm',
  args: ['NAME'],
  summary: 'delete a network that has no endpoints',
  options: sendOptions,
  run: async (call, context) => {
    const network = call.args[0] ?? '';
    const outcome = await withClient(context, (client) =>
      sendAndWait(call, context, client, {
        what: `network ${network}`,
        send: (sender, options) => sender.deleteNetwork({ network }, options),
      }),
    );
    if (call.flag('json')) printJson(context, outcome);
    else context.out(`deleted network ${network}\n`);
    return undefined;
  },
};

/** Networks that no endpoint is in; one that gets an endpoint meanwhile is refused, and stays. */
const pruneAll = async (call: Call, context: Context, client: Client): Promise<number | undefined> => {
  const host = call.text('host');
  const filter: Record<string, string> = host === undefined ? {} : { host };
  const { position, rows } = await client.networks({ filter });
  const { rows: endpoints } = await client.endpoints({ filter, asOf: position });
  const used = new Set(endpoints.map(({ networkId }) => networkId));
  const idle = rows.filter(({ id, status }) => !used.has(id) && status === 'active');
  const deleted: string[] = [];
  let exit: number | undefined;
  for (const { id, name, host: at } of idle) {
    const what = `network ${name}`;
    try {
      await sendAndWait(call, context, client, {
        what,
        host: at,
        send: (sender, options) => sender.deleteNetwork({ network: id }, options),
      });
      deleted.push(name);
      if (!call.flag('json')) context.out(`deleted network ${at}/${name}\n`);
    } catch (error) {
      exit = report(context, error, false);
    }
  }
  if (call.flag('json')) printJson(context, { deleted });
  else if (idle.length === 0) context.out('nothing to delete: every network has endpoints\n');
  return exit;
};

const prune: Spec = {
  path: 'network prune',
  args: [],
  summary: 'delete all networks that have no endpoints',
  options: { host: { value: 'HOST', help: 'only of this host' }, ...sendOptions },
  run: (call, context) => withClient(context, (client) => pruneAll(call, context, client)),
};

export const networkSpecs: readonly Spec[] = [
  create,
  listing({ view: 'networks', path: 'network ls', summary: 'list networks', columns }),
  inspection({
    view: 'networks',
    path: 'network inspect',
    summary: 'show one network',
    args: ['NAME'],
    filter: (call) => ({ network: call.args[0] ?? '' }),
    describe,
    name: ({ host, name }) => `${host}/${name}`,
  }),
  remove,
  prune,
];
