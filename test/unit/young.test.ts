// The young generation of the loop that decides and of its threads, as V8 has it when it is full.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

const halfWhenFull = `() => {
  const kept = [];
  for (let index = 0; index < 3e6; index++) kept.push({ index });
  const { getHeapSpaceStatistics } = process.getBuiltinModule('node:v8');
  return getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space').space_size / 2 / 2 ** 20;
}`;

/** Says how many MB a half takes in a thread that was started before and in one that is started after. */
const program = `
  const { Worker } = await import('node:worker_threads');
  const { keepThreadsSmall } = await import('${new URL('../../services/up/young.ts', import.meta.url)}');
  keepThreadsSmall();
  const code = "require('node:worker_threads').parentPort.postMessage((" + ${JSON.stringify(halfWhenFull)} + ")())";
  const thread = await new Promise((resolve) => new Worker(code, { eval: true, execArgv: [] }).once('message', resolve));
  process.stdout.write(JSON.stringify([(${halfWhenFull})(), thread]));`;

test('young generation: 8 MB for the loop that decides, 4 MB for its threads', () => {
  const launcher = readFileSync(new URL('../../services/cli/cnm', import.meta.url), 'utf8');
  const [, flag = ''] = /'up '\* .*flags='(--max-semi-space-size=\d+) /.exec(launcher) ?? [];
  const argv = [flag, '--input-type=module', '--eval', program];
  const { stdout, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8' });
  assert.equal(stdout, '[8,4]', stderr);
});
