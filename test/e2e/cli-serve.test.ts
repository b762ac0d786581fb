// Services as processes of their own on an external server: checked first, refused with the reason, and working together.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { after, before, test } from 'node:test';
import { startNats, type TestNats, waitFor } from '../support/nats.ts';
import { inOwnNamespaces, sh } from '../support/netns.ts';
import { launcher, makePlace, type Place } from './cli-harness.ts';

if (inOwnNamespaces(import.meta.filename)) {
  let nats: TestNats;
  let place: Place;
  const children: ChildProcess[] = [];

  before(async () => {
    sh('ip link set lo up');
    nats = await startNats();
    place = makePlace({ env: { CNM_NATS_URL: nats.url } });
  });
  after(async () => {
    for (const child of children) await ended(child);
    await nats.stop();
    place.remove();
  });

  const ended = (child: ChildProcess): Promise<number | null> => {
    if (child.exitCode !== null) return Promise.resolve(child.exitCode);
    const gone = new Promise<number | null>((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    return gone;
  };

  const serve = async (service: string): Promise<ChildProcess> => {
    const env = { ...place.env, CNM_NATS_SYNC: 'always' };
    const child = spawn(launcher, ['serve', service], { env, stdio: ['ignore', 'pipe', 'ignore'] });
    children.push(child);
    let out = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      out += text;
    });
    await waitFor(() => out.includes(`${service} serves on ${nats.url}`), { what: service, timeoutMs: 30_000 });
    return child;
  };

  test('cli serve: a server of which nobody says that it syncs is refused, with what to do', () => {
    const { exit, err } = place.cnm('serve', 'controller');
    assert.equal(exit, 1);
    assert.match(err, /^SYNC_UNKNOWN: .*\nnext: Set sync_interval: always .*CNM_NATS_SYNC=always/m);
    const up = place.cnm('up');
    assert.equal(up.exit, 1);
    assert.match(up.err, /^SYNC_UNKNOWN: /m);
  });

  test('cli serve: a server that does not sync is refused by what its monitoring port says', async (t) => {
    const lazy = await startNats({ sync: '2m' });
    t.after(() => lazy.stop());
    const env = { CNM_NATS_URL: lazy.url, CNM_NATS_MONITOR_URL: lazy.monitorUrl };
    const { exit, err } = place.cnmWith(env, 'serve', 'collector');
    assert.equal(exit, 1);
    assert.match(err, /^SYNC_NOT_ALWAYS: /m);
  });

  test('cli serve: status says which parts are missing, and ends with 1', async () => {
    await serve('projector');
    const { exit, err } = place.cnm('status');
    assert.equal(exit, 1);
    assert.match(err, /^missing: no worker runs: start `cnm up`, or `cnm serve worker`$/m);
    assert.doesNotMatch(err, /no projector/);
  });

  test('cli serve: services of their own work together, and each ends in order', async () => {
    const worker = await serve('worker');
    await serve('controller');
    await serve('collector');
    assert.equal(place.cnm('status').exit, 0);
    place.json('network', 'create', 'apart');
    place.json('sandbox', 'attach', 'c1', '--network', 'apart');
    assert.equal(place.cnm('sandbox', 'exec', 'c1', '--', 'true').exit, 0);
    assert.equal(await ended(worker), 0);
    // what a worker made lives on without it, and another one takes it up
    assert.equal(place.cnm('sandbox', 'exec', 'c1', '--', 'true').exit, 0);
    await serve('worker');
    place.json('sandbox', 'detach', 'c1');
    place.json('network', 'rm', 'apart');
  });
}
