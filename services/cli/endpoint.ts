/** `cnm endpoint`: create, update, join, leave, rm, ls, inspect. */
import type { CommandInput } from '../../events/commands.ts';
import type { Outcome } from '../../events/queries.ts';
import type { ViewRows } from '../../projections/views.ts';
import type { Client } from '../client/index.ts';
import { type Context, printJson, type Sending, sendAndWait, sendOptions, withClient } from './context.ts';
import { describeEndpoint } from './endpoint-text.ts';
import { dnsFields, dnsOptions, endpointFields, parseExtraHost, parseInteger } from './endpoint-values.ts';
import { inspection, listing } from './listing.ts';
import { describeBindings, parsePort, portForm } from './port-values.ts';
import { type Call, type Options, type Spec, UsageError } from './spec.ts';
import { type Column, orDash } from './table.ts';
import { leaseFields, leaseOptions, parseAfterReboot, parseDriverOptions, parsePairs } from './values.ts';
import { wayOutLine } from './way-out.ts';

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

/** `eth0  10.200.0.2/24  02:42:0a:c8:00:02` per endpoint of an outcome. */
const describeEndpoints = ({ endpoints }: Outcome): string =>
  endpoints
    .map(({ interface: link, ipv4, ipv6, mac, name }) =>
      [`  ${link ?? name}`, ipv4, ipv6, mac].filter((part) => part !== null).join('  '),
    )
    .map((line) => `${line}\n`)
    .join('');

/** `  127.0.0.1:8080/tcp -> 10.200.0.2:80` per port that leads into the sandbox; each endpoint of an outcome tells all of them. */
const describePublished = ({ endpoints }: Outcome): string => {
  const bindings = endpoints.flatMap(({ ports }) => ports).map((binding) => describeBindings([binding]));
  return [...new Set(bindings)].map((line) => `  ${line}\n`).join('');
};

/** A command about one endpoint of a network: sent, waited for and printed. */
const verb = (
  name: string,
  summary: string,
  options: Options,
  act: (call: Call, network: string, endpoint: string) => Sending['send'],
  print: (outcome: Outcome, network: string, endpoint: string, client: Client) => string | Promise<string>,
): Spec => ({
  path: `endpoint ${name}`,
  args: ['NETWORK', 'NAME'],
  summary,
  options: { ...options, ...sendOptions },
  run: async (call, context: Context) => {
    const [network = '', endpoint = ''] = call.args;
    const sending = { what: `endpoint ${endpoint}`, send: act(call, network, endpoint) };
    return withClient(context, async (client) => {
      const outcome = await sendAndWait(call, context, client, sending);
      if (call.flag('json')) printJson(context, outcome);
      else context.out(await print(outcome, network, endpoint, client));
      return undefined;
    });
  },
});

export const publishOption = {
  publish: { short: 'p', value: portForm, multiple: true, help: 'publish a port; without HOST the host finds one' },
} as const;

/** What every endpoint may be given, however it is made. */
const settings = {
  alias: { value: 'A', multiple: true, help: 'another name of it in its network' },
  ...publishOption,
  'gw-priority': { value: 'N', help: 'of the endpoints of a sandbox the highest carries the default route (0)' },
} as const;

const createOptions = {
  ip: { value: 'IP', multiple: true, help: 'an address that it shall have, one per family' },
  mac: { value: 'MAC', help: 'the MAC address that it shall have' },
  ...settings,
  ifname: { value: 'NAME', help: 'name of its interface in the sandbox' },
  sysctl: { value: 'KEY=VALUE', multiple: true, help: 'a setting of its interface: net.ipv4.conf.IFNAME.arp_notify=1' },
  'link-local-ip': { value: 'IP', multiple: true, help: 'a link-local address beside the others' },
  route: { value: 'CIDR[=GATEWAY]', multiple: true, help: 'a static route in the sandbox' },
  link: { value: 'ENDPOINT:ALIAS', multiple: true, help: 'a name for another endpoint that its sandbox alone has' },
  service: { value: 'NAME:PORT[/PROTO]', multiple: true, help: 'a named port, for SRV records' },
  opt: { short: 'o', value: 'K=V', multiple: true, help: 'option of the driver' },
  label: { value: 'K=V', multiple: true, help: 'kept with the endpoint' },
  gc: { value: 'DURATION|off', help: 'when it is collected while it is in no sandbox' },
} as const;

