// A restart of the control plane is invisible (pain 9): no connection dropped, no ping lost, nothing deleted. `npm run soak restart` is the long form.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { awaitOwnNamespace, inOwnNamespaces, sh, shIn } from '../support/netns.ts';
import { restartUnderTraffic } from '../support/restarts.ts';
import { startSteady } from '../support/steady.ts';
import { makePlace } from './cli-harness.ts';

if (inOwnNamespaces(import.meta.filename)) {
  test('restart: what is watched is noticed: a stream that stalls, pings that are lost, what is deleted', async (t) => {
    const keepers = ['10.9.0.1', '10.9.0.2'].map((address) => {
      const keeper = spawn('unshare', ['--net', 'sleep', 'infinity'], { stdio: 'ignore' });
      t.after(() => keeper.kill('SIGKILL'));
      const key = `/proc/${keeper.pid}/ns/net`;
      awaitOwnNamespace(key);
      return { key, address, pid: keeper.pid };
    });
    const [one, other] = keepers;
    sh(`ip link add a0 netns ${one?.pid} type veth peer name b0 netns ${other?.pid}`);
    shIn(one?.key ?? '', 'ip link set lo up; ip link set a0 up; ip addr add 10.9.0.1/24 dev a0');
    shIn(other?.key ?? '', 'ip link set lo up; ip link set b0 up; ip addr add 10.9.0.2/24 dev b0');
    const steady = await startSteady(keepers);
    sh('ip link add gone0 type bridge; ip link del gone0; nft add table ip gone; nft delete table ip gone');
    shIn(other?.key ?? '', 'ip addr del 10.9.0.2/24 dev b0; sleep 0.5');
    const { lost, deletes, unanswered, lostNotices, monitors } = await steady.end();
    assert.deepEqual(
      [lost.length > 0, unanswered.length, lostNotices, monitors],
      [true, 1, 0, 6],
      JSON.stringify(lost),
    );
    for (const what of ['host: link', 'host: nf_tables table', '10.9.0.2: address', '10.9.0.2: route'])
      assert.ok(deletes.includes(what), `${what}: ${deletes}`);
  });

  test('restart: every process killed alone, all at once, and as one: traffic and kernel do not notice', async (t) => {
    const place = makePlace();
    t.after(() => place.remove());
    const { env } = place;
    const report = await restartUnderTraffic({ sandboxes: 40, networks: 4, rounds: 1, ups: 1, env });
    const { dropped, unanswered, lost, deletes, lostNotices } = report;
    assert.deepEqual(
      { dropped, unanswered, lost, deletes, lostNotices },
      { dropped: [], unanswered: [], lost: [], deletes: [], lostNotices: 0 },
    );
    // four services, the server, all at once; then cnm up in their place, killed, stopped
    assert.deepEqual([report.restarts, report.attached], [9, 9]);
    // one stream for each pair, and one through a published port; two monitors for each sandbox and for the host
    assert.deepEqual([report.streams, report.monitors], [21, 82]);
    assert.ok(report.pings > 40 * 10 && report.said > 21 * 10, JSON.stringify(report));
  });
}
