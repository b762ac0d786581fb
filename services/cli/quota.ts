/** `cnm quota`: ls, set, rm. What an actor may have at most. */
import type { ViewRows } from '../../projections/views.ts';
import { type Context, sendAndTell, sendOptions } from './context.ts';
import { listing } from './listing.ts';
import { type Call, type Options, type Spec, UsageError } from './spec.ts';
import type { Column } from './table.ts';

type Row = ViewRows['quotas'];

const limitNames = ['networks', 'endpoints', 'addresses', 'ports'] as const;

const useText = (row: Row, limit: (typeof limitNames)[number]): string => {
  const most = row.limits?.[limit] ?? null;
  return row.actor === '*' ? String(most ?? '-') : `${row[limit]}${most === null ? '' : ` of ${most}`}`;
};

const rateText = ({ limits }: Row): string => {
  if (limits === null || limits.rate === null) return '-';
  return `${limits.rate}/s${limits.burst === null ? '' : `, ${limits.burst} at once`}`;
};

const columns: readonly Column<Row>[] = [
  { title: 'ACTOR', text: ({ actor }) => actor },
  ...limitNames.map((limit): Column<Row> => ({ title: limit.toUpperCase(), text: (row) => useText(row, limit) })),
  { title: 'COMMANDS', text: rateText },
  { title: 'REFUSED', text: ({ refusedByRate, refusedByQuota }) => String(refusedByRate + refusedByQuota) },
];

const list = listing({
  view: 'quotas',
  path: 'quota ls',
  summary: 'what each actor has, what it may have (* for everybody without a quota), how much it was refused',
  args: { ACTOR: 'actor' },
  columns,
  hostless: true,
});

const limitOptions = {
  networks: { value: 'N', help: 'networks that it has created' },
  endpoints: { value: 'N', help: 'endpoints that it has created' },
  addresses: { value: 'N', help: 'addresses of those endpoints' },
  ports: { value: 'N', help: 'host ports published for them and for its sandboxes' },
  rate: { value: 'N', help: 'commands a second, over time' },
  burst: { value: 'N', help: 'commands at once (as many as in a second)' },
} as const satisfies Options;

/** @throws UsageError */
const numberOf = (call: Call, name: keyof typeof limitOptions): number | undefined => {
  const text = call.text(name);
  if (text === undefined) return undefined;
  const isWhole = name !== 'rate';
  if (isWhole ? !/^\d{1,9}$/.test(text) : !/^\d{1,6}(\.\d{1,3})?$/.test(text))
    throw new UsageError(`--${name} ${text}: write ${isWhole ? 'a whole number' : 'a number, such as 20 or 0.5'}`);
  return Number(text);
};

const everybody = '*';
const whose = (actor: string): string =>
  actor === everybody ? 'of everybody without one of their own' : `of ${actor}`;

type Limits = Partial<Record<keyof typeof limitOptions, number>> | null;

const send = async (call: Call, context: Context, limits: Limits, done: string): Promise<undefined> => {
  const [actor = ''] = call.args;
  const input = { limits, ...(actor === everybody ? {} : { actor }) };
  return sendAndTell(call, context, {
    what: `quota ${whose(actor)}`,
    send: (sender, options) => sender.setQuota(input, options),
    done: `${done} quota ${whose(actor)}`,
  });
};

const set: Spec = {
  path: 'quota set',
  args: ['ACTOR'],
  summary:
    "set what an actor may have at most ('*': everybody without a quota of their own); what is left out has no limit",
  options: { ...limitOptions, ...sendOptions },
  run: (call, context) => {
    const given = (Object.keys(limitOptions) as (keyof typeof limitOptions)[]).flatMap((name) => {
      const value = numberOf(call, name);
      return value === undefined ? [] : [[name, value] as const];
    });
    if (call.text('burst') !== undefined && call.text('rate') === undefined)
      throw new UsageError('--burst needs --rate: without one, commands are not counted', set);
    return send(call, context, Object.fromEntries(given), 'set');
  },
};

const remove: Spec = {
  path: 'quota rm',
  args: ['ACTOR'],
  summary: 'take a quota away; that of everybody holds instead',
  options: sendOptions,
  run: (call, context) => send(call, context, null, 'removed'),
};

export const quotaSpecs: readonly Spec[] = [list, set, remove];
