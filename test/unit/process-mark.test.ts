// Marks of processes: only who is dead for sure is dead.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { isDeadProcess, processMark, startOf } from '../../services/lib/process-mark.ts';

test('process mark: this process lives, one that was killed is dead, and so is who had its number before', async () => {
  const mine = processMark();
  const [world] = mine.split('.');
  assert.equal(isDeadProcess(mine), false);
  const child = spawn('sleep', ['60']);
  const [pid, started] = [child.pid ?? 0, startOf(child.pid ?? 0)];
  const mark = `${world}.${pid}.${started}`;
  assert.equal(isDeadProcess(mark), false);
  assert.equal(isDeadProcess(`${world}.${pid}.${Number(started) - 1}`), true);
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.equal(isDeadProcess(mark), true);
});

test('process mark: of another machine, or before the last boot, nothing is known', () => {
  const [, pid, started] = processMark().split('.');
  for (const mark of [`0123456789ab.${pid}.1`, `.${pid}.${started}`, `${process.pid}`, 'h1', ''])
    assert.equal(isDeadProcess(mark), false, mark);
});
