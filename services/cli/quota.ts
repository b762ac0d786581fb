/** `cnm quota`: ls, set, rm. What an actor may have at most. */
import type { ViewRows } from '../../projections/views.ts';
import { type Context, printJson, sendAndTell, sendOptions, withClient } from './context.ts';
import { asOfOf } from './listing.ts';
import { type Call, listOptions, type Options, type Spec, UsageError } from './spec.ts';
import { type Column, orDash, renderTable } from './table.ts';

type QuotaRow = ViewRows['quotas'];

const everybody = '*';

/** A row of the view, and which limits hold for its actor: its own, or everybody's; null where nothing limits it. */
export interface Held extends QuotaRow {
  readonly held: { readonly of: string; readonly limits: NonNullable<QuotaRow['limits']> } | null;
}

/** @param rows all of the view, since what holds for one may stand in the row of everybody */
export const heldBy = (rows: readonly QuotaRow[]): readonly Held[] => {
  const others = rows.find(({ actor }) => actor === everybody)?.limits ?? null;
  const heldOf = ({ actor, limits }: QuotaRow): Held['held'] => {
    if (limits !== null) return { of: actor, limits };
    return others === null ? null : { of: everybody, limits: others };
  };
  return rows.map((row) => ({ ...row, held: heldOf(row) }));
};

const limitNames = ['networks', 'endpoints', 'addresses', 'ports'] as const;

const useText = (row: Held, limit: (typeof limitNames)[number]): string => {
  const most = row.held?.limits[limit] ?? null;
  return row.actor === everybody ? String(most ?? '-') : `${row[limit]}${most === null ? '' : ` of ${most}`}`;
};

const rateText = ({ held }: Held): string => {
  const { rate = null, burst = null } = held?.limits ?? {};
  return rate === null ? '-' : `${rate}/s${burst === null ? '' : `, ${burst} at once`}`;
};

const whoseText = ({ actor, held }: Held): string => (held?.of === actor ? 'own' : orDash(held?.of));

export const quotaColumns: readonly Column<Held>[] = [
  { title: 'ACTOR', text: ({ actor }) => actor },
  ...limitNames.map((limit): Column<Held> => ({ title: limit.toUpperCase(), text: (row) => useText(row, limit) })),
  { title: 'COMMANDS', text: rateText },
  { title: 'QUOTA', text: whoseText },
  { title: 'REFUSED', text: ({ refusedByRate, refusedByQuota }) => String(refusedByRate + refusedByQuota) },
];

const list: Spec = {
  path: 'quota ls',
  args: ['[ACTOR]'],
  summary:
    'what each actor has, what it may have (by a quota of its own, or by that of everybody, *), how much it was refused',
  options: listOptions,
  run: async (call, context) => {
    const [named] = call.args;
    const { position, rows: all } = await withClient(context, (client) => client.view('quotas', asOfOf(call)));
    const rows = heldBy(all).filter(({ actor }) => named === undefined || actor === named);
    if (call.flag('json')) printJson(context, { position, rows });
    else context.out(renderTable(quotaColumns, rows, context.width));
    return undefined;
  },
};

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
