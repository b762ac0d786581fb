// Cold rebuild of all views against a bare ordered consumer that parses the same messages, in the same run:
// `node bench/rebuild.ts [EVENTS] [ROUNDS] [VARIANT]...`. Prints one line of JSON: the figures of the slowest variant, and of each. Every
// measurement has a process of its own.
import { spawnSync } from 'node:child_process';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { createViews } from '../projections/views.ts';
import { jetStream } from '../services/nats/jetstream.ts';
import { logStream } from '../services/nats/stream-config.ts';
import { foldUntil } from '../services/projector/fold.ts';
import { startNats } from '../test/support/nats.ts';
import { printResult } from './lib.ts';
import { fillLog, readBare } from './log-stream.ts';
import { benchLog, type Grouping } from './rebuild-log.ts';

const STREAM = logStream.name;

const variants: Readonly<Record<string, Grouping>> = {
  one_event_per_message: { kind: 'event' },
  one_command_per_message: { kind: 'command' },
  group_commits: { kind: 'group', size: 8 },
};

const decoder = new TextDecoder();

/** The same over the reader that the services use. */
const readOurs = async (connection: NatsConnection): Promise<void> => {
  const reader = jetStream(connection, STREAM).read({ from: 1 }, (message) => JSON.parse(decoder.decode(message.body)));
  await reader.caughtUp;
  await reader.stop();
};

const rebuild = async (connection: NatsConnection): Promise<void> => {
  const log = jetStream(connection, STREAM);
  const views = createViews();
  await foldUntil(log, views, await log.last());
  for (const [view, rows] of Object.entries(views.rows)) sizes[view] = rows.size;
};
const sizes: Record<string, number> = {};

const measurements: Readonly<Record<string, (connection: NatsConnection) => Promise<void>>> = {
  bare: readBare,
  ours: readOurs,
  rebuild,
};

const measure = async (url: string, what: string): Promise<void> => {
  const connection = await connect({ servers: url, noAsyncTraces: true });
  const startedMs = performance.now();
  await measurements[what]?.(connection);
  const seconds = (performance.now() - startedMs) / 1_000;
  const rssMb = Math.round(process.memoryUsage().rss / 1e6);
  printResult({ seconds, rssMb, sizes });
  await connection.close();
};

interface Measured {
  readonly seconds: number;
  readonly rssMb: number;
  readonly sizes: Readonly<Record<string, number>>;
}

const inOwnProcess = (url: string, what: string): Measured => {
  const { stdout, stderr, status } = spawnSync(process.execPath, [import.meta.filename, '--measure', url, what], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${what}: ${stderr}`);
  return JSON.parse(stdout) as Measured;
};

const median = (numbers: readonly number[]): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0;

const runVariant = async (events: number, rounds: number, grouping: Grouping) => {
  // what is measured is reading; syncing every append of a million would only take longer
  const nats = await startNats({ sync: '2m' });
  try {
    const written = await fillLog(await nats.connect(), benchLog(events, grouping));
    const found: Record<string, Measured[]> = { bare: [], ours: [], rebuild: [] };
    for (let round = 0; round < rounds; round++) {
      for (const what of Object.keys(found)) found[what]?.push(inOwnProcess(nats.url, what));
    }
    const rate = (what: string) =>
      Math.round(written.events / median((found[what] ?? []).map(({ seconds }) => seconds)));
    const last = found.rebuild?.at(-1);
    return {
      ...written,
      bare_events_per_s: rate('bare'),
      ours_events_per_s: rate('ours'),
      rebuild_events_per_s: rate('rebuild'),
      ratio: Number((rate('rebuild') / rate('bare')).toFixed(2)),
      rss_mb: median((found.rebuild ?? []).map(({ rssMb }) => rssMb)),
      bare_rss_mb: median((found.bare ?? []).map(({ rssMb }) => rssMb)),
      rows: last?.sizes,
    };
  } finally {
    await nats.stop();
  }
};

const run = async (events: number, rounds: number, names: readonly string[]): Promise<void> => {
  const results: Record<string, Awaited<ReturnType<typeof runVariant>>> = {};
  for (const [name, grouping] of Object.entries(variants)) {
    if (names.length === 0 || names.includes(name)) results[name] = await runVariant(events, rounds, grouping);
  }
  const slowest = Object.values(results).reduce((one, other) => (other.ratio < one.ratio ? other : one));
  const { bare_events_per_s, rebuild_events_per_s, ratio, rss_mb } = slowest;
  printResult({ events, bare_events_per_s, rebuild_events_per_s, ratio, rss_mb, variants: results });
};

const [first = '1000000', second = '3', ...rest] = process.argv.slice(2);
// the test server does not keep its parent alive, and its end has to be waited for
const alive = setInterval(() => undefined, 60_000);
if (first === '--measure') await measure(second, rest[0] ?? '');
else await run(Number(first), Number(second), rest);
clearInterval(alive);
