/** `cnm network`: create, update, ls, inspect, rm, prune, rotate-keys. */
import type { ViewRows } from '../../projections/views.ts';
import type { Client } from '../client/index.ts';
import { printJson, type Sending, sendAndTell, sendAndWait, sendOptions, withClient } from './context.ts';
import { describeGc } from './endpoint-text.ts';
import { dnsFields, dnsOptions, parseInteger } from './endpoint-values.ts';
import { describeFields, describePairs, inspection, listing } from './listing.ts';
import { filterForm, filterHelp, networkFilter } from './network-filter.ts';
import { pruneSpec } from './network-prune.ts';
import { type Call, type Spec, UsageError } from './spec.ts';
import { type Column, orDash, shortTime } from './table.ts';
import {
  leaseFields,
  leaseOptions,
  parseDriverOptions,
  parseGc,
  parsePairs,
  parseSubnets,
  splitName,
} from './values.ts';

type NetworkRow = ViewRows['networks'];

const subnetsOf = ({ subnets }: NetworkRow): string => subnets.map(({ subnet }) => subnet).join(' ');

/** A network of the realm is on every host. */
const hostOf = ({ host, scope }: NetworkRow): string => (scope === 'realm' ? 'all' : host);

const columns: readonly Column<NetworkRow>[] = [
  { title: 'NAME', text: ({ name }) => name },
  { title: 'ID', text: ({ id }) => id },
  { title: 'HOST', text: hostOf },
  {
    title: 'DRIVER',
    text: ({ driver, configOnly, outlet }) => (configOnly ? 'config only' : outlet ? 'way out' : driver),
  },
  { title: 'SUBNETS', text: (row) => orDash(subnetsOf(row)) },
  { title: 'STATUS', text: ({ status }) => status },
  { title: 'CREATED', text: ({ createdAt }) => shortTime(createdAt) },
];

const updateOf = ({ update, updateFault }: NetworkRow): string => {
  if (update) return 'under way';
  return updateFault ? `failed: ${updateFault.code}: ${updateFault.text}` : '';
};

const describe = (row: NetworkRow): string =>
  describeFields({
    name: row.name,
    id: row.id,
    host: hostOf(row),
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
    'config only': row.configOnly ? 'yes' : '',
    'way out': row.outlet ? 'of sandboxes on this host whose networks have none' : '',
    'config from': row.configFrom,
    mtu: row.mtu === null ? '' : String(row.mtu),
    'name servers': row.dns.servers?.join(' '),
    search: row.dns.search?.join(' '),
    'dns options': row.dns.options?.join(' '),
    options: describePairs(row.options),
    labels: describePairs(row.labels),
    collection: describeGc(row.gc),
    drift: row.drift === 'report' ? 'only reported' : '',
    owner: row.owner,
    lease: row.leaseMs === null ? '' : `${row.leaseMs / 1000} s, see \`cnm lease ls\``,
    update: updateOf(row),
    fault: row.fault ? `${row.fault.code}: ${row.fault.text}` : '',
  });

const driftOption = {
  value: 'repair|report',
  help: 'what is done when somebody else changes it in the kernel (repair)',
} as const;

const createOptions = {
  driver: { short: 'd', value: 'DRIVER', help: 'bridge (the default), or one of `cnm driver ls`' },
  subnet: { value: 'CIDR', multiple: true, help: 'of the network; chosen from the pools when left out' },
  'ip-range': { value: 'CIDR', multiple: true, help: 'part of the subnet that endpoints get addresses from' },
  gateway: { value: 'IP', multiple: true, help: "the subnet's first address when left out" },
  overlap: { help: 'its subnet may overlap those of other networks and routes of the host' },
  aux: { value: 'NAME=IP', multiple: true, help: 'an address that no endpoint gets' },
  ipv6: { help: 'with IPv6 addresses too' },
  'no-ipv4': { help: 'without IPv4 addresses: with --ipv6 it has those alone' },
  internal: { help: 'without a way out of the host' },
  'config-only': { help: 'holds settings for other networks, and no endpoints' },
  'config-from': { value: 'NAME', help: 'take all settings from this network, which is config only' },
  ...dnsOptions,
  'ipam-driver': { value: 'NAME', help: 'default, null, or a plugin (docs/drivers/remote.md)' },
  'ipam-opt': { value: 'K=V', multiple: true, help: 'option of the IPAM driver' },
  opt: { short: 'o', value: 'KEY=VALUE', multiple: true, help: 'option of the driver (docs/drivers/)' },
  label: { value: 'K=V', multiple: true, help: 'kept with the network' },
  gc: { value: 'DURATION|off', help: 'when its endpoints without a sandbox are collected' },
  ...leaseOptions,
  drift: driftOption,
  host: { value: 'HOST', help: 'where to make it, when there are several hosts' },
  ...sendOptions,
} as const;

const driftField = (call: Call): { readonly drift?: 'repair' | 'report' } => {
  const drift = call.text('drift');
  if (drift === undefined) return {};
  if (drift === 'repair' || drift === 'report') return { drift };
  throw new UsageError(`--drift ${drift}: write repair or report`, create);
};

