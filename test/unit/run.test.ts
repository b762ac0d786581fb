// The runner is what decides that a run is good, so it is tried on small made-up projects.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';

const runner = resolve('test/run.ts');

function runTests(file: string, env: Record<string, string> = {}) {
  const project = mkdtempSync(join(tmpdir(), 'cnm-run-'));
  mkdirSync(join(project, 'test/unit'), { recursive: true });
  writeFileSync(join(project, 'test/unit/a.test.ts'), `import { test } from 'node:test';\n${file}\n`);
  const { NODE_TEST_CONTEXT: _, CI: __, ...inherited } = process.env;
  const options = { cwd: project, env: { ...inherited, ...env }, encoding: 'utf8' } as const;
  const { status, stdout } = spawnSync(process.execPath, [runner, 'unit'], options);
  rmSync(project, { recursive: true });
  return { status, stdout, closing: stdout.trimEnd().split('\n').at(-1) };
}

test('runner: a good run ends with the counts', () => {
  const { status, closing } = runTests("test('a', () => {}); test('b', () => {});");
  assert.deepEqual({ status, closing }, { status: 0, closing: '2 passed, 0 failed' });
});

test('runner: a failure is shown with what its file printed', () => {
  const { status, closing, stdout } = runTests(
    "test('a', () => { console.log('trace'); throw new Error('broken'); });",
  );
  assert.deepEqual({ status, closing }, { status: 1, closing: '0 passed, 1 failed' });
  assert.match(stdout, /FAILED test\/unit\/a\.test\.ts:2 a\n +Error: broken/);
  assert.match(stdout, /printed by test\/unit\/a\.test\.ts:\ntrace/);
});

test('runner: a skipped test fails in CI only, a skipped suite too', () => {
  for (const skipped of ["test('a', { skip: 'no root' }, () => {});", "test.describe('a', { skip: 'no root' });"]) {
    const local = runTests(skipped);
    assert.deepEqual([local.status, local.closing], [0, '0 passed, 0 failed, 1 skipped']);
    assert.match(local.stdout, /skipped test\/unit\/a\.test\.ts:2 a: no root/);
    assert.equal(runTests(skipped, { CI: 'true' }).status, 1);
  }
});

test('runner: a file that ends badly or tests nothing is a failure', () => {
  assert.equal(runTests('process.exit(3);').closing, '0 passed, 1 failed');
  assert.match(runTests('').stdout, /a\.test\.ts:1 has no tests/);
});

test('runner: a file that holds its process ends with its tier, and what it has started too', () => {
  const hangs = "import { spawnSync } from 'node:child_process'; spawnSync('sleep', ['86399'], { stdio: 'inherit' });";
  const { status, stdout } = runTests(hangs, { CNM_TEST_TIER_MS: '3000' });
  assert.equal(status, 1);
  assert.match(stdout, /still there: \d+ S .*sleep 86399/);
  assert.match(stdout, /FAILED test\/unit\/a\.test\.ts/);
  assert.doesNotMatch(spawnSync('ps', ['-eo', 'args'], { encoding: 'utf8' }).stdout, /^sleep 86399/m);
});
