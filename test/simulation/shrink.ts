/** A failure made smaller, cheaply: fewer happenings, then fewer kinds of them, as long as it still fails. */
import { incidentNames } from './incidents.ts';
import { Broken, type SimulationOptions, simulate, type Trouble } from './simulation.ts';

/** @returns why it fails; null when it does not */
const failing = async (options: SimulationOptions): Promise<Broken | null> => {
  try {
    await simulate(options);
    return null;
  } catch (error) {
    if (error instanceof Broken) return error;
    throw error;
  }
};

/**
 * The failure with the fewest happenings that was found. Whether it fails need not grow with their number, so this halves the distance
 * and believes only what it has seen fail. Twenty runs or so.
 */
export const shrink = async (broken: Broken): Promise<Broken> => {
  let best = broken;
  let [below, above] = [0, broken.options.happenings];
  while (above - below > 1) {
    const happenings = Math.floor((below + above) / 2);
    const smaller = await failing({ ...best.options, happenings });
    if (smaller) [best, above] = [smaller, happenings];
    else below = happenings;
  }
  for (const trouble of [...incidentNames, 'weather'] as const) {
    const without = new Set<Trouble>([...best.options.without, trouble]);
    best = (await failing({ ...best.options, without })) ?? best;
  }
  return best;
};

/** What somebody needs to see it again. */
export const describe = (broken: Broken): string => {
  const { seed, happenings, every, without } = broken.options;
  const cause = broken.cause instanceof Error ? (broken.cause.stack ?? broken.cause.message) : String(broken.cause);
  const under = broken.cause instanceof Error && broken.cause.cause instanceof Error ? broken.cause.cause.stack : '';
  const left = [...without].length === 0 ? '' : ` --without ${[...without].join(',')}`;
  return [
    `seed ${seed} fails: npm run simulate -- --seed ${seed} --happenings ${happenings} --every ${every}${left}`,
    cause,
    under ?? '',
    'The last steps:',
    ...broken.trace.slice(-30),
  ].join('\n');
};
