/** Who may know where the server of `cnm up` is: its URL says by what it lets us in. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { publicUrl } from '../../services/nats/public-url.ts';
import { announce, findState, isStateHidden, otherStates, stateFile } from '../../services/up/state-file.ts';

const placeOf = (t: TestContext) => {
  const runDir = mkdtempSync(join(tmpdir(), 'cnm-state-'));
  t.after(() => rmSync(runDir, { recursive: true }));
  return { runDir, realm: 'unit', host: 'h1', rootless: false };
};

test('state file: one with credentials is for its owner, one without for all; both go with their process', (t) => {
  const place = placeOf(t);
  for (const [url, mode] of [
    ['nats://cnm:secret@127.0.0.1:4777', 0o600],
    ['nats://127.0.0.1:4777', 0o644],
  ] as const) {
    const withdraw = announce(place, url);
    const { mode: found, gid } = statSync(stateFile(place));
    // the group cnm, where this machine has one, may read root's
    if (gid === process.getgid?.()) assert.equal(found & 0o777, mode, url);
    else assert.equal(found & 0o777, 0o640, url);
    assert.equal(findState(place)?.url, url);
    assert.equal(isStateHidden(place), false);
    withdraw();
    assert.equal(findState(place), null);
    assert.equal(isStateHidden(place), false, 'what is not there is not hidden');
  }
});

test('state file: what runs here as another host or realm is told', (t) => {
  const place = placeOf(t);
  const withdraw = announce({ ...place, host: 'h2' }, 'nats://127.0.0.1:4777');
  assert.equal(findState(place), null);
  assert.deepEqual(otherStates(place), ['unit-h2']);
  withdraw();
  assert.deepEqual(otherStates(place), []);
  assert.deepEqual(otherStates({ runDir: join(place.runDir, 'nowhere') }), []);
});

test('public url: of one or several, credentials and nothing else are left out', () => {
  for (const [url, shown] of [
    ['nats://127.0.0.1:4222', 'nats://127.0.0.1:4222'],
    ['nats://cnm:pass@127.0.0.1:4222', 'nats://127.0.0.1:4222'],
    ['token@host:1,tls://u:p%40@[::1]:2', 'host:1,tls://[::1]:2'],
    ['nats://u:p@x@host', 'nats://host'],
  ] as const)
    assert.equal(publicUrl(url), shown);
});
