// Sealed values on a real server: opened for whoever may read the keys, gone for good once shredded, and the log the same before and after.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { jetstreamManager } from '@nats-io/jetstream';
import { systemClock } from '../../services/lib/clock.ts';
import { jetStream } from '../../services/nats/jetstream.ts';
import { sealKeys } from '../../services/nats/seal-keys.ts';
import { callCli } from '../support/called.ts';
import { readWhole } from '../support/log-checks.ts';
import { waitFor } from '../support/nats.ts';
import { Served } from '../support/served.ts';
import { Reporter } from '../support/world.ts';

const text = 'Alice Liddell, Daresbury';
/** Whoever gives no name may do everything; `viewer` may not read keys. */
const users = `
no_auth_user: all
authorization { users = [
  { user: all, password: all },
  { user: viewer, password: viewer, permissions: { publish: { deny: ["$JS.API.STREAM.MSG.GET.CNM_KEY"] } } },
] }`;
let served: Served;
let reporter: Reporter;
let value: string;

before(async () => {
  served = await Served.start(['controller', 'projector'], users);
  reporter = new Reporter(jetStream(await served.nats.connect(), 'CNM_LOG'), systemClock, 'h1');
  await reporter.start();
});
after(async () => {
  await reporter.stop();
  await served.stop();
});

