/**
 * Attach and detach through a real `cnm up`, from the command's publish to the outcome that the client sees, beside the kernel's floor
 * and the server's synced publish of the same run. Run in a namespace of its own by bench/run.ts. Prints one JSON document.
 *
 *     attach.ts [BURST] [SINGLES]
 */
import { performance } from 'node:perf_hooks';
import { Worker } from 'node:worker_threads';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { type Client, connect } from '../services/client/index.ts';
import { silentLogger } from '../services/lib/logger.ts';
import { connectNats } from '../services/nats/connection.ts';
import {
  cpuMs,
  floor,
  hostEnds,
  median,
  namespaces,
  percentile,
  printResult,
  round,
  startService,
  sweptDownTo,
} from './lib.ts';

const burst = Number(process.argv[2] ?? 1000);
const singles = Number(process.argv[3] ?? 200);
const networks = ['left', 'right'] as const;

const attach = async (client: Client, sandbox: string, index: number): Promise<number> => {
  const start = performance.now();
  const accepted = await client.attachSandbox({ sandbox, networks: [{ network: networks[index % 2] ?? 'left' }] });
  await accepted.outcome;
  return performance.now() - start;
};

const detach = async (client: Client, sandbox: string): Promise<void> => {
  await (await client.detachSandbox({ sandbox })).outcome;
};

const names = (prefix: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_, index) => `${prefix}${index}`);

/** Milliseconds of one publish of 512 bytes that the server syncs to disk, one after another. */
const syncedPublish = async (url: string): Promise<number> => {
  const connection = await connectNats({ url, role: 'bench', log: silentLogger() });
  await (await jetstreamManager(connection)).streams.add({ name: 'BENCH', subjects: ['bench.>'] });
  const client = jetstream(connection);
  const samples: number[] = [];
  for (let i = 0; i < 300; i++) {
    const start = performance.now();
    await client.publish('bench.sync', 'x'.repeat(512));
    samples.push(performance.now() - start);
  }
  await connection.close();
  return median(samples);
};

/** One at a time: attach, wait for the outcome, attach the next. */
const oneByOne = async (client: Client, sandboxes: readonly string[]): Promise<readonly number[]> => {
  const samples: number[] = [];
  for (const [index, sandbox] of sandboxes.entries()) samples.push(await attach(client, sandbox, index));
  return samples;
};

/** Detaches, and waits until the kernel has swept up: what is being removed slows down what is being made. */
const clear = async (client: Client, sandboxes: readonly string[]): Promise<void> => {
  await Promise.all(sandboxes.map((sandbox) => detach(client, sandbox)));
  while (hostEnds() > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  await sweptDownTo(atRest);
};

/** Latencies with so many sandboxes there at the beginning. */
const singlesAmong = async (client: Client, residents: number): Promise<readonly number[]> => {
  const there = names('resident', residents);
  const more = names('single', singles);
  await allAtOnce(client, there);
  await new Promise((resolve) => setTimeout(resolve, 500));
  const samples = await oneByOne(client, more);
  await clear(client, [...there, ...more]);
  return samples;
};

const allAtOnce = async (client: Client, sandboxes: readonly string[]): Promise<number> => {
  const start = performance.now();
  await Promise.all(sandboxes.map((sandbox, index) => attach(client, sandbox, index)));
  return performance.now() - start;
};

/** Asks queries back to back from a thread of its own; answers with the longest time between two answers, milliseconds. */
const queryGaps = (url: string) => {
  const shared = new SharedArrayBuffer(4);
  const worker = new Worker(new URL('./query-gaps.ts', import.meta.url), { workerData: { url, shared } });
  const result = new Promise<{ readonly longestMs: number; readonly queries: number }>((resolve) =>
    worker.once('message', resolve),
  );
  return {
    stop: async () => {
      Atomics.store(new Int32Array(shared), 0, 1);
      const gaps = await result;
      await worker.terminate();
      return gaps;
    },
  };
};

const detachAll = async (client: Client, url: string, sandboxes: readonly string[]) => {
  const gaps = queryGaps(url);
  await new Promise((resolve) => setTimeout(resolve, 500));
  const start = performance.now();
  await Promise.all(sandboxes.map((sandbox) => detach(client, sandbox)));
  const reportedMs = performance.now() - start;
  while (hostEnds() > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  const goneMs = performance.now() - start;
  return { reportedMs, goneMs, ...(await gaps.stop()) };
};

const service = await startService();
/** CPU time so far, milliseconds. */
const spent = () => ({ service: cpuMs(service.pid), server: cpuMs(service.serverPid) });
const atRest = namespaces();
const client = await connect({ url: service.url, actor: 'bench' });
for (const [index, name] of networks.entries()) {
  await (await client.createNetwork({ name, ipam: { subnets: [{ subnet: `10.${index + 1}.0.0/22` }] } })).outcome;
}
// The first run is not counted: a service is warm.
const all = [];
for (let run = 0; run < 4; run++) {
  const limit = await floor(burst, 2);
  const sandboxes = names(`burst${run}-`, burst);
  const before = spent();
  const tookMs = await allAtOnce(client, sandboxes);
  const after = spent();
  const cpu = { service: (after.service - before.service) / burst, server: (after.server - before.server) / burst };
  all.push({ limit, cpu, perSecond: (burst / tookMs) * 1000, detach: await detachAll(client, service.url, sandboxes) });
  await sweptDownTo(atRest);
}
const runs = all.slice(1);

const publishMs = await syncedPublish(service.url);
const few = await singlesAmong(client, 10);
const many = await singlesAmong(client, 900);

await client.close();
await service.stop();

const perSecond = median(runs.map((run) => run.perSecond));
const floorPerSecond = median(runs.map((run) => run.limit.perSecond));
const floors = [await floor(100, 1), await floor(100, 1), await floor(100, 1)];
const floorMs = median(floors.map(({ p50Ms }) => p50Ms));
const allowedMs = floorMs + 1 + 3 * publishMs;
printResult({
  burst: {
    endpoints: burst,
    bridges: 2,
    perSecond: round(perSecond, 0),
    floorPerSecond: round(floorPerSecond, 0),
    ratio: round(perSecond / floorPerSecond),
    ratioWanted: 0.6,
    cpuMsPerAttach: {
      service: round(median(runs.map(({ cpu }) => cpu.service)), 2),
      server: round(median(runs.map(({ cpu }) => cpu.server)), 2),
    },
  },
  single: {
    samples: singles,
    p50Ms: round(median(few)),
    floorMs: round(floorMs),
    syncedPublishMs: round(publishMs),
    allowedMs: round(allowedMs),
    p99With10Ms: round(percentile(few, 0.99)),
    p99With900Ms: round(percentile(many, 0.99)),
    p50With900Ms: round(median(many)),
    p99Ratio: round(percentile(many, 0.99) / percentile(few, 0.99)),
    p99RatioWanted: 2,
  },
  detach: {
    endpoints: burst,
    reportedMs: round(median(runs.map((run) => run.detach.reportedMs)), 0),
    goneMs: round(median(runs.map((run) => run.detach.goneMs)), 0),
    goneMsWanted: 3000,
    longestQueryGapMs: round(median(runs.map((run) => run.detach.longestMs))),
    longestQueryGapMsWanted: 10,
    queries: runs.reduce((sum, run) => sum + run.detach.queries, 0),
  },
});
