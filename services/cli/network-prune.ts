/** `cnm network prune`. */
import type { Outcome } from '../../events/queries.ts';
import type { ViewRows } from '../../projections/views.ts';
import type { Client } from '../client/index.ts';
import { type Context, printJson, sendAndWait, sendOptions, withClient } from './context.ts';
import { report } from './failures.ts';
import { pruneFilter, pruneForm } from './network-filter.ts';
import type { Call, Spec } from './spec.ts';

/** The service's word for a host on which nothing matches: for a person no failure. */
const NOTHING = 'NOTHING_TO_PRUNE';

const codeOf = (error: unknown): unknown => (error instanceof Error && 'code' in error ? error.code : undefined);

/** The outcome of a command that failed: part of what it was to delete may be gone all the same. */
const outcomeOf = (error: unknown): Outcome | null =>
  error instanceof Error && error.name === 'CommandFailed' && 'outcome' in error ? (error.outcome as Outcome) : null;

/** Every network that an outcome's command has deleted: those that were there before and are not any more. */
const goneOf = async (client: Client, { position }: Outcome, before: readonly ViewRows['networks'][]) => {
  const { rows } = await client.networks({ atLeast: position });
  const left = new Set(rows.map(({ id }) => id));
  return before.filter(({ id }) => !left.has(id));
};

export const pruneAll = async (call: Call, context: Context, client: Client): Promise<number | undefined> => {
  const input = pruneFilter(call.texts('filter'), context.clock.nowMs());
  const named = call.text('host');
  const { rows } = await client.networks(named === undefined ? {} : { filter: { host: named } });
  const deleted: string[] = [];
  let exit: number | undefined;
  // Networks of all hosts are nobody's to prune: who is in them on other hosts is not for one to say.
  for (const host of new Set(rows.map((row) => row.host).filter((name) => name !== ''))) {
    const own = rows.filter((row) => row.host === host);
    let outcome: Outcome | null;
    try {
      outcome = await sendAndWait(call, context, client, {
        what: `networks of ${host}`,
        host,
        send: (sender, options) => sender.pruneNetworks(input, options),
      });
    } catch (error) {
      if (codeOf(error) !== NOTHING) exit = report(context, error, false);
      outcome = outcomeOf(error);
    }
    for (const { name } of outcome === null ? [] : await goneOf(client, outcome, own)) {
      deleted.push(`${host}/${name}`);
      if (!call.flag('json')) context.out(`deleted network ${host}/${name}\n`);
    }
  }
  if (call.flag('json')) printJson(context, { deleted });
  else if (deleted.length === 0 && exit === undefined)
    context.out('nothing to delete: no network without endpoints matches\n');
  return exit;
};

export const pruneSpec: Spec = {
  path: 'network prune',
  args: [],
  summary: 'delete all networks of hosts that have no endpoints, but none that is config only',
  options: {
    filter: { value: pruneForm, multiple: true, help: 'only those with (without) all these labels, made before then' },
    host: { value: 'HOST', help: 'only of this host' },
    ...sendOptions,
  },
  run: (call, context) => withClient(context, (client) => pruneAll(call, context, client)),
};
