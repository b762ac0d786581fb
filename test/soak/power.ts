/**
 * `npm run soak power [CUTS] [SEED]`: the power is cut so many times under the workload of the sweeps and 1,000 commands a second beside it. What
 * was acknowledged is there afterwards, and nobody has to help (pain 31). Takes root, a loop device and ext4.
 */
import { Disk } from '../support/crash/disk.ts';
import { randomNumbers } from '../support/crash/random.ts';
import { type CutReport, Sweep } from '../support/crash/sweep.ts';

const run = async (cuts: number, seed: number): Promise<boolean> => {
  const sweep = await Sweep.open({ layout: 'apart', timeoutMs: 120_000, disk: Disk.open() });
  try {
    await sweep.learn();
    const tell = (report: CutReport): void => console.log(JSON.stringify(report));
    await sweep.underCuts(cuts, randomNumbers(seed), tell);
    return true;
  } catch (error) {
    console.log(`WRONG with seed ${seed}: ${String(error)}\n${sweep.said}`);
    return false;
  } finally {
    await sweep.close();
  }
};

/** It ends whatever a cut has left running. */
export const namespaces = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];

export const soak = async ([cuts = '50', seed = '1']: readonly string[]): Promise<boolean> => {
  return run(Number(cuts), Number(seed));
};
