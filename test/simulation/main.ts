/**
 * `npm run simulate [-- --seed N] [--minutes M] [--happenings N] [--every N] [--without A,B]`: one simulation, or one after the other
 * from that seed for as long as asked. Ends at the first that fails, with what it takes to see it again, and exits with 1.
 */
import { parseArgs } from 'node:util';
import { describe, shrink } from './shrink.ts';
import { Broken, defaults, simulate, type Trouble } from './simulation.ts';

const usage = (text: string): never => {
  console.error(`simulate: ${text}`);
  process.exit(2);
};

const number = (name: string, text: string | undefined, otherwise: number): number => {
  if (text === undefined) return otherwise;
  const value = Number(text);
  return Number.isFinite(value) && value >= 0 ? value : usage(`--${name} is no number: ${text}`);
};

const text = { type: 'string' } as const;
const { values } = parseArgs({ options: { seed: text, minutes: text, happenings: text, every: text, without: text } });
const options = {
  happenings: number('happenings', values.happenings, defaults.happenings),
  every: number('every', values.every, defaults.every),
  without: new Set((values.without?.split(',') ?? []) as Trouble[]),
};
/** A seed alone asks for that one; minutes alone begin where nobody has been today. */
const forMs = values.minutes === undefined ? 0 : number('minutes', values.minutes, 0) * 60_000;
const first = number('seed', values.seed, values.minutes === undefined ? 1 : Date.now() % 2 ** 31);

const startedMs = performance.now();
const totals = { simulations: 0, steps: 0, virtualMs: 0, commands: 0, commits: 0 };
const tell = (): void => {
  const hours = (totals.virtualMs / 3_600_000).toFixed(1);
  const seconds = Math.round((performance.now() - startedMs) / 1000);
  const { simulations, steps, commands, commits } = totals;
  console.log(
    `${simulations} simulations, ${steps} steps, ${commands} commands, ${commits} commits, ${hours} virtual hours in ${seconds} s`,
  );
};

for (let seed = first; ; seed++) {
  try {
    const report = await simulate({ ...options, seed });
    totals.simulations += 1;
    for (const key of ['steps', 'virtualMs', 'commands', 'commits'] as const) totals[key] += report[key];
    if (forMs === 0) console.log(JSON.stringify(report));
  } catch (error) {
    if (!(error instanceof Broken)) throw error;
    console.error(`seed ${seed} fails, looking for a smaller failure`);
    console.error(describe(await shrink(error)));
    tell();
    process.exit(1);
  }
  if (performance.now() - startedMs >= forMs) break;
  if (totals.simulations % 100 === 0) tell();
}
tell();
