/**
 * Attaches one at a time, alone and beside sandboxes that ask for names as fast as they are answered, in turns. Run in a namespace of its own by
 * bench/run.ts. Prints one JSON document.
 *
 *     questions.ts [ROUNDS] [SANDBOXES]
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { promisify } from 'node:util';
import { connect } from '../services/client/index.ts';
import { median, percentile, round, startService } from './lib.ts';

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
const run = promisify(execFile);

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
  const program = join(import.meta.dirname, 'dns-load.ts');
  const loads = rows.map(async ({ key }) => {
    const args = [`--net=${key}`, process.execPath, program, String(askingSeconds), '0', ...names];
    const { stdout } = await run('nsenter', args, { maxBuffer: 1 << 20 });
    return (JSON.parse(stdout) as { readonly perSecond: number }).perSecond;
  });
  return (await Promise.all(loads)).reduce((sum, each) => sum + each, 0);
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

const p50 = (samples: readonly number[]): number => percentile(samples, 0.5);
const of = (value: (each: (typeof measured)[number]) => number): number => round(median(measured.map(value)));
console.log(
  JSON.stringify({
    rounds,
    sandboxes: noisy,
    answersPerSecond: of(({ answers }) => answers),
    aloneP50Ms: of(({ alone }) => p50(alone)),
    besideP50Ms: of(({ beside }) => p50(beside)),
    ratioP50: of(({ alone, beside }) => p50(beside) / p50(alone)),
    ratioP50Worst: round(Math.max(...measured.map(({ alone, beside }) => p50(beside) / p50(alone)))),
    aloneP99Ms: of(({ alone }) => percentile(alone, 0.99)),
    besideP99Ms: of(({ beside }) => percentile(beside, 0.99)),
  }),
);
