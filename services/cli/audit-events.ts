/** `cnm audit export --cloudevents`: the recorded events under a filter, for reading. What was stored cannot be told from them. */
import { open } from 'node:fs/promises';
import type { Client, RecordedEvent } from '../client/index.ts';
import { withFiles } from './audit-streams.ts';
import { type Context, withClient } from './context.ts';
import { typesOf } from './event-types.ts';
import { mustEverBe } from './ever.ts';
import { type Call, type Options, type Spec, UsageError } from './spec.ts';
import { parseMoment } from './values.ts';

const filterNames = ['network', 'endpoint', 'sandbox', 'host', 'type', 'actor'] as const;

export const eventOptions = {
  cloudevents: { help: 'plain CloudEvents instead, for reading: they are neither verified nor imported' },
  network: { value: 'NETWORK', help: 'of CloudEvents: only of this network' },
  endpoint: { value: 'ENDPOINT', help: 'only of this endpoint' },
  sandbox: { value: 'SANDBOX', help: 'only of this sandbox' },
  host: { value: 'HOST', help: 'only of this host' },
  type: { value: 'TYPE,...', help: 'only these types, such as EndpointJoined' },
  actor: { value: 'ACTOR', help: 'only what this actor asked for' },
} as const satisfies Options;

/** A line of JSON. Attributes of CloudEvents are left out where there is nothing to say. */
const cloudEventLine = ({ host, ...event }: RecordedEvent): string =>
  `${JSON.stringify({ specversion: '1.0', ...event, ...(host === null ? {} : { host }) })}\n`;

const linesOf = async function* (client: Client, asked: NonNullable<Parameters<Client['events']>[0]>) {
  // All pages are of one moment. What a page that has a next one answers with is how far it has come, not where all end.
  const query = { ...asked, asOf: asked.asOf ?? (await client.ask('status', {})).position };
  for (let after: string | undefined; ; ) {
    const { rows, next } = await client.events(after === undefined ? query : { ...query, after });
    yield rows.map(cloudEventLine).join('');
    if (next === undefined) return;
    after = next;
  }
};

/** Keeps nothing that a slow reader has not taken. */
export const printAll = async ({ out, flushed }: Context, pieces: AsyncIterable<string>): Promise<void> => {
  for await (const piece of pieces) {
    out(piece);
    await flushed();
  }
};

/** @throws UsageError for a filter without `--cloudevents`, which would not be an export of the log */
export const refuseFilters = (call: Call, spec: Spec): void => {
  const asked = filterNames.filter((name) => call.text(name) !== undefined);
  if (asked.length > 0) throw new UsageError(`--${asked.join(', --')} can be had with --cloudevents alone`, spec);
};

export const exportEvents = (call: Call, context: Context, file: string, from: number | undefined): Promise<void> =>
  withClient(context, async (client) => {
    const [until, type] = [call.text('until'), call.text('type')];
    if (type !== undefined) typesOf(type);
    const filter: Readonly<Record<string, string>> = Object.fromEntries(
      filterNames.flatMap((name) => {
        const text = call.text(name);
        return text === undefined ? [] : [[name, text]];
      }),
    );
    const query = {
      filter: { ...filter, ...(from === undefined ? {} : { since: String(from) }) },
      ...(until === undefined ? {} : { asOf: parseMoment(until) }),
    };
    await mustEverBe(client, filter);
    const lines = linesOf(client, query);
    if (file === '-') return printAll(context, lines);
    // What cannot be asked empties no file.
    const first = await lines.next();
    await withFiles(async () => {
      const handle = await open(file, 'w');
      try {
        if (!first.done) await handle.write(first.value);
        for await (const more of lines) await handle.write(more);
        await handle.sync();
      } finally {
        await handle.close();
      }
    });
  });