/** Of an option that may be given several times `one` is none, and the other way round. */
const textsOf = (call: Call) => ({ one: (name: string) => call.text(name), all: (name: string) => call.texts(name) });

const create = verb(
  'create',
  'make an endpoint with its addresses',
  createOptions,
  (call, network, name) => {
    const input = {
      network,
      name,
      ...endpointFields(textsOf(call)),
      options: parseDriverOptions(call.texts('opt'), '-o'),
      labels: parsePairs(call.texts('label'), '--label'),
    };
    return (client, options) => client.createEndpoint(input, options);
  },
  (outcome, network, endpoint) => `created endpoint ${endpoint} on ${network}\n${describeEndpoints(outcome)}`,
);

/** A list that is replaced, emptied or left as it is. */
const replaced = (call: Call, name: string): readonly string[] | undefined => {
  const texts = call.texts(name);
  if (!call.flag(`no-${name}`)) return texts.length > 0 ? texts : undefined;
  if (texts.length > 0) throw new UsageError(`--${name} and --no-${name} exclude each other`, update);
  return [];
};

const update: Spec = verb(
  'update',
  'change an endpoint in place; what is not named stays',
  {
    alias: { ...settings.alias, help: 'its other names, instead of those it has' },
    'no-alias': { help: 'no other names' },
    publish: { ...settings.publish, help: 'its published ports, instead of those it has' },
    'no-publish': { help: 'no published ports' },
    'gw-priority': settings['gw-priority'],
    disrupt: { help: 'allow what resets connections: another gateway' },
  },
  (call, network, endpoint) => {
    const priority = call.text('gw-priority');
    const [aliases, ports] = [replaced(call, 'alias'), replaced(call, 'publish')];
    const input = {
      network,
      endpoint,
      ...(aliases === undefined ? {} : { aliases: [...aliases] }),
      ...(ports === undefined ? {} : { ports: ports.map(parsePort) }),
      ...(priority === undefined ? {} : { gatewayPriority: parseInteger(priority, '--gw-priority') }),
      disrupt: call.flag('disrupt'),
    };
    const changes = [aliases, ports, priority].filter((change) => change !== undefined);
    if (changes.length === 0) throw new UsageError('nothing to change: name aliases, ports or a priority', update);
    return (client, options) => client.updateEndpoint(input, options);
  },
  (outcome, network, endpoint) => `updated endpoint ${endpoint} on ${network}\n${describePublished(outcome)}`,
);

export const sandboxOptions = {
  netns: { value: 'PATH', help: 'use this network namespace instead of making one' },
  hostname: { value: 'H', help: 'hostname of the sandbox' },
  'after-reboot': {
    value: 'recreate|release|hold:DURATION',
    help: 'what becomes of it when its host has been booted anew',
  },
  domainname: { value: 'D', help: 'domain of the sandbox' },
  ...dnsOptions,
  ...leaseOptions,
  'add-host': { value: 'NAME:IP', multiple: true, help: 'a line of /etc/hosts; the address may be host-gateway' },
} as const;

/** The options above as fields of a command. */
export const sandboxFields = (call: Call): Omit<CommandInput<'JoinEndpoint'>, 'network' | 'endpoint' | 'sandbox'> => {
  const [netns, hostname, domainname] = [call.text('netns'), call.text('hostname'), call.text('domainname')];
  const afterReboot = call.text('after-reboot');
  const extraHosts = call.texts('add-host').map(parseExtraHost);
  return {
    ...(netns === undefined ? {} : { netns }),
    ...(hostname === undefined ? {} : { hostname }),
    ...(afterReboot === undefined ? {} : { afterReboot: parseAfterReboot(afterReboot) }),
    ...(domainname === undefined ? {} : { domainname }),
    ...dnsFields(call),
    ...leaseFields(call),
    ...(extraHosts.length === 0 ? {} : { extraHosts }),
  };
};

/** Interfaces, ports, way out and key of a sandbox that was joined. */
export const describeJoined = async (client: Client, outcome: Outcome): Promise<string> =>
  `${describeEndpoints(outcome)}${describePublished(outcome)}${await wayOutLine(client, outcome)}  key ${outcome.sandbox?.key}\n`;

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
  async (outcome, _, endpoint, client) =>
    `joined ${endpoint} to sandbox ${outcome.sandbox?.id}\n${await describeJoined(client, outcome)}`,
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
  update,
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
    describe: describeEndpoint,
    name: ({ host, network, name }) => `${host}/${network} ${name}`,
  }),
];
