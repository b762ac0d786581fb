/** `cnm audit export --cloudevents`: the recorded events under a filter, for reading. What was stored cannot be told from them. */
import { open } from 'node:fs/promises';
import type { Client, RecordedEvent } from '../client/index.ts';
import { withFiles } from './audit-streams.ts';
import { type Context, withClient } from './context.ts';
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

const linesOf = async function* (client: Client, query: NonNullable<Parameters<Client['events']>[0]>) {
  for (let after: string | undefined; ; ) {
    const { rows, next, position } = await client.events(after === undefined ? query : { ...query, after });
    yield rows.map(cloudEventLine).join('');
    if (next === undefined) return;
    // All pages are of one moment.
    query = { ...query, asOf: position };
    after = next;
  }
};

/** @throws UsageError for a filter without `--cloudevents`, which would not be an export of the log */
export const refuseFilters = (call: Call, spec: Spec): void => {
  const asked = filterNames.filter((name) => call.text(name) !== undefined);
  if (asked.length > 0) throw new UsageError(`--${asked.join(', --')} can be had with --cloudevents alone`, spec);
};

export const exportEvents = (call: Call, context: Context, file: string, from: number | undefined): Promise<void> =>
  withClient(context, async (client) => {
    const until = call.text('until');
    const filter = Object.fromEntries(
      filterNames.flatMap((name) => {
        const text = call.text(name);
        return text === undefined ? [] : [[name, text]];
      }),
    );
    const query = {
      filter: { ...filter, ...(from === undefined ? {} : { since: String(from) }) },
      ...(until === undefined ? {} : { asOf: parseMoment(until) }),
    };
    if (file === '-') {
      for await (const lines of linesOf(client, query)) context.out(lines);
      return;
    }
    await withFiles(async () => {
      const handle = await open(file, 'w');
      try {
        for await (const lines of linesOf(client, query)) await handle.write(lines);
        await handle.sync();
      } finally {
        await handle.close();
      }
    });
  });
