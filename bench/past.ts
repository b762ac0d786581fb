// Questions about the past, asked of a projector in a process of its own over NATS, of a log that a witness has made with the controller and
// a worker on a kernel in memory: `node bench/past.ts [COMMANDS] [QUESTIONS]`. Prints one line of JSON: how long each query takes, how
// many answers were not what the witness knows, and how large index and ledger are.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import type { QueryInput } from '../events/queries.ts';
import { connect } from '../services/client/index.ts';
import { systemClock } from '../services/lib/clock.ts';
import { readConfig } from '../services/lib/config.ts';
import { connectNats } from '../services/nats/connection.ts';
import { jetStream } from '../services/nats/jetstream.ts';
import { STREAMS } from '../services/nats/stream-config.ts';
import { provision } from '../services/nats/streams.ts';
import { createProjector, type Projector } from '../services/projector/projector.ts';
import { serveQueries } from '../services/projector/serve.ts';
import { MemoryMachine, memoryKernel } from '../test/support/memory-kernel.ts';
import { startNats } from '../test/support/nats.ts';
import { type Ask, questionsOf } from '../test/support/questions.ts';
import { host, realm, System } from '../test/support/system.ts';
import { type Book, Witness } from '../test/support/witness.ts';
import { percentile, printResult, round } from './lib.ts';

const logger = pino({ level: 'error' }, pino.destination({ dest: 2, sync: true }));
const WARM = 100;

/** The same choices every time (the constants of C's `rand`). */
const choices = (seed: number): (() => number) => {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state / 2_147_483_648;
  };
};
const random = choices(5);

/** A log of so many commands, of which some fail and some are refused, and what their senders were told. */
const write = async (url: string, commands: number): Promise<Book> => {
  const connection = await connectNats({ url, role: 'bench', log: logger });
  const provisioned = await provision(connection, { sync: { kind: 'embedded' } as never });
  if (!provisioned.ok) throw new Error(JSON.stringify(provisioned.problems));
  const streams = { log: jetStream(connection, STREAMS.log), commands: jetStream(connection, STREAMS.commands) };
  const machine = new MemoryMachine();
  machine.fail({ when: ({ op, object }) => op === 'create' && object.kind === 'veth' && random() < 0.05 });
  const witness = new Witness({
    ...{ actors: 20, commands, networks: ['red', 'green', 'blue', 'grey'], random },
    send: (subject, body, id) => void streams.commands.append({ subject, body, id }),
  });
  const kernel = memoryKernel(machine, { realm, host });
  const system = await new System({ ...streams, kernel, runDir: '/run/cnm/bench', publish: witness.take }).start();
  const book = await witness.work();
  await system.stop();
  await connection.close();
  return book;
};

/** Snapshots of what was there at the start are made slowly, beside everything else: whoever asks much later finds them. */
const untilWarm = async (projector: Projector): Promise<number> => {
  for (let before = -1; ; await sleep(2_000)) {
    const { rows } = await projector.query('status');
    const { snapshots } = rows[0] as { snapshots: { count: number } };
    if (snapshots.count > 0 && snapshots.count === before) return snapshots.count;
    before = snapshots.count;
  }
};

/** In a process of its own: serves until its input ends. */
const serve = async (url: string): Promise<void> => {
  const connection = await connectNats({ url, role: 'projector', log: logger });
  const before = process.memoryUsage().heapUsed;
  const log = jetStream(connection, STREAMS.log);
  const read = readConfig({});
  if (!read.ok) throw new Error(read.problems.join('; '));
  const directory = mkdtempSync(join(tmpdir(), 'cnm-past-'));
  const snapshots = { directory, everyEvents: read.config.snapshotEvents };
  const projector = createProjector({ log, clock: systemClock, logger }, { snapshots });
  const service = serveQueries(connection, projector, logger, { version: '0.0.0', realm });
  const startedMs = performance.now();
  await projector.caughtUp;
  globalThis.gc?.();
  const heapMb = Math.round((process.memoryUsage().heapUsed - before) / 1e6);
  const ready = { ready_ms: Math.round(performance.now() - startedMs), heap_mb: heapMb, positions: await log.last() };
  printResult({ ...ready, ...projector.remembered(), snapshots: await untilWarm(projector) });
  await new Promise((resolve) => process.stdin.once('end', resolve).resume());
  await service.stop();
  await projector.stop();
  await connection.close();
  rmSync(directory, { recursive: true });
};

interface Asked {
  readonly times: readonly number[];
  readonly wrong: readonly string[];
}

/** Asks the questions one after another; the time of each is that of all its queries. */
const askAll = async (ask: Ask, questions: ReturnType<typeof questionsOf>): Promise<ReadonlyMap<string, Asked>> => {
  const asked = new Map<string, { times: number[]; wrong: string[] }>();
  for (const { kind, text, check } of questions) {
    const startedMs = performance.now();
    const wrong = await check(ask).then(
      () => [],
      (error: unknown) => [`${text}: ${error instanceof Error ? error.message : String(error)}`],
    );
    const known = asked.get(kind) ?? { times: [], wrong: [] };
    known.times.push(performance.now() - startedMs);
    known.wrong.push(...wrong);
    asked.set(kind, known);
  }
  return asked;
};

const askWith = async (url: string, book: Book, count: number) => {
  const client = await connect({ url, actor: 'bench' });
  const ask: Ask = async (name, query) => {
    const rows: Record<string, unknown>[] = [];
    let position: number | undefined;
    for (let after: string | undefined; ; ) {
      const more: QueryInput = after === undefined ? {} : { after, ...(name === 'ledger' ? {} : { asOf: position }) };
      const page = await client.ask(name, { ...query, ...more });
      position = page.position;
      rows.push(...page.rows);
      after = page.next;
      if (after === undefined) return rows;
    }
  };
  const { position: last } = await client.networks({ limit: 1 });
  await askAll(ask, questionsOf(book, last, WARM, random));
  const asked = await askAll(ask, questionsOf(book, last, count, random));
  await client.close();
  const wrong = [...asked.values()].flatMap((one) => one.wrong);
  const kinds = [...asked].map(([kind, { times }]) => {
    const [p50, p99] = [percentile(times, 0.5), percentile(times, 0.99)];
    return [kind, { asked: times.length, p50_ms: round(p50, 1), p99_ms: round(p99, 1) }] as const;
  });
  return { questions: count, wrong: wrong.length, first_wrong: wrong.slice(0, 3), kinds: Object.fromEntries(kinds) };
};

const run = async (commands: number, questions: number): Promise<void> => {
  // what is measured is reading; syncing every append would only take longer
  const nats = await startNats({ sync: '"2m"' });
  try {
    const startedMs = performance.now();
    const book = await write(nats.url, commands);
    const writtenS = round((performance.now() - startedMs) / 1_000, 1);
    const args = ['--expose-gc', import.meta.filename, '--serve', nats.url];
    const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const ended = new Promise((resolve) => child.once('exit', resolve));
    const ready = JSON.parse((await lines.next()).value ?? '{}') as object;
    const asked = await askWith(nats.url, book, questions);
    child.stdin.end();
    await ended;
    printResult({ commands: book.commands.length, written_s: writtenS, ...ready, ...asked });
  } finally {
    await nats.stop();
  }
};

const [first = '100000', second = '1000'] = process.argv.slice(2);
// the test server does not keep its parent alive, and its end has to be waited for
const alive = setInterval(() => undefined, 60_000);
if (first === '--serve') await serve(second);
else await run(Number(first), Number(second));
clearInterval(alive);
