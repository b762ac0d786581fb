// Kills nats-server and every service at random moments under the workload: `npm run sweep:random [-- --kills N] [--seed S]`. Exits with 1
// when something was lost or left.
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { randomNumbers } from '../support/crash/random.ts';
import { Sweep } from '../support/crash/sweep.ts';

const options = { kills: { type: 'string', default: '100' }, seed: { type: 'string', default: '1' } } as const;
const { values } = parseArgs({ options });
const inside = 'CNM_SWEEP_INSIDE';

const run = async (): Promise<number> => {
  // what is waited for are processes that do not keep this one alive
  setInterval(() => undefined, 1_000);
  const sweep = await Sweep.open({ layout: 'apart', timeoutMs: 120_000 });
  try {
    await sweep.learn();
    const kills = await sweep.underKills(Number(values.kills), randomNumbers(Number(values.seed)));
    const counts = [...kills].map(([name, count]) => `${name} ${count}`).join(', ');
    console.log(`kills of ${counts} (seed ${values.seed}): nothing lost, nothing left`);
    return 0;
  } catch (error) {
    console.log(`WRONG with seed ${values.seed}: ${String(error)}\n${sweep.said}`);
    return 1;
  } finally {
    await sweep.close();
  }
};

if (process.env[inside] === undefined) {
  const own = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const argv = [...own, process.execPath, import.meta.filename, ...process.argv.slice(2)];
  const { status } = spawnSync('unshare', argv, { stdio: 'inherit', env: { ...process.env, [inside]: '1' } });
  process.exit(status ?? 1);
}
process.exit(await run());
