/** `cnm host`: ls, inspect, resume, lost. */
import type { Regressed } from '../../projections/hosts.ts';
import type { ViewRows } from '../../projections/views.ts';
import { actorText } from './actor-text.ts';
import { sendAndTell, sendOptions } from './context.ts';
import { reasonOf, reasonOption } from './hold.ts';
import { describeFields, inspection, listing } from './listing.ts';
import { type Spec, UsageError } from './spec.ts';
import { type Column, orDash, shortTime } from './table.ts';

type HostRow = ViewRows['hosts'];

const describeUnderlay = ({ underlay, underlayAsked }: HostRow): string => {
  if (underlay !== null) return `${underlay.address} on ${underlay.device}, MTU ${underlay.mtu}`;
  return underlayAsked === null ? '' : `no ${underlayAsked} (CNM_UNDERLAY)`;
};

/** `alive`, or since when its worker has given no sign of life, or when it was declared lost; or that it has stopped. */
export const describeLife = ({
  alive,
  awaySince,
  lost,
  regressed,
}: Pick<HostRow, 'alive' | 'awaySince' | 'lost' | 'regressed'>): string => {
  if (lost !== null) return `lost since ${shortTime(lost.since)}`;
  if (alive && regressed?.status === 'stopped') return 'stopped: the log is older than what it had read';
  return alive ? 'alive' : `away since ${shortTime(awaySince ?? '')}`;
};

const lacking = ({ capabilities }: HostRow): readonly string[] =>
  Object.entries(capabilities).flatMap(([name, has]) => (has ? [] : [name]));

const describeRegressed = ({ status, since, seen, found }: Regressed): string =>
  `${status} since ${shortTime(since)}: had read ${seen.position}, the log ended at ${found.position}`;

const describeHeld = ({ entity, id, names, addresses, subnets, ports }: Regressed['held'][number]): string =>
  [
    `${entity} ${id}`,
    ...names,
    ...addresses,
    ...subnets,
    ...ports.map(({ protocol, hostAddress, hostPort }) => `${hostAddress}:${hostPort}/${protocol}`),
  ].join(' ');

const columns: readonly Column<HostRow>[] = [
  { title: 'HOST', text: ({ host }) => host },
  { title: 'STATUS', text: describeLife },
  { title: 'EPOCH', text: ({ epoch }) => String(epoch) },
  { title: 'UNDERLAY', text: (row) => orDash(describeUnderlay(row)) },
  { title: 'KERNEL', text: ({ kernel }) => kernel },
  { title: 'DRIVERS', text: ({ drivers }) => orDash(drivers.join(' ')) },
  { title: 'LACKS', text: (row) => orDash(lacking(row).join(' ')) },
  { title: 'LAST REPORT', text: ({ lastReport }) => shortTime(lastReport) },
];

const ls: Spec = listing({
  view: 'hosts',
  path: 'host ls',
  summary: 'list hosts: which are alive, and how others reach them',
  columns,
});

const inspect: Spec = inspection({
  view: 'hosts',
  path: 'host inspect',
  summary: 'show one host',
  args: ['HOST'],
  filter: (call) => ({ host: call.args[0] ?? '' }),
  name: ({ host }) => host,
  describe: (row) =>
    describeFields({
      host: row.host,
      status: row.lost ? `${describeLife(row)}, by ${actorText(row.lost)}: ${row.lost.reason}` : describeLife(row),
      epoch: String(row.epoch),
      kernel: row.kernel,
      'boot id': row.bootId,
      'run directory': row.runDir,
      underlay: describeUnderlay(row),
      MTU: String(row.mtu),
      lacks: lacking(row).join(' '),
      routes: row.routes.join(' '),
      pools: row.pools.map(({ base, size }) => `${base}/${size}`).join(' '),
      'IPv6 prefix': row.ula,
      drivers: row.drivers.join(' '),
      'older log': row.regressed ? describeRegressed(row.regressed) : '',
      held: row.regressed?.held.map(describeHeld).join('; ') ?? '',
      'first seen': shortTime(row.firstSeen),
      'facts stated': shortTime(row.statedAt),
      'last report': shortTime(row.lastReport),
    }),
});

const resume: Spec = {
  path: 'host resume',
  args: ['HOST'],
  summary: 'let a host go on that has stopped since the log is an older copy (docs/operations.md)',
  options: {
    keep: { help: 'what the log does not know stays as it is, and is given to nobody' },
    remove: { help: 'what the log does not know is removed, and given free' },
    ...sendOptions,
  },
  run: async (call, context) => {
    const host = call.args[0] ?? '';
    if (call.flag('keep') === call.flag('remove')) throw new UsageError('say either --keep or --remove', resume);
    const held = call.flag('keep') ? 'keep' : 'remove';
    return sendAndTell(call, context, {
      what: `host ${host}`,
      host: undefined,
      send: (sender, sent) => sender.resumeHost({ host, held }, sent),
      done: `host ${host} goes on; what the log does not know is ${held === 'keep' ? 'kept' : 'removed'}`,
    });
  },
};

const lost: Spec = {
  path: 'host lost',
  args: ['HOST'],
  summary: 'give free all that a host holds which is away and does not come back with what it had',
  options: { ...reasonOption, ...sendOptions },
  run: async (call, context) => {
    const [host = ''] = call.args;
    const input = { host, reason: reasonOf(call, () => lost) };
    return sendAndTell(call, context, {
      what: `host ${host}`,
      send: (sender, options) => sender.declareHostLost(input, options),
      done: `declared ${host} lost: what it held is free, addresses after their rest`,
    });
  },
};

export const hostSpecs: readonly Spec[] = [ls, inspect, resume, lost];
