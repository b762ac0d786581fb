/** `cnm host`: ls, inspect. */
import type { ViewRows } from '../../projections/views.ts';
import { describeFields, inspection, listing } from './listing.ts';
import type { Spec } from './spec.ts';
import { type Column, orDash, shortTime } from './table.ts';

type HostRow = ViewRows['hosts'];

const describeUnderlay = ({ underlay, underlayAsked }: HostRow): string => {
  if (underlay !== null) return `${underlay.address} on ${underlay.device}, MTU ${underlay.mtu}`;
  return underlayAsked === null ? '' : `no ${underlayAsked} (CNM_UNDERLAY)`;
};

/** `alive`, or since when its worker has given no sign of life. */
export const describeLife = ({ alive, awaySince }: Pick<HostRow, 'alive' | 'awaySince'>): string =>
  alive ? 'alive' : `away since ${shortTime(awaySince ?? '')}`;

const lacking = ({ capabilities }: HostRow): readonly string[] =>
  Object.entries(capabilities).flatMap(([name, has]) => (has ? [] : [name]));

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
      status: describeLife(row),
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
      'first seen': shortTime(row.firstSeen),
      'facts stated': shortTime(row.statedAt),
      'last report': shortTime(row.lastReport),
    }),
});

export const hostSpecs: readonly Spec[] = [ls, inspect];
