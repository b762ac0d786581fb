// Without root: the refusal that offers the other way, and that way, through the same launcher.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { accessSync, chownSync, constants, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { launcher, makePlace, type Place } from './cli-harness.ts';

/** A number that no user has: nothing is its own but what the test gives it. */
const uid = 54_321;
const asUser = ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups'];

/** Why it cannot be tried here; empty when it can. */
const obstacle = (): string => {
  if (process.getuid?.() !== 0) return 'becoming another user takes root';
  const { status } = spawnSync(asUser[0] ?? '', [...asUser.slice(1), 'test', '-r', launcher]);
  if (status !== 0) return 'other users cannot read this checkout';
  const made = spawnSync(asUser[0] ?? '', [
    ...asUser.slice(1),
    ...['unshare', '--user', '--map-root-user', '--net', '--mount', 'true'],
  ]);
  return made.status === 0 ? '' : 'users cannot make namespaces here';
};

const skip = obstacle() || false;

const userPlace = (): Place => {
  const place = makePlace({ prefix: asUser });
  chownSync(place.folder, uid, uid);
  return place;
};

test('rootless: without privileges `cnm up` says so in one line, and offers the way', { skip }, () => {
  const place = userPlace();
  const { exit, err } = place.cnm('up');
  assert.equal(exit, 1);
  assert.match(err, /^cnm: CAP_NET_ADMIN and CAP_SYS_ADMIN missing, .* npm start -- --rootless\n$/);
  const doctor = place.cnm('doctor');
  assert.equal(doctor.exit, 1);
  assert.match(doctor.out, /^BAD +privileges +this process lacks CAP_NET_ADMIN and CAP_SYS_ADMIN\n +-> /m);
  place.remove();
});

test('rootless: sandboxes reach each other, and the command line finds its way in', { skip }, async () => {
  const place = userPlace();
  const up = await place.up('--rootless');
  try {
    assert.equal(readFileSync(join(place.env.CNM_RUN_DIR ?? '', 'rootless.pid'), 'utf8').trim(), String(up.pid));
    place.json('network', 'create', 'web');
    place.json('sandbox', 'attach', 'c1', '--network', 'web');
    const { endpoints } = place.json('sandbox', 'attach', 'c2', '--network', 'web');
    const address = endpoints[0].ipv4.replace(/\/.*/, '');
    const ping = place.cnm('sandbox', 'exec', 'c1', '--', 'ping', '-c1', '-W1', address);
    assert.equal(ping.exit, 0, ping.out + ping.err);
    assert.equal(place.cnm('status').exit, 0);
    assert.match(place.cnm('doctor').out, /^ok +privileges +all, inside a user namespace/m);
    place.json('sandbox', 'detach', 'c1');
    // the machine's own namespace has seen nothing of it
    const links = readFileSync('/proc/self/net/dev', 'utf8');
    assert.doesNotMatch(links, /^\s*cb\w+:/m);
  } finally {
    assert.equal(await up.end(), 0);
  }
  assert.throws(() => accessSync(join(place.env.CNM_RUN_DIR ?? '', 'rootless.pid'), constants.F_OK));
  assert.equal(place.cnm('status').exit, 3);
  place.remove();
});

test('rootless: the demo', { skip }, () => {
  const place = userPlace();
  const { exit, out, err } = place.cnm('demo');
  assert.equal(exit, 0, out + err);
  assert.match(out, /all as expected/);
  place.remove();
});
