/** `cnm watch`: what is, then everything that happens to it, one line each, and where to go on after a break. */
import { type ViewName, viewNames } from '../../events/queries.ts';
import type { WatchItem, WatchOptions } from '../client/index.ts';
import { sleep } from '../lib/clock.ts';
import { labelledViews } from '../projector/watch.ts';
import { parseCursor } from '../projector/watch-position.ts';
import { type Context, printJson, withClient } from './context.ts';
import { CursorFile, readCursor } from './cursor-file.ts';
import { typesOf } from './event-types.ts';
import { followed, shownOf, tellAwaited } from './events.ts';
import { type Call, jsonOption, type Spec, UsageError } from './spec.ts';

/** A cursor is never further behind, however little passes: so much is read again. */
const PASSING_EVERY = 1_000;

/** So few wait that timers come to their turn between them. */
const BUFFER_MAX = 256;

const viewOf = (name: string): ViewName => {
  const view = viewNames.find((known) => known === name);
  if (view === undefined) throw new UsageError(`no view ${name}: there are ${viewNames.join(', ')}`, watch);
  return view;
};

/** A cursor that is kept counts more than where to begin without one. */
const startOf = (call: Call): Pick<WatchOptions, 'from'> => {
  const file = call.text('cursor');
  const from = (file === undefined ? null : readCursor(file)) ?? call.text('from');
  if (from === undefined) return {};
  if (parseCursor(from) === null) throw new UsageError(`--from: ${from.slice(0, 40)} is no position`, watch);
  return { from };
};

const optionsOf = (call: Call): WatchOptions => {
  const [view] = call.args;
  const [network, host, types] = [call.text('network'), call.text('host'), call.text('type')];
  const label = call.texts('label');
  if (label.includes('')) throw new UsageError('--label: write KEY or KEY=VALUE', watch);
  if (label.length > 0 && view !== undefined && !labelledViews.some((labelled) => labelled === view))
    throw new UsageError(`${view} have no labels: there are ${labelledViews.join(', ')}`, watch);
  return {
    ...(view === undefined ? {} : { view: viewOf(view) }),
    ...(network === undefined ? {} : { network }),
    ...(host === undefined ? {} : { host }),
    ...(types === undefined ? {} : { types: typesOf(types) }),
    ...(label.length === 0 ? {} : { label }),
    ...startOf(call),
    bufferMax: BUFFER_MAX,
    ...(call.text('cursor') === undefined ? {} : { passingEvery: PASSING_EVERY }),
  };
};

const print = (call: Call, context: Context, item: WatchItem): void => {
  if (item.kind === 'passing') return;
  if (item.kind === 'event') {
    const event = shownOf(item);
    if (call.flag('json')) printJson(context, { kind: 'event', cursor: item.cursor, ...event });
    else context.out(followed(event));
    return;
  }
  const [view] = call.args;
  if (view === undefined) return;
  if (call.flag('json')) printJson(context, item);
  else
    context.out(
      [`${item.position}: ${item.rows.length} ${view}`, ...item.rows.map((row) => JSON.stringify(row)), ''].join('\n'),
    );
};

/** Prints what comes, and keeps where it is, until the process is told to end. @throws CursorFault; what ended the watch */
const follow = async (call: Call, context: Context, watching: AsyncIterableIterator<WatchItem>): Promise<void> => {
  const path = call.text('cursor');
  const { clock } = context;
  const failure = Promise.withResolvers<never>();
  const cursor = path === undefined ? null : new CursorFile(path, clock, failure.reject);
  const work = async (): Promise<void> => {
    for await (const item of watching) {
      print(call, context, item);
      await context.flushed();
      if (!cursor) continue;
      const isDue = cursor.passed(item.cursor);
      if (!isDue && item.kind === 'event') continue;
      // What could not be printed ends the process here, before it is taken for printed.
      await sleep(clock, 0);
      cursor.save();
    }
    cursor?.save();
  };
  const end = (): void => void watching.return?.();
  process.once('SIGINT', end).once('SIGTERM', end);
  try {
    await Promise.race([work(), failure.promise]);
  } finally {
    process.off('SIGINT', end).off('SIGTERM', end);
    end();
  }
};

const watch: Spec = {
  path: 'watch',
  args: ['[VIEW]'],
  summary: 'the rows of a view, then every event as it comes, without gap; goes on where it stopped with --cursor',
  options: {
    network: { value: 'NETWORK', help: 'only of this network' },
    host: { value: 'HOST', help: 'only of this host' },
    label: {
      value: 'KEY[=VALUE]',
      multiple: true,
      help: 'only of networks and endpoints with this label, of several all',
    },
    type: { value: 'TYPE,...', help: 'only events of these types, such as EndpointJoined' },
    from: { value: 'POSITION', help: 'events behind this position, and no rows; from now on when left out' },
    cursor: { value: 'FILE', help: 'keeps the position of what was printed, and goes on there; begins as without it' },
    json: { ...jsonOption.json, help: 'one JSON document each' },
  },
  run: async (call, context) => {
    const options = optionsOf(call);
    await withClient(context, async (client) => {
      await tellAwaited(context, client, options);
      await follow(call, context, client.watch(options));
    });
    return undefined;
  },
};

export const watchSpecs: readonly Spec[] = [watch];
