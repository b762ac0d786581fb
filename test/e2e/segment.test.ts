// Putting the log of a `cnm up` away, with the real kernel: sandboxes live through it, and everything goes on.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { inOwnNamespaces, sh } from '../support/netns.ts';
import { makePlace, type Place, type Running } from './cli-harness.ts';

if (inOwnNamespaces(import.meta.filename)) {
  let place: Place;
  let up: Running | null = null;

  before(() => {
    sh('ip link set lo up; sysctl -qw net.ipv4.ip_forward=1');
    const key = join(process.env.TMPDIR ?? '/tmp', `cnm-segment-${process.pid}.pem`);
    place = makePlace({ env: { CNM_CHECKPOINT_KEY_FILE: key } });
    const made = place.cnmWith({ CNM_CHECKPOINT_KEY_FILE: '' }, 'audit', 'keygen', key);
    assert.equal(made.exit, 0, made.err);
  });
  after(async () => {
    await up?.end();
    sh(`rm -f ${place.env.CNM_CHECKPOINT_KEY_FILE}*`);
    place.remove();
  });

  const works = (...words: string[]): string => {
    const said = place.cnm(...words);
    assert.equal(said.exit, 0, `cnm ${words.join(' ')}: ${said.err}`);
    return said.out;
  };
  const pings = (from: string, address: string): number =>
    place.cnm('sandbox', 'exec', from, '--', 'ping', '-c1', '-W2', address).exit;

  test('segment: networks and sandboxes go on behind a log that was put away', async () => {
    up = await place.up();
    works('network', 'create', 'web', '--subnet', '10.9.1.0/24');
    works('sandbox', 'attach', 'c1', '--network', 'web:ip=10.9.1.5', '-p', '8080:80');
    works('sandbox', 'attach', 'c2', '--network', 'web:ip=10.9.1.6');
    assert.equal(pings('c1', '10.9.1.6'), 0);
    const file = join(place.folder, 'segment-1.ndjson');
    assert.match(place.cnm('audit', 'segment', file, '--yes').err, /^SEGMENT_IN_USE: stop these first: cnm-/);
    const before = place.json('endpoint', 'ls').rows;
    assert.equal(await up.end(), 0);

    const put = place.json('audit', 'segment', file, '--yes');
    assert.equal(put.segment, 2);
    assert.match(works('audit', 'verify', file), /: whole$/m);
    assert.equal(JSON.parse(readFileSync(`${file}.sha256.json`, 'utf8')).sha256, put.sha256);

    up = await place.up();
    assert.equal(place.cnm('status').exit, 0);
    assert.deepEqual(place.json('endpoint', 'ls').rows, before);
    assert.equal(pings('c1', '10.9.1.6'), 0);
    assert.equal(works('sandbox', 'exec', 'c2', '--', 'dig', '+short', '@127.0.0.11', 'c1').trim(), '10.9.1.5');
    works('sandbox', 'attach', 'c3', '--network', 'web');
    assert.equal(pings('c3', '10.9.1.5'), 0);
    assert.match(place.cnm('network', 'ls', '--as-of', '3').err, /segment-1\.ndjson, sha256 /);
    for (const id of ['c1', 'c2', 'c3']) works('sandbox', 'detach', id);
    works('network', 'rm', 'web');
    assert.equal(sh('ip -o link show type veth'), '');
    assert.match(works('audit', 'verify'), /: whole$/m);
  });
}
