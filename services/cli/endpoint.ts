/** `cnm endpoint`: create, join, leave, rm, ls, inspect. */
import type { Outcome } from '../../events/queries.ts';
import type { ViewRows } from '../../projections/views.ts';
import { type Context, printJson, type Sending, sendAndWait, sendOptions, withClient } from './context.ts';
import { describeFields, describePairs, inspection, listing } from './listing.ts';
import { describeGc } from './network.ts';
import { type Call, type Options, type Spec, UsageError } from './spec.ts';
import { type Column, orDash, shortTime } from './table.ts';
import { interfaceOf, parseGc, parsePairs, parsePort } from './values.ts';

type EndpointRow = ViewRows['endpoints'];

const columns: readonly Column<EndpointRow>[] = [
  { title: 'NETWORK', text: ({ network }) => network },
  { title: 'NAME', text: ({ name }) => name },
  { title: 'ID', text: ({ id }) => id },
  { title: 'HOST', text: ({ host }) => host },
  { title: 'IPV4', text: ({ ipv4 }) => orDash(ipv4) },
  { title: 'IPV6', text: ({ ipv6 }) => orDash(ipv6) },
  { title: 'MAC', text: ({ mac }) => orDash(mac) },
  { title: 'STATUS', text: ({ status }) => status },
  { title: 'SANDBOX', text: ({ sandbox }) => orDash(sandbox) },
];

const describe = (row: EndpointRow): string =>
  describeFields({
    name: row.name,
    id: row.id,
    network: `${row.host}/${row.network} (${row.networkId})`,
    status: `${row.status} since ${shortTime(row.since)}`,
    created: `${shortTime(row.createdAt)}${row.origin === 'attach' ? ' by an attach' : ''}`,
    ipv4: row.ipv4,
    ipv6: row.ipv6,
    mac: row.mac,
    aliases: row.aliases.join(' '),
    sandbox: row.sandbox,
    interface: row.interface,
    key: row.sandboxKey,
    routes: row.routes.map(({ destination, gateway }) => `${destination} via ${gateway}`).join(', '),
    options: describePairs(row.options),
    labels: describePairs(row.labels),
    collection: describeGc(row.gc),
    fault: row.fault ? `${row.fault.code}: ${row.fault.text}` : '',
  });

/** `eth0  10.200.0.2/24  02:42:0a:c8:00:02` per endpoint of an outcome. */
export const describeEndpoints = ({ endpoints }: Outcome): string =>
  endpoints
    .map(({ interface: link, ipv4, ipv6, mac, name }) =>
      [`  ${link ?? name}`, ipv4, ipv6, mac].filter((part) => part !== null).join('  '),
    )
    .map((line) => `${line}\n`)
    .join('');

/** A command about one endpoint of a network: sent, waited for and printed. */
const verb = (
  name: string,
  summary: string,
  options: Options,
  act: (call: Call, network: string, endpoint: string) => Sending['send'],
  print: (outcome: Outcome, network: string, endpoint: string) => string,
): Spec => ({
  path: `endpoint ${name}`,
  args: ['NETWORK', 'NAME'],
  summary,
  options: { ...options, ...sendOptions },
  run: async (call, context: Context) => {
    const [network = '', endpoint = ''] = call.args;
    const sending = { what: `endpoint ${endpoint}`, send: act(call, network, endpoint) };
    const outcome = await withClient(context, (client) => sendAndWait(call, context, client, sending));
    if (call.flag('json')) printJson(context, outcome);
    else context.out(print(outcome, network, endpoint));
    return undefined;
  },
});

const createOptions = {
  ip: { value: 'IP', multiple: true, help: 'an address that it shall have, one per family' },
  mac: { value: 'MAC', help: 'the MAC address that it shall have' },
  alias: { value: 'A', multiple: true, help: 'another name of it in its network' },
  publish: { short: 'p', value: '[IP:]HOST:PORT[/PROTO]', multiple: true, help: 'publish a port on the host' },
  opt: { short: 'o', value: 'K=V', multiple: true, help: 'option of the driver' },
  label: { value: 'K=V', multiple: true, help: 'kept with the endpoint' },
  gc: { value: 'DURATION|off', help: 'when it is collected while it is in no sandbox' },
} as const;

const create = verb(
  'create',
  'make an endpoint with its addresses',
  createOptions,
  (call, network, name) => {
    const gc = parseGc(call.text('gc'));
    const input = {
      network,
      name,
      interfaces: interfaceOf(call.texts('ip'), call.text('mac')),
      aliases: [...call.texts('alias')],
      ports: call.texts('publish').map(parsePort),
      options: parsePairs(call.texts('opt'), '-o'),
      labels: parsePairs(call.texts('label'), '--label'),
      ...(gc === undefined ? {} : { gc }),
    };
    return (client, options) => client.createEndpoint(input, options);
  },
  (outcome, network, endpoint) => `created endpoint ${endpoint} on ${network}\n${describeEndpoints(outcome)}`,
);

export const sandboxOptions = {
  netns: { value: 'PATH', help: 'use this network namespace instead of making one' },
  hostname: { value: 'H', help: 'hostname of the sandbox' },
  domainname: { value: 'D', help: 'domain of the sandbox' },
} as const;

/** The options above as fields of a command. */
export const sandboxFields = (call: Call): { netns?: string; hostname?: string; domainname?: string } => {
  const [netns, hostname, domainname] = [call.text('netns'), call.text('hostname'), call.text('domainname')];
  return {
    ...(netns === undefined ? {} : { netns }),
    ...(hostname === undefined ? {} : { hostname }),
    ...(domainname === undefined ? {} : { domainname }),
  };
};

const join = verb(
  'join',
  'put an endpoint into a sandbox',
  { sandbox: { value: 'ID', help: 'the sandbox (needed); the first join makes it' }, ...sandboxOptions },
  (call, network, endpoint) => {
    const sandbox = call.text('sandbox');
    if (sandbox === undefined) throw new UsageError('--sandbox ID is missing', join);
    const input = { network, endpoint, sandbox, ...sandboxFields(call) };
    return (client, options) => client.joinEndpoint(input, options);
  },
  (outcome, _, endpoint) =>
    `joined ${endpoint} to sandbox ${outcome.sandbox?.id}\n${describeEndpoints(outcome)}  key ${outcome.sandbox?.key}\n`,
);

const leave = verb(
  'leave',
  'take an endpoint out of its sandbox; the last one removes the sandbox',
  {},
  (_, network, endpoint) => (client, options) => client.leaveEndpoint({ network, endpoint }, options),
  (_, network, endpoint) => `${network}/${endpoint} left its sandbox\n`,
);

const remove = verb(
  'rm',
  'delete an endpoint that is in no sandbox',
  {},
  (_, network, endpoint) => (client, options) => client.deleteEndpoint({ network, endpoint }, options),
  (_, network, endpoint) => `deleted endpoint ${endpoint} on ${network}\n`,
);

export const endpointSpecs: readonly Spec[] = [
  create,
  join,
  leave,
  remove,
  listing({
    view: 'endpoints',
    path: 'endpoint ls',
    summary: 'list endpoints',
    args: { NETWORK: 'network' },
    columns,
  }),
  inspection({
    view: 'endpoints',
    path: 'endpoint inspect',
    summary: 'show one endpoint',
    args: ['NETWORK', 'NAME'],
    filter: (call) => ({ network: call.args[0] ?? '', endpoint: call.args[1] ?? '' }),
    describe,
    name: ({ host, network, name }) => `${host}/${network} ${name}`,
  }),
];