const works = async (...words: string[]): Promise<string> => {
  const { exit, out, err } = await callCli(...words);
  assert.equal(exit, 0, `${words.join(' ')}: ${err}`);
  return out;
};
const refusedWith = async (...words: string[]): Promise<string> => {
  const { exit, err } = await callCli(...words);
  assert.equal(exit, 1, err);
  return err.split(':')[0] ?? '';
};
/** Whether any file of the server holds these bytes. */
const isOnDisk = (bytes: Buffer | string): boolean =>
  readdirSync(served.nats.dataDir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .some(({ parentPath, name }) => readFileSync(join(parentPath, name)).includes(bytes));
const keys = async () => {
  const connection = await served.nats.connect();
  return sealKeys(connection, jetStream(connection, 'CNM_KEY'), systemClock);
};
const logBytes = async () =>
  (await readWhole(jetStream(await served.nats.connect(), 'CNM_LOG'))).map(({ position, body }) => [
    position,
    Buffer.from(body).toString('base64'),
  ]);

test('a value is sealed for a label, shown opened, and nothing on the server holds its text', async () => {
  value = (await works('seal', 'put', 's-1', text)).trim();
  assert.match(value, /^sealed:1:s-1:[\w-]+$/);
  await works('network', 'create', 'web', '-d', 'null', '--label', `owner=${value}`, '--label', 'team=shop');
  assert.match(await works('network', 'inspect', 'web'), new RegExp(`^labels: +owner=${text} team=shop$`, 'm'));
  const { position } = JSON.parse(await works('network', 'ls', '--json'));
  const changed = (await works('seal', 'put', 's-1', 'Lewis')).trim();
  await works('network', 'update', 'web', '--label', `owner=${changed}`, '--label', 'team=shop');
  assert.match(await works('diff', String(position)), new RegExp(`^    labels/owner: ${text} -> Lewis$`, 'm'));
  await works('network', 'update', 'web', '--label', `owner=${value}`, '--label', 'team=shop');
  const [row] = JSON.parse(await works('network', 'ls', '--json')).rows;
  assert.deepEqual(row.labels, { owner: value, team: 'shop' });
  assert.equal(await works('seal', 'open', value), `${text}\n`);
  assert.equal(isOnDisk(text), false);
});

test('whoever may not read keys sees for whom it is sealed, and everything else', async () => {
  const url = served.nats.url;
  process.env.CNM_NATS_URL = url.replace('//', '//viewer:viewer@');
  try {
    assert.match(await works('network', 'inspect', 'web'), /^labels: +owner=sealed\(s-1\) team=shop$/m);
    assert.equal(await refusedWith('seal', 'open', value), 'NOT_PERMITTED');
  } finally {
    process.env.CNM_NATS_URL = url;
  }
});

test('one subject, one key, however many seal at once, and none is replaced', async () => {
  const [one, other] = [await keys(), await keys()];
  const made = await Promise.all(
    [one, other, one, other].map((each, index) => each.make('s-2', new Uint8Array(32).fill(index))),
  );
  const kept = await one.get('s-2');
  for (const key of made) assert.deepEqual(Buffer.from(key), Buffer.from(kept ?? []));
  const connection = await served.nats.connect();
  const unguarded = { subject: 'cnm.key.s-2', body: 'other', id: 'unguarded' };
  const appended = await jetStream(connection, 'CNM_KEY').append(unguarded);
  assert.match(JSON.stringify(appended), /maximum messages per subject exceeded/);
  assert.deepEqual(await one.get('s-2'), kept);
  await assert.rejects(async () => (await jetstreamManager(connection)).streams.purge('CNM_KEY'));
});

test('a hold keeps it readable; without one it is shredded, for good and on disk, and the log stays what it was', async () => {
  const file = join(served.folder, 'log.ndjson');
  const key = Buffer.from((await (await keys()).get('s-1')) ?? []);
  assert.equal(key.length, 32);
  assert.equal(isOnDisk(key), true);
  await works('audit', 'hold', 'set', 'case-17', '--subject', 's-1', '--reason', 'case 17');
  assert.equal(await refusedWith('seal', 'shred', 's-1', '--reason', 'request 1'), 'LEGAL_HOLD');
  assert.equal(await works('seal', 'open', value), `${text}\n`);
  await works('audit', 'hold', 'lift', 'case-17', '--reason', 'closed');
  await works('audit', 'verify');
  await works('audit', 'export', file);
  const before = await logBytes();

  await works('seal', 'shred', 's-1', '--reason', 'request 1');
  // Decided, and already nobody is shown it, whether or not a collector runs.
  await waitFor(async () => /owner=shredded\(s-1\)/.test(await works('network', 'inspect', 'web')), {
    what: 'the view',
  });
  assert.equal(await refusedWith('seal', 'open', value), 'SUBJECT_SHREDDED');
  assert.equal(await refusedWith('seal', 'put', 's-1', 'more'), 'SUBJECT_SHREDDED');
  assert.equal(await refusedWith('seal', 'shred', 's-1', '--reason', 'again'), 'SUBJECT_SHREDDED');
  assert.match(await works('seal', 'ls'), /^s-1 +\d{4}-.* alice \(claimed\) +request 1$/m);
  assert.equal(isOnDisk(key), true);
  await served.startService('collector');
  await waitFor(async () => (await (await keys()).get('s-1')) === null, { what: 'the key to be erased' });
  await waitFor(async () => !isOnDisk(key), { what: 'its bytes to be overwritten' });
  assert.notEqual(await (await keys()).get('s-2'), null);

  const now = await logBytes();
  assert.deepEqual(now.slice(0, before.length), before);
  await works('audit', 'verify');
  await works('audit', 'verify', file);
  const exported = readFileSync(file, 'utf8');
  await works('audit', 'export', file);
  const [, ...lines] = exported.split('\n').slice(0, -2);
  assert.deepEqual(
    readFileSync(file, 'utf8')
      .split('\n')
      .slice(1, lines.length + 1),
    lines,
  );
  await works('audit', 'verify', file);
});

test('a value whose key is not there, or that was changed, is shown as sealed', async () => {
  const [head = '', body = ''] = [value.slice(0, 9), value.slice(value.lastIndexOf(':') + 1)];
  const never = `${head}s-9:${body}`;
  const damaged = `${head}s-2:${body}`;
  await works('network', 'create', 'odd', '--label', `a=${never}`, '--label', `b=${damaged}`);
  assert.match(await works('network', 'inspect', 'odd'), /^labels: +a=sealed\(s-9\) b=sealed\(s-2\)$/m);
  assert.equal(await refusedWith('seal', 'open', never), 'SEAL_NO_KEY');
  assert.equal(await refusedWith('seal', 'open', damaged), 'SEAL_DAMAGED');
  assert.equal(await refusedWith('seal', 'open', 'plain'), 'SEAL_DAMAGED');
});
