/** `cnm sandbox`: attach, detach, move, restore, ls, inspect, exec. */
import type { ViewRows } from '../../projections/views.ts';
import type { Client } from '../client/index.ts';
import { environment } from '../lib/config.ts';
import { NotFound, printJson, sendAndTell, sendAndWait, sendOptions, withClient } from './context.ts';
import { describeJoined, publishOption, sandboxFields, sandboxOptions } from './endpoint.ts';
import { describeLeases } from './endpoint-text.ts';
import { parseAttachment } from './endpoint-values.ts';
import { describeFields, findOne, inspection, listing } from './listing.ts';
import { parsePort } from './port-values.ts';
import { type Spec, UsageError } from './spec.ts';
import { type Column, orDash, shortTime } from './table.ts';
import { wayOutAt } from './way-out.ts';

type SandboxRow = ViewRows['sandboxes'];

const hostOption = { value: 'HOST', help: 'the host that is meant, when there are several' } as const;

/** Of one that was lost with a boot of its host: until when it is held, where it is. */
const statusOf = ({ status, lost }: SandboxRow): string =>
  lost?.releasedAt ? `lost, held until ${shortTime(lost.releasedAt)}` : status;

const columns: readonly Column<SandboxRow>[] = [
  { title: 'ID', text: ({ id }) => id },
  { title: 'HOST', text: ({ host }) => host },
  { title: 'STATUS', text: statusOf },
  { title: 'NETWORKS', text: ({ members }) => orDash(members.map(({ network }) => network).join(' ')) },
  { title: 'CREATED', text: ({ createdAt }) => shortTime(createdAt) },
  { title: 'KEY', text: ({ key }) => key },
];

/** Which member carries the default route, per family: `eth0` where it carries both. */
const gatewayOf = ({ members, gateways }: SandboxRow): string => {
  const nameOf = (id: string | null): string => {
    const member = members.find(({ endpointId }) => endpointId === id);
    return member ? `${member.interface ?? member.endpoint} (${member.network})` : '';
  };
  const [ipv4, ipv6] = [nameOf(gateways.ipv4), nameOf(gateways.ipv6)];
  if (ipv4 === ipv6) return ipv4;
  return [ipv4 && `IPv4 ${ipv4}`, ipv6 && `IPv6 ${ipv6}`].filter((part) => part !== '').join(', ');
};

const describe = async (row: SandboxRow, client: Client, position: number): Promise<string> =>
  describeFields({
    id: row.id,
    host: row.host,
    status: statusOf(row),
    'lost with boot': row.lost && `${row.lost.bootId} (${row.lost.reason})`,
    'after a reboot': typeof row.afterReboot === 'number' ? `held for ${row.afterReboot / 1000} s` : row.afterReboot,
    key: `${row.key}${row.owned ? '' : " (the caller's, never removed)"}`,
    created: shortTime(row.createdAt),
    ready: row.readyAt && shortTime(row.readyAt),
    owner: row.owner,
    lease: row.leaseMs === null ? '' : `${row.leaseMs / 1000} s, see \`cnm lease ls\``,
    hostname: row.hostname,
    domainname: row.domainname,
    members: row.members
      .map(({ interface: link, network, endpoint }) => `${link ?? '-'} = ${endpoint} on ${network}`)
      .join(', '),
    gateway: gatewayOf(row),
    'way out': await wayOutAt(client, row, position),
    published: describeLeases(row.ports),
    'name servers': row.dns.servers?.join(' '),
    search: row.dns.search?.join(' '),
    'dns options': row.dns.options?.join(' '),
    'extra hosts': row.extraHosts.map(({ name, address }) => `${name}:${address}`).join(' '),
    hosts: row.paths?.hosts,
    'resolv.conf': row.paths?.resolvConf,
    'hostname file': row.paths?.hostname,
  });

const attachmentHelp =
  'name= (of the endpoint; else that of the sandbox), ip=, ip6=, mac=, alias=, gw-priority=, ifname=, publish=, route=, link=, service=, sysctl=, link-local-ip=, gc= behind a colon, with commas';

const attach: Spec = {
  path: 'sandbox attach',
  args: ['ID'],
  summary: 'put a sandbox on networks: makes the endpoints and joins them, all or none',
  options: {
    network: {
      value: 'NET[:OPTIONS]',
      multiple: true,
      help: `a network to be on (needed), with ${attachmentHelp}`,
    },
    publish: { ...publishOption.publish, help: 'publish a port through whichever network carries the default route' },
    ...sandboxOptions,
    host: hostOption,
    ...sendOptions,
  },
  run: async (call, context) => {
    const sandbox = call.args[0] ?? '';
    const networks = call.texts('network').map((text) => parseAttachment(text));
    if (networks.length === 0) throw new UsageError('--network NET is missing', attach);
    const ports = call.texts('publish').map(parsePort);
    const input = { sandbox, networks, ports, ...sandboxFields(call) };
    return withClient(context, async (client) => {
      const outcome = await sendAndWait(call, context, client, {
        what: `sandbox ${sandbox}`,
        host: call.text('host'),
        send: (sender, options) => sender.attachSandbox(input, options),
      });
      if (call.flag('json')) printJson(context, outcome);
      else context.out(`attached ${sandbox}\n${await describeJoined(client, outcome)}`);
      return undefined;
    });
  },
};

