/** `cnm watch`: what is, then everything that happens to it, line by line, to be gone on with after a break. */
import { eventVersions } from '../../events/envelope.ts';
import type { EventType } from '../../events/events.ts';
import { type ViewName, viewNames } from '../../events/queries.ts';
import type { Client, WatchItem, WatchOptions } from '../client/index.ts';
import { labelledViews } from '../projector/watch.ts';
import { withFiles } from './audit-streams.ts';
import { type Context, printJson, withClient } from './context.ts';
import { Cursor } from './cursor.ts';
import { followed, shownOf } from './events.ts';
import { type Call, jsonOption, type Spec, UsageError } from './spec.ts';

const isView = (name: string): name is ViewName => viewNames.some((view) => view === name);

const viewOf = (call: Call): ViewName | undefined => {
  const [view] = call.args;
  if (view === undefined || isView(view)) return view;
  throw new UsageError(`no view ${view}: there are ${viewNames.join(', ')}`, watch);
};

const positionOf = (text: string | undefined, where: string): string | undefined => {
  if (text === undefined || /^\d{1,15}(\.\d{1,9})?$/.test(text)) return text;
  throw new UsageError(`${where}: ${text.slice(0, 40)} is no position`, watch);
};

const typesOf = (text: string): readonly EventType[] => {
  const types = text.split(',').map((type) => type.trim());
  const unknown = types.filter((type) => !Object.hasOwn(eventVersions, type));
  if (unknown.length > 0) throw new UsageError(`no event types: ${unknown.join(', ')}`, watch);
  return types as readonly EventType[];
};

const optionsOf = (call: Call, from: string | undefined): WatchOptions => {
  const view = viewOf(call);
  const [network, host, label, type] = [call.text('network'), call.text('host'), call.text('label'), call.text('type')];
  if (view !== undefined && label !== undefined && !labelledViews.has(view))
    throw new UsageError(`${view} have no labels: there are ${[...labelledViews].join(', ')}`, watch);
  return {
    ...(view === undefined ? {} : { view }),
    ...(network === undefined ? {} : { network }),
    ...(host === undefined ? {} : { host }),
    ...(label === undefined ? {} : { label }),
    ...(type === undefined ? {} : { types: typesOf(type) }),
    ...(from === undefined ? {} : { from }),
  };
};

const print = (call: Call, context: Context, item: WatchItem): void => {
  const event = shownOf(item);
  if (call.flag('json')) printJson(context, event ?? item);
  else if (event) context.out(followed(event));
  else if (item.kind === 'snapshot' && call.args[0] !== undefined)
    context.out(`${item.position}: ${item.rows.length} ${call.args[0]}\n`);
};

/** Until the process is told to end, or the log cannot be read on. */
const follow = async (call: Call, context: Context, client: Client, cursor: Cursor | null): Promise<void> => {
  const known = cursor === null ? null : await withFiles(async () => cursor.read());
  const from = known === null ? call.text('from') : positionOf(known, call.text('cursor') ?? '');
  // A position that is not there, as of another log, would be waited for in vain.
  if (from !== undefined) await client.ask('incarnations', { asOf: Math.floor(Number(from)), limit: 1 });
  const items = client.watch(optionsOf(call, from));
  const end = (): void => void items.return?.();
  process.once('SIGINT', end).once('SIGTERM', end);
  try {
    for await (const item of items) {
      print(call, context, item);
      cursor?.passed(String(item.position));
    }
  } finally {
    process.off('SIGINT', end).off('SIGTERM', end);
    await withFiles(async () => cursor?.write());
  }
};

const watch: Spec = {
  path: 'watch',
  args: ['[VIEW]'],
  summary: 'what is in a view, then everything that happens, one line each, until it is ended',
  options: {
    network: { value: 'NETWORK', help: 'only of this network' },
    host: { value: 'HOST', help: 'only of this host' },
    label: { value: 'KEY[=VALUE]', help: 'only networks and endpoints that have this label' },
    type: { value: 'TYPE,...', help: 'only these types of events, such as EndpointJoined' },
    from: { value: 'POSITION', help: 'what comes behind this position, without what is now' },
    cursor: { value: 'FILE', help: 'keep there what was printed last, and go on behind it the next time' },
    ...jsonOption,
  },
  run: async (call, context) => {
    optionsOf(call, positionOf(call.text('from'), '--from'));
    const file = call.text('cursor');
    const cursor = file === undefined ? null : new Cursor(file, context.clock);
    await withClient(context, (client) => follow(call, context, client, cursor));
    return undefined;
  },
};

export const watchSpecs: readonly Spec[] = [watch];
