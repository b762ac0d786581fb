/** `cnm events`: the recorded events themselves. */
import type { Client, RecordedEvent, WatchItem } from '../client/index.ts';
import { actorText } from './actor-text.ts';
import { type Context, NotFound, printJson, withClient } from './context.ts';
import { describeEvent, shortType } from './event-text.ts';
import { typesOf } from './event-types.ts';
import { mustEverBe, type Named, neverWas, tellPutAway } from './ever.ts';
import { asOfOf } from './listing.ts';
import { type Call, listOptions, type Spec, UsageError } from './spec.ts';
import { type Column, orDash, renderTable, shortTime } from './table.ts';
import { parseMoment } from './values.ts';

/** Names of the query's filter. */
type Filter = Readonly<Record<string, string>>;

type Shown = Omit<RecordedEvent, 'recordedtime'> & { readonly recordedtime?: string };

const columns: readonly Column<Shown>[] = [
  { title: 'POSITION', text: ({ position }) => position },
  { title: 'TIME', text: ({ time }) => shortTime(time) },
  { title: 'HOST', text: ({ host }) => orDash(host) },
  { title: 'EVENT', text: ({ type }) => shortType(type) },
  { title: 'ABOUT', text: describeEvent },
  { title: 'ACTOR', text: actorText },
];

/** Widths of a line that is shown before the next one is known. */
export const followed = (event: Shown): string =>
  [
    `${event.position.padEnd(8)}  ${shortTime(event.time)}  ${shortType(event.type).padEnd(23)}  ${describeEvent(event)}`,
    event.actor === '' ? '\n' : `  by ${actorText(event)}\n`,
  ].join('');

/** The pages of the recorded events that pass; answers where they end. */
export const eachPage = async (
  client: Client,
  query: NonNullable<Parameters<Client['events']>[0]>,
  take: (rows: readonly RecordedEvent[]) => void,
): Promise<number> => {
  for (let after: string | undefined; ; ) {
    const page = await client.events(after === undefined ? query : { ...query, after });
    take(page.rows);
    if (page.next === undefined) return page.position;
    after = page.next;
  }
};

/** Nothing is recorded of what never was, nor behind the end. @throws NotFound */
const mustBePossible = async (client: Client, filter: Filter, position: number): Promise<void> => {
  await mustEverBe(client, filter);
  if (Number(filter.since) > position)
    throw new NotFound(`the log ends at position ${position}, before ${filter.since}`, 'Name a position that it has.');
};

/** All recorded events that pass, as a table or a document; answers how many there are. @throws NotFound */
export const printEvents = async (context: Context, call: Call, filter: Filter): Promise<number> =>
  withClient(context, async (client) => {
    const rows: RecordedEvent[] = [];
    const query = { ...asOfOf(call), filter };
    const position = await eachPage(client, query, (page) => rows.push(...page));
    if (filter.since === undefined) await tellPutAway(context, client);
    if (rows.length === 0) await mustBePossible(client, filter, position);
    if (call.flag('json')) printJson(context, { position, rows });
    else if (rows.length > 0) context.out(renderTable(columns, rows, context.width));
    return rows.length;
  });

/** A watched event as a recorded one, but for when it was stored. */
export const shownOf = ({ position, host, event }: Extract<WatchItem, { readonly kind: 'event' }>): Shown => {
  const { meta, type, version, data } = event;
  return { ...meta, type: `cnm.${type}.v${version}`, data, position, host };
};

/** Who watches for what is to come is told that it is not there yet. */
export const tellAwaited = async ({ err }: Context, client: Client, filter: Named): Promise<void> => {
  const missing = await neverWas(client, filter);
  if (missing) err(`cnm: ${missing.message}: waiting for it\n`);
};

/** What is recorded since, then what comes, one line each, until the process is ended. */
const follow = (context: Context, call: Call, filter: Filter): Promise<undefined> =>
  withClient(context, async (client) => {
    await tellAwaited(context, client, filter);
    const print = (event: Shown): void => {
      if (call.flag('json')) printJson(context, event);
      else context.out(followed(event));
    };
    const { network, host, label, type } = filter;
    const from =
      filter.since === undefined ? undefined : await eachPage(client, { filter }, (rows) => rows.forEach(print));
    const watching = client.watch({
      ...(network === undefined ? {} : { network }),
      ...(host === undefined ? {} : { host }),
      ...(label === undefined ? {} : { label }),
      ...(type === undefined ? {} : { types: typesOf(type) }),
      ...(from === undefined ? {} : { from }),
    });
    for await (const item of watching) {
      if (item.kind === 'event') print(shownOf(item));
      await context.flushed();
    }
    return undefined;
  });

/** A position, an event's place or a time, as a filter takes it. */
export const since = (text: string): string => (/^\d+(\.\d+)?$/.test(text) ? text : String(parseMoment(text)));

const events: Spec = {
  path: 'events',
  args: [],
  summary: 'what has been decided and done, in order',
  options: {
    since: { value: 'POSITION|TIME', help: 'from there on' },
    follow: { short: 'f', help: 'go on with what comes; without --since from now on' },
    type: { value: 'TYPE,...', help: 'only these types, such as EndpointJoined' },
    network: { value: 'NETWORK', help: 'only of this network' },
    host: { value: 'HOST', help: 'only of this host' },
    label: { value: 'KEY[=VALUE]', help: 'only of networks and endpoints with this label' },
    ...listOptions,
  },
  run: async (call, context) => {
    const [from, type] = [call.text('since'), call.text('type')];
    if (type !== undefined) typesOf(type);
    const filter = {
      ...Object.fromEntries(
        ['type', 'network', 'host', 'label'].flatMap((name) => {
          const value = call.text(name);
          return value === undefined ? [] : [[name, value] as const];
        }),
      ),
      ...(from === undefined ? {} : { since: since(from) }),
    };
    if (!call.flag('follow')) {
      await printEvents(context, call, filter);
      return undefined;
    }
    if (call.text('as-of') !== undefined) throw new UsageError('--follow and --as-of exclude each other', events);
    return follow(context, call, filter);
  },
};

export const eventSpecs: readonly Spec[] = [events];