const detach: Spec = {
  path: 'sandbox detach',
  args: ['ID'],
  summary: 'take a sandbox off its networks and delete what attach made',
  options: { host: hostOption, ...sendOptions },
  run: async (call, context) => {
    const sandbox = call.args[0] ?? '';
    return sendAndTell(call, context, {
      what: `sandbox ${sandbox}`,
      host: call.text('host'),
      send: (sender, options) => sender.detachSandbox({ sandbox }, options),
      done: `detached ${sandbox}`,
    });
  },
};

const restore: Spec = {
  path: 'sandbox restore',
  args: ['ID'],
  summary: 'make a sandbox again that was lost when its host was booted',
  options: { host: hostOption, ...sendOptions },
  run: async (call, context) => {
    const sandbox = call.args[0] ?? '';
    return sendAndTell(call, context, {
      what: `sandbox ${sandbox}`,
      host: call.text('host'),
      send: (sender, options) => sender.restoreSandbox({ sandbox }, options),
      done: `${sandbox} is to be made again; cnm events --follow says when it is there`,
    });
  },
};

const move: Spec = {
  path: 'sandbox move',
  args: ['ID'],
  summary: 'take a sandbox from one network to another, without it ending in between; as it was if that fails',
  options: {
    from: { value: 'NET', help: 'the network that it leaves (needed)' },
    to: { value: 'NET[:OPTIONS]', help: 'the network that it joins (needed), with options as for attach' },
    host: hostOption,
    ...sendOptions,
  },
  run: async (call, context) => {
    const sandbox = call.args[0] ?? '';
    const [from, to] = [call.text('from'), call.text('to')];
    if (from === undefined || to === undefined) {
      throw new UsageError(`--${from === undefined ? 'from NET' : 'to NET'} is missing`, move);
    }
    const input = { sandbox, from, to: parseAttachment(to, '--to') };
    return withClient(context, async (client) => {
      const outcome = await sendAndWait(call, context, client, {
        what: `sandbox ${sandbox}`,
        host: call.text('host'),
        send: (sender, options) => sender.moveSandbox(input, options),
      });
      const joined = { ...outcome, endpoints: outcome.endpoints.filter(({ interface: link }) => link !== null) };
      if (call.flag('json')) printJson(context, outcome);
      else context.out(`moved ${sandbox} from ${from} to ${input.to.network}\n${await describeJoined(client, joined)}`);
      return undefined;
    });
  },
};

/** What a program of a sandbox looks names up with, where it expects it. */
const filesIn = (paths: SandboxRow['paths']) =>
  paths === null
    ? []
    : [
        { path: paths.resolvConf, at: '/etc/resolv.conf' },
        { path: paths.hosts, at: '/etc/hosts' },
      ];

const exec: Spec = {
  path: 'sandbox exec',
  args: ['ID', 'CMD...'],
  summary: 'run a command in the network of a sandbox, with its names, and all other files of the host',
  options: { host: hostOption },
  run: async (call, context) => {
    const id = call.args[0] ?? '';
    const host = call.text('host');
    const filter = { id, ...(host === undefined ? {} : { host }) };
    const { rows } = await withClient(context, (client) => client.sandboxes({ filter }));
    const living = rows.filter(({ status }) => status !== 'removing');
    const { key, status, paths } = findOne(living, `sandbox ${id}`, (row) => `${row.host}/${row.id}`);
    if (status !== 'ready')
      throw new NotFound(
        `sandbox ${id} is not ready yet`,
        'Wait for it: `cnm history sandbox` says what is under way.',
      );
    const { execIn } = await import('../../drivers/kernel/exec.ts');
    try {
      return execIn(key, call.rest, environment(), filesIn(paths));
    } catch (error) {
      const [command] = call.rest;
      const code = error instanceof Error && 'code' in error ? error.code : '';
      // the shell's codes for a command that is not there, and for one that cannot be run
      if (code === 'ENOENT') return complain(context.err, `${command}: not found`, 127);
      if (code === 'EACCES') return complain(context.err, `${command}: cannot be run`, 126);
      if (code === 'EPERM') return complain(context.err, 'only root, or a rootless `cnm up` of yours, can enter it', 1);
      throw error;
    }
  },
};

const complain = (err: (text: string) => void, message: string, exit: number): number => {
  err(`cnm sandbox exec: ${message}\n`);
  return exit;
};

export const sandboxSpecs: readonly Spec[] = [
  attach,
  detach,
  move,
  restore,
  listing({ view: 'sandboxes', path: 'sandbox ls', summary: 'list sandboxes', columns }),
  inspection({
    view: 'sandboxes',
    path: 'sandbox inspect',
    summary: 'show one sandbox',
    args: ['ID'],
    filter: (call) => ({ sandbox: call.args[0] ?? '' }),
    describe,
    name: ({ host, incarnation }) => `${incarnation} on ${host}`,
  }),
  exec,
];
