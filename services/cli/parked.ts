/** `cnm parked`: events that nobody can read or that cannot be folded, what waits behind them, and what becomes of them. */
import type { ParkedRow } from '../../projections/parked.ts';
import type { ViewRows } from '../../projections/views.ts';
import type { Client } from '../client/index.ts';
import type { Trial } from '../projector/try-parked.ts';
import { withStreams } from './audit-streams.ts';
import { type Context, NotFound, printJson, sendAndWait, sendOptions, withClient } from './context.ts';
import { describeChange, withoutBookkeeping } from './diff.ts';
import { describeFields, inspection, listing } from './listing.ts';
import { type Call, type Spec, UsageError } from './spec.ts';
import { type Column, orDash, shortTime } from './table.ts';

/** How long the views may take to fold the log anew: some ten seconds for a million events. */
const REFOLD_MS = 30_000;

const columns: readonly Column<ViewRows['parked']>[] = [
  { title: 'EVENT', text: ({ position }) => position },
  { title: 'HOST', text: ({ host }) => orDash(host) },
  { title: 'ABOUT', text: ({ key }) => key },
  { title: 'TYPE', text: ({ type }) => orDash(type) },
  { title: 'WAITING', text: ({ waiting }) => String(waiting) },
  { title: 'SINCE', text: ({ since }) => shortTime(since) },
  { title: 'WHY', text: ({ reason }) => reason },
];

const ls: Spec = listing({
  view: 'parked',
  path: 'parked ls',
  summary: 'events that cannot be folded, and how many later ones wait behind each',
  columns,
});

const show: Spec = inspection({
  view: 'parked',
  path: 'parked show',
  summary: 'one of them, and what waits behind it',
  args: ['EVENT'],
  filter: (call) => ({ position: eventOf(call) }),
  name: ({ position }) => position,
  describe: (row) =>
    describeFields({
      event: row.position,
      about: row.key,
      type: row.type,
      host: row.host,
      since: shortTime(row.since),
      why: row.reason,
      waiting: row.waiting === 0 ? 'nothing' : String(row.waiting),
      behind: row.behind.join(' '),
    }),
});

/** `812.0`, or `812` for the first of that commit. */
const eventOf = (call: Call, spec: Spec = show): string => {
  const text = call.args[0] ?? '';
  if (!/^\d{1,15}(\.\d{1,9})?$/.test(text)) throw new UsageError(`${text} is no event such as 812.0`, spec);
  return text.includes('.') ? text : `${text}.0`;
};

/** @throws NotFound where the views have parked nothing there, unless it is to be sent all the same; of what is not on the log nothing is */
const rowOf = async (client: Client, event: string, isForced: boolean): Promise<ParkedRow | null> => {
  const { rows, position } = await client.parked({ filter: { position: event } });
  const [row] = rows;
  if (Number.parseInt(event, 10) > position)
    throw new NotFound(`there is no event ${event}: the log ends at position ${position}`, 'See `cnm parked ls`.');
  if (row || isForced) return row ?? null;
  throw new NotFound(
    `no view has parked ${event}`,
    'See `cnm parked ls`. Where a controller or worker has parked it, --force sends it all the same.',
  );
};

/** Lines on what a trial has found. */
export const describeTrial = (
  event: string,
  row: ParkedRow | null,
  trial: Trial,
  verb: 'retry' | 'discard',
): string => {
  const waiting = row?.waiting ?? 0;
  const lines = [
    trial.reason === null
      ? `${event}: this version folds it\n`
      : `${event}: this version cannot fold it: ${trial.reason}\n`,
    waiting === 0 ? 'nothing waits behind it\n' : `${waiting} events wait behind it: ${row?.behind.join(' ')}\n`,
  ];
  if (verb === 'retry' && trial.reason !== null) lines.push('a retry would change nothing here\n');
  if (verb === 'discard' && trial.reason === null) lines.push('a discard would change nothing here\n');
  if (verb === 'retry' || trial.reason === null) return lines.join('');
  const changes = trial.changes.flatMap((change) => withoutBookkeeping(change) ?? []);
  lines.push(changes.length === 0 ? 'discarding it changes no view\n' : 'discarding it changes:\n');
  for (const change of changes) lines.push(describeChange(change));
  for (const next of trial.parked) lines.push(`then ${next.position} is parked: ${next.reason}\n`);
  return lines.join('');
};

const tryOut = async (call: Call, context: Context, event: string, verb: 'retry' | 'discard'): Promise<undefined> => {
  const row = await withClient(context, (client) => rowOf(client, event, call.flag('force')));
  const { tryParked } = await import('../projector/try-parked.ts');
  const trial = await withStreams(context, ({ log }) => tryParked(log, event));
  if (call.flag('json')) printJson(context, { event, row, ...trial });
  else context.out(describeTrial(event, row, trial, verb));
  return undefined;
};

/** A controller or a worker may have parked it all the same. */
const unseen = 'is parked by no view, and was by none';

const settle = async (call: Call, context: Context, spec: Spec, verb: 'retry' | 'discard'): Promise<undefined> => {
  const event = eventOf(call, spec);
  const reason = call.text('reason') ?? '';
  if (call.flag('dry-run')) return tryOut(call, context, event, verb);
  if (verb === 'discard' && reason === '') throw new UsageError('--reason is missing', spec);
  const [position = 0, index = 0] = event.split('.').map(Number);
  return withClient(context, async (client) => {
    const row = await rowOf(client, event, call.flag('force'));
    const outcome = await sendAndWait(call, context, client, {
      what: `event ${event}`,
      send: (sender, options) =>
        verb === 'retry'
          ? sender.retryParked({ position, index }, options)
          : sender.discardParked({ position, index, reason }, options),
    });
    const { rows } = await client.parked({
      atLeast: outcome.position,
      timeoutMs: REFOLD_MS,
      filter: { position: event },
    });
    const isParked = rows.length > 0;
    if (call.flag('json')) printJson(context, { event, position: outcome.position, parked: isParked });
    else
      context.out(
        `${event} ${isParked ? 'is still parked' : row ? 'is parked no more' : unseen} (position ${outcome.position})\n`,
      );
    return undefined;
  });
};

const options = {
  'dry-run': { help: 'try it here and say what would change; nothing is sent' },
  force: { help: 'also where no view has parked it' },
  ...sendOptions,
};

const retry: Spec = {
  path: 'parked retry',
  args: ['EVENT'],
  summary: 'have whoever has parked it try again to fold it, and what waits behind it',
  options,
  run: (call, context) => settle(call, context, retry, 'retry'),
};

const discard: Spec = {
  path: 'parked discard',
  args: ['EVENT'],
  summary: 'have whoever has parked it go on without it, with what waits behind it; it stays on the log',
  options: { reason: { value: 'TEXT', help: 'why it may be left out; it is recorded' }, ...options },
  run: (call, context) => settle(call, context, discard, 'discard'),
};

export const parkedSpecs: readonly Spec[] = [ls, show, retry, discard];
