/** `cnm history`: what was done to one thing, who asked for it, and what became of it. */
import type { EventData } from '../../events/events.ts';
import { CommandId, mintedMs } from '../../events/names.ts';
import type { HistoryRow } from '../../events/past-queries.ts';
import { actorText } from './actor-text.ts';
import { type Context, NotFound, printJson, withClient } from './context.ts';
import { eachPage, printEvents, since } from './events.ts';
import { mustEverBe, tellPutAway } from './ever.ts';
import { asOfOf } from './listing.ts';
import { type Call, listOptions, type Spec } from './spec.ts';
import { type Column, orDash, renderTable, shortTime } from './table.ts';

/** `12 ms`, `3.4 s`. */
export const shortTook = (tookMs: number | null): string => {
  if (tookMs === null) return '-';
  return tookMs < 1_000 ? `${tookMs} ms` : `${(tookMs / 1_000).toFixed(1)} s`;
};

const statusOf = ({ status, code }: HistoryRow): string => (code === null ? orDash(status) : `${status} ${code}`);

/** What a command is shown as; what a service noticed by itself has none. */
export const nameOf = ({ command }: Pick<HistoryRow, 'command'>): string => orDash(command);

const columns: readonly Column<HistoryRow>[] = [
  { title: 'POSITION', text: ({ position }) => position },
  { title: 'TIME', text: ({ time }) => shortTime(time) },
  { title: 'HOST', text: ({ host }) => orDash(host) },
  { title: 'COMMAND', text: nameOf },
  { title: 'STATUS', text: statusOf },
  { title: 'TOOK', text: ({ tookMs }) => shortTook(tookMs) },
  { title: 'ACTOR', text: actorText },
  { title: 'EVENTS', text: ({ events }) => events.map(({ type }) => type).join(' ') },
];

/** More are read by nobody. */
const SUMS_MAX = 5;

interface Noun {
  readonly word: string;
  readonly arg: string;
  readonly what: string;
  /** Name of the query's filter; of a command its type, where it is written as one, else its id. */
  readonly field: (text: string) => string;
  readonly inNetwork?: true;
}

const plain = (word: string, arg: string, what: string): Noun => ({ word, arg, what, field: () => word });

const nouns: readonly Noun[] = [
  plain('network', 'NAME', 'a network'),
  { ...plain('endpoint', 'NAME', 'an endpoint'), inNetwork: true },
  { ...plain('sandbox', 'ID', 'a sandbox'), inNetwork: true },
  { ...plain('address', 'IP', 'an address and its holders'), inNetwork: true },
  { ...plain('mac', 'MAC', 'a MAC address and its holders'), inNetwork: true },
  { ...plain('port', 'PORT', 'a host port, written PORT[/PROTO] or HOST/PROTO/PORT'), inNetwork: true },
  plain('host', 'HOST', 'a host'),
  {
    ...plain('command', 'ID|TYPE', 'a command, or of all of a type'),
    field: (text) => (/^[A-Z]/.test(text) ? 'command' : 'commandid'),
  },
  { ...plain('actor', 'NAME', 'whatever an actor asked for') },
];

/** Options that the noun has, as fields of the filter. */
const narrowing = (call: Call, { word, inNetwork }: Noun): readonly (readonly [string, string | undefined])[] => [
  ['network', inNetwork ? call.text('network') : undefined],
  ['host', word === 'host' ? undefined : call.text('host')],
];

/** Endpoints are written `NETWORK/NAME` wherever they are shown. */
const splitEndpoint = ({ word }: Noun, text: string): readonly [what: string, network?: string] => {
  const slash = word === 'endpoint' ? text.lastIndexOf('/') : -1;
  return slash < 0 ? [text] : [text.slice(slash + 1), text.slice(0, slash)];
};

const filterOf = (call: Call, noun: Noun): Readonly<Record<string, string>> => {
  const [what, network] = splitEndpoint(noun, call.args[0] ?? '');
  const from = call.text('since');
  const given = narrowing(call, noun).flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]));
  return {
    ...(network === undefined ? {} : { network }),
    ...Object.fromEntries(given),
    [noun.field(what)]: what,
    ...(from === undefined ? {} : { since: since(from) }),
  };
};

/**
 * Nothing is recorded. A command may have been refused in a sum all the same (docs/adr/0034): no event has its id, and what can be said is
 * which sums were recorded since it was sent, which its id says.
 */
const nothing = async (context: Context, call: Call, noun: Noun): Promise<NotFound> => {
  const [what = ''] = call.args;
  const text = `nothing is recorded about ${noun.word} ${what}`;
  if (noun.field(what) !== 'commandid' || !CommandId.safeParse(what).success)
    return new NotFound(text, 'See `cnm events`.');
  const since = new Date(mintedMs(what)).toISOString();
  const filter = { type: 'CommandsRefused', since };
  const sums: string[] = [];
  await withClient(context, (client) =>
    eachPage(client, { filter }, (rows) => {
      for (const { position, data } of rows.slice(0, SUMS_MAX - sums.length)) {
        const { actor, code, count } = data as EventData<'CommandsRefused'>;
        sums.push(`${count} of ${actor} as ${code} at ${position}`);
      }
    }),
  );
  return new NotFound(
    `${text}: it is not decided, or was refused in a sum, which has no ids`,
    sums.length === 0
      ? `None was refused in a sum since it was sent (${since}). Ask again later; or send it once more under the same id.`
      : `Refused in sums since it was sent: ${sums.join(', ')}. Is it one of these, send it once more under the same id, later.`,
  );
};

const history = (noun: Noun): Spec => ({
  path: `history ${noun.word}`,
  args: [noun.arg],
  summary: `everything that happened to ${noun.what}: who asked for it, why, and what became of it`,
  options: {
    ...(noun.inNetwork ? { network: { value: 'NETWORK', help: 'only in this network' } } : {}),
    ...(noun.word === 'host' ? {} : { host: { value: 'HOST', help: 'only on this host' } }),
    since: { value: 'POSITION|TIME', help: 'from there on' },
    events: { help: 'the recorded events themselves, not one line for each command' },
    ...listOptions,
  },
  run: async (call, context) => {
    const filter = filterOf(call, noun);
    if (call.flag('events')) {
      const count = await printEvents(context, call, filter);
      if (count === 0 && !call.flag('json')) throw await nothing(context, call, noun);
      return undefined;
    }
    const { position, rows } = await withClient(context, async (client) => {
      const answer = await client.history({ ...asOfOf(call), filter });
      if (filter.since === undefined) await tellPutAway(context, client);
      if (answer.rows.length === 0) await mustEverBe(client, filter);
      return answer;
    });
    if (call.flag('json')) printJson(context, { position, rows });
    else if (rows.length === 0) throw await nothing(context, call, noun);
    else context.out(renderTable(columns, rows, context.width));
    return undefined;
  },
});

export const historySpecs: readonly Spec[] = nouns.map(history);
