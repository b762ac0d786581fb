/**
 * What a hostile publisher costs a polite one: attach and detach of one actor, one after another, alone and beside another actor who publishes
 * 1,000 commands a second and waits for nothing. Three kinds of them: removals of what is not there, creations of networks, and what a
 * quota refuses by its rate. Run in a namespace of its own by bench/run.ts. Prints one JSON document.
 *
 *     hostile.ts [SAMPLES] [PER_SECOND] [ROUNDS]
 */
import { performance } from 'node:perf_hooks';
import { Worker } from 'node:worker_threads';
import { type Client, connect } from '../services/client/index.ts';
import { median, percentile, printResult, round, startService } from './lib.ts';

const samples = Number(process.argv[2] ?? 250);
const perSecond = Number(process.argv[3] ?? 1_000);
/** Beside it and alone in turns, so that what the machine does otherwise falls on both. */
const rounds = Number(process.argv[4] ?? 9);
/**
 * Long enough to be over any fair rate, and for what was let through before that to be carried out. Who is alone begins after as long a
 * rest: the first commands behind one take longer.
 */
const warmUpMs = 5_000;

/** Publishes from a thread of its own, without waiting for acknowledgements, at an even pace. */
const source = `
const { workerData, parentPort } = require('node:worker_threads');
const { connect } = require('@nats-io/transport-node');
(async () => {
  const { url, actor, kind, perSecond } = workerData;
  const { username: user, password: pass, host } = new URL(url);
  const connection = await connect({ servers: host, ...(user ? { user, pass } : {}), noAsyncTraces: true });
  let sent = 0;
  const start = performance.now();
  const body = (n) => {
    const id = Date.now().toString(36).padStart(8, '0') + '-' + actor + n;
    const [type, data] = kind === 'networks'
      ? ['CreateNetwork', { name: actor + n, driver: 'null' }]
      : ['DeleteNetwork', { network: 'none' + n }];
    return JSON.stringify({ id, type, data });
  };
  const timer = setInterval(() => {
    const due = ((performance.now() - start) * perSecond) / 1000;
    for (; sent < due; sent++) connection.publish('cnm.command.' + actor + '._', body(sent));
  }, 5);
  parentPort.once('message', async () => {
    clearInterval(timer);
    await connection.close();
    parentPort.postMessage(sent);
  });
})();
`;

const hostile = (url: string, actor: string, kind: string) => {
  const worker = new Worker(source, { eval: true, workerData: { url, actor, kind, perSecond } });
  return {
    stop: async (): Promise<number> => {
      const sent = new Promise<number>((resolve) => worker.once('message', resolve));
      worker.postMessage('stop');
      const count = await sent;
      await worker.terminate();
      return count;
    },
  };
};

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Milliseconds of each attach, one after another, each detached again. */
const polite = async (client: Client, name: string): Promise<readonly number[]> => {
  const taken: number[] = [];
  for (let n = 0; n < samples; n++) {
    const start = performance.now();
    await (await client.attachSandbox({ sandbox: `${name}${n}`, networks: [{ network: 'web' }] })).outcome;
    taken.push(performance.now() - start);
    await (await client.detachSandbox({ sandbox: `${name}${n}` })).outcome;
  }
  return taken;
};

/** Medians over the rounds: a second in which the machine does something else falls on one of them. */
const shown = (taken: readonly (readonly number[])[]) => ({
  p50Ms: round(median(taken.map((each) => percentile(each, 0.5)))),
  p99Ms: round(median(taken.map((each) => percentile(each, 0.99)))),
  /** What medians would hide. */
  longestMs: round(Math.max(...taken.flat())),
});

const service = await startService();
const alice = await connect({ url: service.url, actor: 'alice' });
await (await alice.createNetwork({ name: 'web' })).outcome;
await polite(alice, 'warm');

const results: Record<string, unknown> = {};
for (const kind of ['removals', 'networks', 'limited'] as const) {
  const actor = `mallory-${kind}`;
  const [before, beside]: [(readonly number[])[], (readonly number[])[]] = [[], []];
  let sent = 0;
  for (let round = 0; round < rounds; round++) {
    await pause(warmUpMs);
    before.push(await polite(alice, `${kind}-before${round}-`));
    const each = `${actor}${round}`;
    if (kind === 'limited') await (await alice.setQuota({ actor: each, limits: { rate: 20 } })).outcome;
    const publisher = hostile(service.url, each, kind);
    await pause(warmUpMs);
    beside.push(await polite(alice, `${kind}-beside${round}-`));
    sent += await publisher.stop();
  }
  const alone = shown(before);
  const among = shown(beside);
  results[kind] = {
    sent,
    alone,
    among,
    p99Ratio: round(among.p99Ms / alone.p99Ms),
    p50Ratio: round(among.p50Ms / alone.p50Ms),
  };
}
await alice.close();
await service.stop();
printResult({ samples, perSecond, rounds, ...results });
