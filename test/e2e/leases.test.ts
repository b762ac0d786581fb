// Leases on a real machine: what nobody renews ends after everything was killed in the meantime, and only that.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { waitFor } from '../support/nats.ts';
import { inOwnNamespaces, sh } from '../support/netns.ts';
import { makePlace, type Place, type Running } from './cli-harness.ts';

if (inOwnNamespaces(import.meta.filename)) {
  let place: Place;
  let running: Running;
  const rows = (...words: string[]): readonly Record<string, unknown>[] => place.json(...words).rows;
  const types = (type: string): number =>
    place
      .cnm('events', '--type', type, '--json')
      .out.split('\n')
      .filter((line) => line !== '').length;

  before(async () => {
    sh('ip link set lo up');
    place = makePlace({ env: { CNM_CONFIRM_MS: '500' } });
    running = await place.up();
  });
  after(async () => {
    await running.end();
    place.remove();
  });

  test('leases: what fell due while every process was killed ends once they are back, once; what was renewed or has none stays', async () => {
    const attach = (sandbox: string, ...words: string[]): void => {
      const { exit, err } = place.cnm('sandbox', 'attach', sandbox, '--network', 'web', ...words);
      assert.equal(exit, 0, err);
    };
    assert.equal(place.cnm('network', 'create', 'web').exit, 0);
    attach('lasting');
    attach('renewed', '--lease', '1h', '--owner', 'ci');
    const other = place.cnmWith({ CNM_ACTOR: 'mallory' }, 'lease', 'renew', '--sandbox', 'renewed');
    assert.equal(other.exit, 1);
    assert.match(other.err, /LEASE_NOT_YOURS/);
    const wrong = place.cnm('lease', 'renew', '--sandbox', 'renewed', '--owner', 'cd');
    assert.equal(wrong.exit, 1);
    assert.match(wrong.err, /LEASE_NOT_YOURS/);
    assert.equal(place.cnm('lease', 'renew').exit, 2);
    const renewal = place.cnm('lease', 'renew', '--sandbox', 'renewed', '--lease', '2h', '--owner', 'ci');
    assert.deepEqual([renewal.exit, renewal.out], [0, 'renewed the lease of sandbox renewed\n']);
    assert.match(place.cnm('lease', 'ls').out, /sandbox +renewed .*ci +tester .*\(1\)/);
    const leaseMs = 5_000;
    attach('short', '--lease', `${leaseMs}ms`, '--owner', 'ci');
    assert.equal(place.cnm('network', 'create', 'trial', '--lease', `${leaseMs}ms`, '--owner', 'ci').exit, 0);
    const dueMs = Date.now() + leaseMs;
    await running.end('SIGKILL');
    await waitFor(() => Date.now() > dueMs, { what: 'the leases to run out', timeoutMs: 30_000 });
    running = await place.up();
    await waitFor(() => rows('lease', 'ls').length === 1, { what: 'the end of what nobody renews', timeoutMs: 30_000 });
    await waitFor(() => rows('sandbox', 'ls').length === 2, { what: 'the removal of the sandbox', timeoutMs: 30_000 });
    assert.deepEqual(
      rows('sandbox', 'ls')
        .map(({ id }) => id)
        .sort(),
      ['lasting', 'renewed'],
    );
    assert.deepEqual(
      rows('network', 'ls').map(({ name }) => name),
      ['web'],
    );
    assert.deepEqual(['LeaseSuspected', 'EndpointLeaveRequested', 'NetworkDeleteRequested'].map(types), [1, 1, 1]);
    for (const sandbox of ['lasting', 'renewed'])
      assert.equal(place.cnm('sandbox', 'exec', sandbox, '--', 'ip', '-br', 'address', 'show', 'eth0').exit, 0);
    // The same name is free again.
    assert.equal(place.cnm('sandbox', 'attach', 'short', '--network', 'web').exit, 0);
  });

  test('cancel: what has ended is refused, and says how', () => {
    const { commandid } = place.json('sandbox', 'detach', 'short');
    const refused = place.cnm('command', 'cancel', commandid);
    assert.equal(refused.exit, 1);
    assert.match(refused.err, /COMMAND_ENDED: .*succeeded, position \d+/);
    assert.match(place.cnm('command', 'cancel', 'mhx3k2p1-nowhere').err, /COMMAND_NOT_FOUND/);
  });
}
