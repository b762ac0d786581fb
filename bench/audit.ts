// Verifying and exporting a log against a bare ordered consumer that parses the same messages, in the same run:
// `node bench/audit.ts [EVENTS] [ROUNDS]`. Prints one line of JSON: the ratios of the slowest variant, and the figures of each. Every
// measurement has a process of its own.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { exportToFile } from '../services/audit/export-file.ts';
import { verifyLog } from '../services/audit/verify.ts';
import { jetStream } from '../services/nats/jetstream.ts';
import { checkpointStream, logStream } from '../services/nats/stream-config.ts';
import { startNats } from '../test/support/nats.ts';
import { printResult } from './lib.ts';
import { fillLog, readBare } from './log-stream.ts';
import { chainedLog, type Grouping } from './rebuild-log.ts';

const STREAM = logStream.name;

const variants: Readonly<Record<string, Grouping>> = {
  one_event_per_message: { kind: 'event' },
  one_command_per_message: { kind: 'command' },
  group_commits: { kind: 'group', size: 8 },
};

const verify = async (connection: NatsConnection): Promise<void> => {
  const [log, checkpoint] = [jetStream(connection, STREAM), jetStream(connection, checkpointStream.name)];
  const { findings } = await verifyLog({ log, checkpoint, commands: null }, new Map());
  if (findings.length > 0) throw new Error(JSON.stringify(findings.slice(0, 3)));
};

const exportAll = async (connection: NatsConnection): Promise<void> => {
  const folder = mkdtempSync(join(tmpdir(), 'cnm-bench-'));
  try {
    await exportToFile(join(folder, 'log'), { log: jetStream(connection, STREAM), checkpoints: [] });
  } finally {
    rmSync(folder, { recursive: true });
  }
};

const measurements: Readonly<Record<string, (connection: NatsConnection) => Promise<void>>> = {
  bare: readBare,
  verify,
  export: exportAll,
};

const measure = async (url: string, what: string): Promise<void> => {
  const connection = await connect({ servers: url, noAsyncTraces: true });
  const startedMs = performance.now();
  await measurements[what]?.(connection);
  printResult({ seconds: (performance.now() - startedMs) / 1_000 });
  await connection.close();
};

const inOwnProcess = (url: string, what: string): number => {
  const { stdout, stderr, status } = spawnSync(process.execPath, [import.meta.filename, '--measure', url, what], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${what}: ${stderr}`);
  return (JSON.parse(stdout) as { seconds: number }).seconds;
};

const median = (numbers: readonly number[]): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0;

const runVariant = async (events: number, rounds: number, grouping: Grouping) => {
  // what is measured is reading; syncing every append of a million would only take longer
  const nats = await startNats({ sync: '2m' });
  try {
    const connection = await nats.connect();
    const written = await fillLog(connection, chainedLog(events, grouping, STREAM));
    await (await jetstreamManager(connection)).streams.add({ ...checkpointStream });
    const found: Record<string, number[]> = { bare: [], verify: [], export: [] };
    for (let round = 0; round < rounds; round++)
      for (const what of Object.keys(found)) found[what]?.push(inOwnProcess(nats.url, what));
    const rate = (what: string) => Math.round(written.events / median(found[what] ?? []));
    const ratio = (what: string) => Number((rate(what) / rate('bare')).toFixed(2));
    return {
      ...written,
      bare_events_per_s: rate('bare'),
      verify_events_per_s: rate('verify'),
      export_events_per_s: rate('export'),
      verify_ratio: ratio('verify'),
      export_ratio: ratio('export'),
    };
  } finally {
    await nats.stop();
  }
};

const run = async (events: number, rounds: number): Promise<void> => {
  const results: Record<string, Awaited<ReturnType<typeof runVariant>>> = {};
  for (const [name, grouping] of Object.entries(variants)) results[name] = await runVariant(events, rounds, grouping);
  const all = Object.values(results);
  const verify_ratio = Math.min(...all.map((one) => one.verify_ratio));
  const export_ratio = Math.min(...all.map((one) => one.export_ratio));
  printResult({ events, verify_ratio, export_ratio, variants: results });
};

const [first = '1000000', second = '3', third = ''] = process.argv.slice(2);
// the test server does not keep its parent alive, and its end has to be waited for
const alive = setInterval(() => undefined, 60_000);
if (first === '--measure') await measure(second, third);
else await run(Number(first), Number(second));
clearInterval(alive);
