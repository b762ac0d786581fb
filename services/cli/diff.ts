/** `cnm diff FROM TO`: what differs between two moments. */
import type { Change } from '../../events/past-queries.ts';
import { allRows } from '../projector/rows.ts';
import { printJson, withClient } from './context.ts';
import { mustEverBe } from './ever.ts';
import { jsonOption, type Spec } from './spec.ts';
import { parseMoment } from './values.ts';

/** What changes with nearly everything, and says nothing that the other fields do not. */
const bookkeeping: ReadonlySet<string> = new Set([
  'changedPosition',
  'generation',
  'intent',
  'lastReport',
  'lastReportPosition',
]);

const singular: Readonly<Record<string, string>> = {
  sandboxes: 'sandbox',
  addresses: 'address',
  garbage: 'garbage',
  drift: 'drift',
  parked: 'parked',
  shredded: 'shredded',
  capacity: 'capacity',
};

const nounOf = (view: string): string => singular[view] ?? view.slice(0, -1);

const signs = { made: '+', gone: '-', changed: '~' } as const;

const textOf = (value: unknown): string =>
  value === undefined || value === null || value === ''
    ? '-'
    : typeof value === 'string'
      ? value
      : JSON.stringify(value);

/** Without what is bookkeeping; null when nothing is left. */
export const withoutBookkeeping = (change: Change): Change | null => {
  if (change.fields === undefined) return change;
  const fields = change.fields.filter(({ path }) => !bookkeeping.has(path.slice(1)));
  return fields.length === 0 ? null : { ...change, fields };
};

/** A line for each thing, and one below it for each field that has changed: `~ endpoint web/db`, `    status: idle -> joined`. */
export const describeChange = ({ view, name, change, row, fields = [] }: Change): string => {
  const host = typeof row?.host === 'string' && view !== 'hosts' ? ` on ${row.host}` : '';
  const lines = fields.map(
    ({ path, before, after }) => `    ${path.slice(1)}: ${textOf(before)} -> ${textOf(after)}\n`,
  );
  return `${signs[change]} ${nounOf(view)} ${name}${host}\n${lines.join('')}`;
};

const diff: Spec = {
  path: 'diff',
  args: ['FROM', '[TO]'],
  summary: 'what differs between two positions or times; without TO what has changed since',
  options: {
    network: { value: 'NETWORK', help: 'only of this network' },
    host: { value: 'HOST', help: 'only of this host' },
    view: { value: 'VIEW', multiple: true, help: 'only of this view, such as endpoints or commands' },
    all: { help: 'with what changes always: positions, generations, last reports' },
    ...jsonOption,
  },
  run: async (call, context) => {
    const [from = '', to] = call.args;
    const [network, host, views] = [call.text('network'), call.text('host'), call.texts('view')];
    const filter = {
      ...(network === undefined ? {} : { network }),
      ...(host === undefined ? {} : { host }),
      ...(views.length === 0 ? {} : { view: [...views] }),
    };
    const query = { from: parseMoment(from), ...(to === undefined ? {} : { asOf: parseMoment(to) }), filter };
    await withClient(context, async (client) => {
      const { position, rows } = await allRows(client.ask, 'diff', query);
      if (rows.length === 0) await mustEverBe(client, filter);
      const changes = (rows as unknown as readonly Change[]).flatMap((change) => {
        const shown = call.flag('all') ? change : withoutBookkeeping(change);
        return shown ? [shown] : [];
      });
      if (call.flag('json')) printJson(context, { from: query.from, position, rows: changes });
      else for (const change of changes) context.out(await client.seals.opened(describeChange(change)));
    });
    return undefined;
  },
};

export const diffSpecs: readonly Spec[] = [diff];
