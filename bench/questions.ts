/**
 * Attaches one at a time, alone and beside sandboxes that ask for names as fast as they are answered, in turns. Run in a namespace of its own by
 * bench/run.ts. Prints one JSON document.
 *
 *     questions.ts [ROUNDS] [SANDBOXES]
 */
import { performance } from 'node:perf_hooks';
import { connect } from '../services/client/index.ts';
import { askNames, median, percentile, printResult, round, startService } from './lib.ts';

const rounds = Number(process.argv[2] ?? 5);
const noisy = Number(process.argv[3] ?? 6);
/** Of a round's attaches, and of the questions around them. */
const [measuredMs, askingSeconds, begunMs] = [3_000, 6, 2_000];

const service = await startService();
const client = await connect({ url: service.url, actor: 'bench' });
await (await client.createNetwork({ name: 'web' })).outcome;
const names = Array.from({ length: noisy }, (_, index) => `noisy${index}`);
for (const sandbox of names) await (await client.attachSandbox({ sandbox, networks: [{ network: 'web' }] })).outcome;
const { rows } = await client.sandboxes({});

/** Milliseconds of each attach. */
const attaches = async (forMs: number): Promise<readonly number[]> => {
  const samples: number[] = [];
  const begin = performance.now();
  for (let start = begin; start - begin < forMs; start = performance.now()) {
    await (await client.attachSandbox({ sandbox: 'one', networks: [{ network: 'web' }] })).outcome;
    samples.push(performance.now() - start);
    await (await client.detachSandbox({ sandbox: 'one' })).outcome;
  }
  return samples;
};

/** Answers a second, of all sandboxes together. */
const asking = async (): Promise<number> => {
  const how = { seconds: askingSeconds, perSecond: 0 };
  const loads = await Promise.all(rows.map(({ key }) => askNames(key, how, names)));
  return loads.reduce((sum, { perSecond }) => sum + perSecond, 0);
};

await attaches(measuredMs);
const measured: { readonly alone: readonly number[]; readonly beside: readonly number[]; readonly answers: number }[] =
  [];
for (let index = 0; index < rounds; index++) {
  const alone = await attaches(measuredMs);
  const asked = asking();
  await new Promise((resolve) => setTimeout(resolve, begunMs));
  const beside = await attaches(measuredMs);
  measured.push({ alone, beside, answers: await asked });
}
await client.close();
await service.stop();

const of = (value: (each: (typeof measured)[number]) => number): number => round(median(measured.map(value)));
printResult({
  rounds,
  sandboxes: noisy,
  answersPerSecond: of(({ answers }) => answers),
  aloneP50Ms: of(({ alone }) => median(alone)),
  besideP50Ms: of(({ beside }) => median(beside)),
  ratioP50: of(({ alone, beside }) => median(beside) / median(alone)),
  ratioP50Worst: round(Math.max(...measured.map(({ alone, beside }) => median(beside) / median(alone)))),
  aloneP99Ms: of(({ alone }) => percentile(alone, 0.99)),
  besideP99Ms: of(({ beside }) => percentile(beside, 0.99)),
});
