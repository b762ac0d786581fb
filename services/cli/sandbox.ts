/** `cnm sandbox`: attach, detach, ls, inspect, exec. */
import type { ViewRows } from '../../projections/views.ts';
import { environment } from '../lib/config.ts';
import { NotFound, printJson, sendAndWait, sendOptions, withClient } from './context.ts';
import { describeEndpoints, sandboxFields, sandboxOptions } from './endpoint.ts';
import { describeFields, findOne, inspection, listing } from './listing.ts';
import { type Spec, UsageError } from './spec.ts';
import { type Column, orDash, shortTime } from './table.ts';
import { parseAttachment } from './values.ts';

type SandboxRow = ViewRows['sandboxes'];

const hostOption = { value: 'HOST', help: 'the host that is meant, when there are several' } as const;

const columns: readonly Column<SandboxRow>[] = [
  { title: 'ID', text: ({ id }) => id },
  { title: 'HOST', text: ({ host }) => host },
  { title: 'STATUS', text: ({ status }) => status },
  { title: 'NETWORKS', text: ({ members }) => orDash(members.map(({ network }) => network).join(' ')) },
  { title: 'CREATED', text: ({ createdAt }) => shortTime(createdAt) },
  { title: 'KEY', text: ({ key }) => key },
];

const describe = (row: SandboxRow): string =>
  describeFields({
    id: row.id,
    host: row.host,
    status: row.status,
    key: `${row.key}${row.owned ? '' : " (the caller's, never removed)"}`,
    created: shortTime(row.createdAt),
    ready: row.readyAt && shortTime(row.readyAt),
    hostname: row.hostname,
    domainname: row.domainname,
    members: row.members
      .map(({ interface: link, network, endpoint }) => `${link ?? '-'} = ${endpoint} on ${network}`)
      .join(', '),
  });

const attach: Spec = {
  path: 'sandbox attach',
  args: ['ID'],
  summary: 'put a sandbox on networks: makes the endpoints and joins them, all or none',
  options: {
    network: {
      value: 'NET[:ip=,ip6=,mac=,name=,alias=,gc=]',
      multiple: true,
      help: 'a network to be on (needed); the endpoint is named after the sandbox unless name= is given',
    },
    ...sandboxOptions,
    host: hostOption,
    ...sendOptions,
  },
  run: async (call, context) => {
    const sandbox = call.args[0] ?? '';
    const networks = call.texts('network').map(parseAttachment);
    if (networks.length === 0) throw new UsageError('--network NET is missing', attach);
    const input = { sandbox, networks, ...sandboxFields(call) };
    const outcome = await withClient(context, (client) =>
      sendAndWait(call, context, client, {
        what: `sandbox ${sandbox}`,
        host: call.text('host'),
        send: (sender, options) => sender.attachSandbox(input, options),
      }),
    );
    if (call.flag('json')) printJson(context, outcome);
    else context.out(`attached ${sandbox}\n${describeEndpoints(outcome)}  key ${outcome.sandbox?.key}\n`);
    return undefined;
  },
};

const detach: Spec = {
  path: 'sandbox detach',
  args: ['ID'],
  summary: 'take a sandbox off its networks and delete what attach made',
  options: { host: hostOption, ...sendOptions },
  run: async (call, context) => {
    const sandbox = call.args[0] ?? '';
    const outcome = await withClient(context, (client) =>
      sendAndWait(call, context, client, {
        what: `sandbox ${sandbox}`,
        host: call.text('host'),
        send: (sender, options) => sender.detachSandbox({ sandbox }, options),
      }),
    );
    if (call.flag('json')) printJson(context, outcome);
    else context.out(`detached ${sandbox}\n`);
    return undefined;
  },
};

const exec: Spec = {
  path: 'sandbox exec',
  args: ['ID', 'CMD...'],
  summary: 'run a command in the network of a sandbox',
  options: { host: hostOption },
  run: async (call, context) => {
    const id = call.args[0] ?? '';
    const host = call.text('host');
    const filter = { id, ...(host === undefined ? {} : { host }) };
    const { rows } = await withClient(context, (client) => client.sandboxes({ filter }));
    const living = rows.filter(({ status }) => status !== 'removing');
    const { key, status } = findOne(living, `sandbox ${id}`, (row) => `${row.host}/${row.id}`);
    if (status !== 'ready') throw new NotFound(`sandbox ${id} is not ready yet`);
    const { execIn } = await import('../../drivers/kernel/exec.ts');
    try {
      return execIn(key, call.rest, environment());
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
