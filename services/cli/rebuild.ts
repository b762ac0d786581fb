/** `cnm rebuild`: views folded anew from the opening of the log, held against the live ones, and put in their place. */
import { viewNames } from '../../events/queries.ts';
import type { Client, Rebuilt } from '../client/index.ts';
import { NoAnswer, NotFound, printJson, withClient } from './context.ts';
import { exits } from './failures.ts';
import { type Call, jsonOption, type Spec, UsageError } from './spec.ts';

type RebuildView = (typeof viewNames)[number] | 'all';

const BAR = 30;
const clearLine = '\r\u001b[K';

/** `[#######-------] 42 %  position 1200 of 2857` */
export const progressBar = (position: number, of: number): string => {
  const share = of === 0 ? 1 : position / of;
  const full = Math.round(share * BAR);
  return `[${'#'.repeat(full)}${'-'.repeat(BAR - full)}] ${Math.floor(share * 100)} %  position ${position} of ${of}`;
};

const isView = (text: string): text is RebuildView => text === 'all' || viewNames.some((view) => view === text);

const rateOf = (call: Call): { readonly eventsPerSecond?: number } => {
  const text = call.text('rate');
  if (text === undefined) return {};
  if (!/^[1-9]\d{0,8}$/.test(text))
    throw new UsageError(`--rate ${text}: write events per second, such as 20000`, rebuild);
  return { eventsPerSecond: Number(text) };
};

/** One line for what became of it, and one for each view that differs. */
export const describeRebuilt = (rebuilt: Rebuilt): string => {
  switch (rebuilt.kind) {
    case 'refused':
      return `projector ${rebuilt.projector}: ${rebuilt.code}: ${rebuilt.detail}\n`;
    case 'rollback':
      return `projector ${rebuilt.projector}: put back ${rebuilt.views.join(', ')} at position ${rebuilt.position}\n`;
    case 'report': {
      const { projector, view, position, equal, differences, swapped, durationMs } = rebuilt;
      const said = `${equal ? 'equal' : 'different'}${swapped ? ', and put in place' : ''}`;
      const lines = differences.map(
        ({ view: name, rows, different }) =>
          `  ${name} (${rows} rows): ${different.length === 0 ? 'in another order' : different.join(', ')}\n`,
      );
      const seconds = (durationMs / 1000).toFixed(1);
      return `projector ${projector}: ${view} at position ${position} is ${said} (${seconds} s)\n${lines.join('')}`;
    }
  }
};

/** Who may ask, and not look for services, finds none. */
const isAnswered = (client: Client): Promise<boolean> =>
  client.ask('status', {}).then(
    () => true,
    () => false,
  );

const isFine = (rebuilt: Rebuilt): boolean =>
  rebuilt.kind === 'rollback' || (rebuilt.kind === 'report' && rebuilt.equal);

const rebuild: Spec = {
  path: 'rebuild',
  args: ['VIEW'],
  summary: 'fold a view (or all) anew beside the live one, compare them, put it in place; exit code 1 when they differ',
  options: {
    rate: { value: 'EVENTS', help: 'at most so many events a second' },
    'dry-run': { help: 'compare only' },
    rollback: { help: 'put back what the last rebuild has replaced' },
    ...jsonOption,
  },
  run: async (call, context) => {
    const view = call.args[0] ?? '';
    if (!isView(view)) throw new UsageError(`no view ${view}: there are all, ${viewNames.join(', ')}`, rebuild);
    const [rollback, dryRun] = [call.flag('rollback'), call.flag('dry-run')];
    if (rollback && dryRun) throw new UsageError('--rollback and --dry-run exclude each other', rebuild);
    const request = { view, rollback, swap: !dryRun && !rollback, ...rateOf(call) };
    const show = (_projector: string, position: number, of: number): void => {
      if (context.errIsTerminal) context.err(`${clearLine}${progressBar(position, of)}`);
    };
    const [all, answers] = await withClient(context, async (client) => {
      const rebuilt = await client
        .rebuild(request, show)
        .finally(() => context.errIsTerminal && context.err(clearLine));
      return [rebuilt, rebuilt.length > 0 || (await isAnswered(client))] as const;
    });
    if (all.length === 0 && answers)
      throw new NotFound(
        'a projector answers, and none could be found to rebuild',
        'It takes the permissions to publish to $SRV.> and cnm.rebuild.> (docs/operations.md, Accounts).',
      );
    if (all.length === 0) throw new NoAnswer('no projector runs: start `cnm up`, or `cnm serve projector`');
    if (call.flag('json')) printJson(context, { projectors: all });
    else for (const rebuilt of all) (rebuilt.kind === 'refused' ? context.err : context.out)(describeRebuilt(rebuilt));
    return all.every(isFine) ? exits.done : exits.failed;
  },
};

export const rebuildSpecs: readonly Spec[] = [rebuild];
