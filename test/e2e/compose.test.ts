import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

function docker(...args: string[]) {
  const { status, stdout, stderr, error } = spawnSync('docker', args, {
    encoding: 'utf8',
    // what this machine may need itself
    env: { ...process.env, CNM_NATS_PORT: '14222', CNM_HTTP_PORT: '19464' },
  });
  return { ok: status === 0, stdout: stdout ?? '', why: (error?.message ?? stderr).trim() };
}

// where it cannot run it proves at least that this is for lack of an engine, and says so
test('compose: the stack comes up, and a command goes through it', (t) => {
  const missing = [docker('info'), docker('compose', 'version')].find((answer) => !answer.ok);
  if (missing) {
    assert.match(missing.why, /ENOENT|docker (daemon|API)|(unknown|not a docker) command/i);
    return t.diagnostic(`the stack was not brought up here: ${missing.why}`);
  }
  const stack = ['compose', '--project-name', `cnmbus-test-${process.pid}`];
  const cnm = (...args: string[]) => docker(...stack, 'run', '--rm', '--no-TTY', 'cli', ...args);
  t.after(() => docker(...stack, 'down', '--volumes', '--timeout', '5'));
  const up = docker(...stack, 'up', '--build', '--detach', '--wait', '--wait-timeout', '300');
  assert.ok(up.ok, up.why);

  // the null driver: this worker lives in the machine's own network, which a test leaves as it is
  const created = cnm('network', 'create', 'probe', '-d', 'null');
  assert.ok(created.ok, created.why);
  assert.match(cnm('network', 'ls', '--json').stdout, /"probe"/);
  assert.ok(cnm('network', 'rm', 'probe').ok);
});
