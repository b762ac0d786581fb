// Kills nats-server at random moments under the workload: `npm run sweep:server [-- --rounds N] [--seed S]`. Exits with 1 when something was
// lost or left.
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { Sweep } from '../support/crash/sweep.ts';

const options = { rounds: { type: 'string', default: '20' }, seed: { type: 'string', default: '1' } } as const;
const { values } = parseArgs({ options });
const inside = 'CNM_SWEEP_INSIDE';

const run = async (): Promise<number> => {
  // what is waited for are processes that do not keep this one alive
  setInterval(() => undefined, 1_000);
  const sweep = await Sweep.open({ layout: 'apart', timeoutMs: 60_000 });
  let state = Number(values.seed);
  const pauseMs = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return 50 + (state % 2_000);
  };
  try {
    await sweep.learn();
    const kills = await sweep.underKills(Number(values.rounds), pauseMs);
    console.log(
      `${values.rounds} rounds under ${kills} kills of nats-server (seed ${values.seed}): nothing lost, nothing left`,
    );
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
