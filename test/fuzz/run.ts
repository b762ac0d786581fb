/**
 * `npm run fuzz -- [--inputs N] [--seed S] [--target NAME] [--from N]`: inputs of others, a million when nothing else is said, into
 * everything that reads any. Ends with 1 and the way to have it again at the first that does not hold.
 */
import { parseArgs } from 'node:util';
import { runTargets } from './run-targets.ts';
import { targets } from './targets.ts';

const number = { type: 'string' } as const;
const { values } = parseArgs({ options: { inputs: number, seed: number, target: number, from: number } });
const inputs = Number(values.inputs ?? 1_000_000);
const seed = Number(values.seed ?? 1);
const chosen = targets.filter(({ name }) => values.target === undefined || name === values.target);
if (chosen.length === 0)
  throw new Error(`there is no target ${values.target}; there are ${targets.map(({ name }) => name).join(', ')}`);

const start = performance.now();
try {
  const onProgress = (name: string, done: number): void =>
    console.log(`${name.padEnd(20)} ${done} inputs, ${Math.round(performance.now() - start)} ms so far`);
  const counts = await runTargets(chosen, { inputs, seed, from: Number(values.from ?? 0), onProgress });
  const sum = [...counts.values()].reduce((all, one) => all + one, 0);
  console.log(`${sum} inputs of seed ${seed}, ${chosen.length} targets: all hold`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
process.exit();