const createInput = (call: Call, name: string) => {
  const driver = call.text('driver');
  const configFrom = call.text('config-from');
  const gc = parseGc(call.text('gc'));
  const ipamDriver = call.text('ipam-driver');
  if (call.flag('overlap') && call.texts('subnet').length === 0 && ipamDriver === undefined)
    throw new UsageError('--overlap needs --subnet: subnets that are chosen never overlap', create);
  const subnets = parseSubnets({
    subnets: call.texts('subnet'),
    ranges: call.texts('ip-range'),
    gateways: call.texts('gateway'),
    aux: parsePairs(call.texts('aux'), '--aux'),
  });
  return {
    name,
    ...(call.flag('no-ipv4') ? { ipv4: false } : {}),
    ipv6: call.flag('ipv6'),
    internal: call.flag('internal'),
    configOnly: call.flag('config-only'),
    ...(configFrom === undefined ? {} : { configFrom }),
    ...dnsFields(call),
    ipam: {
      subnets: [...subnets],
      options: parseDriverOptions(call.texts('ipam-opt'), '--ipam-opt'),
      overlap: call.flag('overlap'),
      ...(ipamDriver === undefined ? {} : { driver: ipamDriver }),
    },
    options: parseDriverOptions(call.texts('opt'), '-o'),
    labels: parsePairs(call.texts('label'), '--label'),
    ...(driver === undefined ? {} : { driver }),
    ...(gc === undefined ? {} : { gc }),
    ...leaseFields(call),
    ...driftField(call),
  };
};

/** What was chosen for the network, for the person who made it; nothing when the views do not answer. */
const describeCreated = async (client: Client, id: string, atLeast: number): Promise<string> => {
  try {
    const { rows } = await client.networks({ filter: { id }, atLeast });
    const [row] = rows;
    return row
      ? ` (${[row.configOnly ? 'config only' : row.driver, subnetsOf(row), row.host === '' ? 'on all hosts' : `on ${row.host}`].filter((part) => part !== '').join(', ')})`
      : '';
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
    const { host, name } = splitName(call.args[0] ?? '', call.text('host'));
    const input = createInput(call, name);
    return withClient(context, async (client) => {
      const what = `network ${name}`;
      const send: Sending['send'] = (sender, options) => sender.createNetwork(input, options);
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
    return sendAndTell(call, context, {
      what: `network ${network}`,
      send: (sender, options) => sender.deleteNetwork({ network }, options),
      done: `deleted network ${network}`,
    });
  },
};

/** Keys are those of all encrypted networks together, also of such that are made later. */
export const describeRotated = (rows: readonly Pick<NetworkRow, 'name' | 'tunnel'>[]): string => {
  const names = rows.filter(({ tunnel }) => tunnel?.encrypted).map(({ name }) => name);
  return names.length === 0
    ? 'no network is encrypted now; those to come have new keys'
    : `new keys for ${names.join(', ')}: hosts send with them in ten seconds`;
};

const rotateKeys: Spec = {
  path: 'network rotate-keys',
  args: [],
  summary: 'give all encrypted networks new keys, on every host; no connection is reset',
  options: sendOptions,
  run: async (call, context) => {
    return withClient(context, async (client) => {
      const outcome = await sendAndWait(call, context, client, {
        what: 'keys of encrypted networks',
        send: (sender, options) => sender.rotateTunnelKeys({}, options),
      });
      if (call.flag('json')) printJson(context, outcome);
      else {
        const { rows } = await client.networks({ atLeast: outcome.position });
        context.out(`${describeRotated(rows)}\n`);
      }
      return undefined;
    });
  },
};

const mtuOption = 'com.docker.network.driver.mtu';
const iccOption = 'com.docker.network.bridge.enable_icc';

const iccOf = (text: string): string => {
  if (text === 'on' || text === 'off') return String(text === 'on');
  throw new UsageError(`--icc ${text}: write on or off`, update);
};

const updateInput = (call: Call) => {
  const [mtu, icc, labels] = [call.text('mtu'), call.text('icc'), call.texts('label')];
  const options = {
    ...(mtu === undefined ? {} : { [mtuOption]: String(parseInteger(mtu, '--mtu')) }),
    ...(icc === undefined ? {} : { [iccOption]: iccOf(icc) }),
  };
  const input = {
    ...dnsFields(call),
    ...driftField(call),
    ...(labels.length === 0 ? {} : { labels: parsePairs(labels, '--label') }),
    ...(Object.keys(options).length === 0 ? {} : { options }),
  };
  if (Object.keys(input).length > 0) return input;
  throw new UsageError('nothing to change: name labels, --mtu, --icc, --drift or DNS settings', update);
};

const update: Spec = {
  path: 'network update',
  args: ['NAME'],
  summary: 'change a network in place; what is not named stays, and so do connections',
  options: {
    label: { value: 'K=V', multiple: true, help: 'its labels, instead of those it has' },
    mtu: { value: 'N', help: 'MTU of its links' },
    icc: { value: 'on|off', help: 'whether its endpoints may talk to each other' },
    drift: driftOption,
    ...dnsOptions,
    ...sendOptions,
  },
  run: async (call, context) => {
    const network = call.args[0] ?? '';
    const input = { network, ...updateInput(call) };
    return sendAndTell(call, context, {
      what: `network ${network}`,
      send: (sender, options) => sender.updateNetwork(input, options),
      done: `updated network ${network}`,
    });
  },
};

export const networkSpecs: readonly Spec[] = [
  create,
  update,
  listing({
    view: 'networks',
    path: 'network ls',
    summary: 'list networks',
    options: { filter: { short: 'f', value: filterForm, multiple: true, help: filterHelp } },
    narrow: (call) => networkFilter(call.texts('filter')),
    columns,
  }),
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
  pruneSpec,
  rotateKeys,
];
