// What a new user gets wrong about the past: every answer names what is in the way and the next step.
import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { systemClock } from '../../services/lib/clock.ts';
import { callCli } from '../support/called.ts';
import { cliStage } from '../support/cli-stage.ts';
import { WatchedLog } from '../support/watched-log.ts';

const stage = await cliStage();
const { streams, system, folder, path } = stage;

before(async () => {
  await system.run('CreateNetwork', { name: 'web' });
  await system.run('AttachSandbox', { sandbox: 'a', networks: [{ network: 'web' }] });
  await system.run('DetachSandbox', { sandbox: 'a' });
  await system.quiet();
  await stage.answer();
  assert.equal((await callCli('audit', 'export', path('whole'))).exit, 0);
});
after(() => stage.stop());

/** The call fails, and says what is wrong and what to do. */
const refuses = async (line: string, pattern: RegExp): Promise<void> => {
  const { exit, err } = await callCli(...line.split(' '));
  assert.ok(exit === 1 || exit === 2, `cnm ${line}: exit ${exit}: ${err}`);
  assert.match(err, exit === 1 ? /^[A-Z_]+: .*\nnext: \S/s : /^cnm: .*\nusage: cnm /s, `cnm ${line}`);
  assert.match(err, pattern, `cnm ${line}`);
};

test('names that the log has never heard of are told, whatever is asked of them', async () => {
  const noNetwork = /^NOT_FOUND: there never was a network nosuch\nnext: See `cnm network ls`/;
  const noHost = /^NOT_FOUND: there is no host nowhere\nnext: See `cnm host ls`/;
  for (const line of [
    'events',
    'history endpoint a',
    'ledger address 10.200.0.2',
    'diff 1',
    'audit export - --cloudevents',
  ]) {
    await refuses(`${line} --network nosuch`, noNetwork);
    await refuses(`${line} --host nowhere`, noHost);
  }
  await refuses('history network nosuch', noNetwork);
  await refuses('history network nosuch --events', noNetwork);
  await refuses('history host nowhere', noHost);
  await refuses('history endpoint web/nosuch', /^NOT_FOUND: nothing is recorded about endpoint web\/nosuch\n/);
  await refuses('ledger address 10.9.9.9', /^NOT_FOUND: nobody held address 10\.9\.9\.9\nnext: .*cnm history address/);
  const { exit, out } = await callCli('events', '--network', 'nosuch', '--json');
  assert.deepEqual([exit, JSON.parse(out).error.detail], [1, 'there never was a network nosuch']);
});

test('names as they are shown are taken as they are shown', async () => {
  assert.match((await callCli('history', 'endpoint', 'web/a')).out, /AttachSandbox +succeeded/);
  assert.match((await callCli('history', 'address', '10.200.0.2/24')).out, /AttachSandbox +succeeded/);
  const { out } = await callCli('ledger', 'address', '10.200.0.2/24');
  assert.match(out, /^WHAT +HOST +NETWORK +HOLDER +FROM +RECORDED +POSITION +BY +UNTIL +RECORDED +POSITION +BY$/m);
  const time = '\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d';
  const line = `^10\\.200\\.0\\.2 .* endpoint a +${time} +${time} +\\d+\\.\\d .*AttachSandbox +${time} +${time} +\\d+\\.\\d .*DetachSandbox$`;
  assert.match(out, new RegExp(line, 'm'));
});

test('positions and times that are none, or not there yet, are refused', async () => {
  const last = await streams.log.last();
  for (const line of ['network ls --as-of', 'history network web --as-of', 'ledger name a --as-of', 'diff 1', 'diff']) {
    await refuses(
      `${line} ${last + 9}`,
      new RegExp(`^QUERY_POSITION_UNKNOWN: the log ends at position ${last}, before`),
    );
    for (const text of ['3.7', 'yesterday', '2026-02-30T00:00:00Z'])
      await refuses(`${line} ${text}`, /is neither a position nor a time such as/);
  }
  await refuses(
    `events --since ${last + 9}`,
    new RegExp(`^NOT_FOUND: the log ends at position ${last}, before ${last + 9}\n`),
  );
  for (const line of ['network ls --as-of', 'history network web --as-of', 'diff'])
    await refuses(`${line} 2999-01-01`, /^QUERY_POSITION_UNKNOWN: 2999-01-01T00:00:00\.000Z is still to come\n/);
  // A clock may be ahead.
  const soon = new Date(systemClock.nowMs() + 5_000).toISOString();
  assert.equal((await callCli('network', 'ls', '--as-of', soon)).exit, 0);
  await refuses('ledger port 99999', /^QUERY_MALFORMED: no port: 99999/);
  await refuses('history mac 02:42', /^QUERY_MALFORMED: no MAC address: 02:42/);
  for (const line of ['events', 'watch', 'audit export - --cloudevents'])
    await refuses(`${line} --type Nosuch`, /^cnm: no event types: Nosuch; docs\/events\.md/);
});

test('what cannot be exported empties no file', async () => {
  await writeFile(path('kept'), 'mine');
  await refuses(`audit export ${path('kept')} --cloudevents --network nosuch`, /^NOT_FOUND/);
  await refuses(`audit export ${path('kept')} --cloudevents --until 999`, /^QUERY_POSITION_UNKNOWN/);
  await refuses(`audit export ${path('kept')}`, /^EXPORT_INVALID: .*kept is there already and is not gone on with/);
  await refuses(`audit export ${path('none')} --from 8 --until 6`, /^EXPORT_RANGE: from position 8 up to 6/);
  await refuses(`audit export ${path('none')} --until 2020-01-01`, /^EXPORT_RANGE: from position 1 up to 0/);
  await refuses(`audit export ${folder}`, /^NOT_FOUND: .* is a directory/);
  assert.equal(await readFile(path('kept'), 'utf8'), 'mine');
});

test('files that are damaged, and none, are refused by name', async () => {
  const whole = await readFile(path('whole'), 'utf8');
  await writeFile(path('cut.gz'), whole);
  for (const verb of ['verify', 'import']) {
    await refuses(`audit ${verb} ${path('cut.gz')}`, /^EXPORT_INVALID: it cannot be unpacked/);
    await refuses(`audit ${verb} ${folder}`, /^NOT_FOUND: .* is a directory/);
    await refuses(`audit ${verb} ${path('whole')} --key ${path('cut.gz')}`, /^KEY_INVALID: .*cut\.gz holds no key/);
  }
  await refuses(`audit import ${path('whole')}`, /^IMPORT_NOT_EMPTY/);
  await writeFile(path('cut'), whole.slice(0, whole.length / 2));
  const { exit, err } = await callCli('audit', 'import', path('cut'));
  assert.equal(exit, 1);
  assert.match(err, /^position \d+ cut: there is no end line\nnothing was imported\n$/);
});

test('of what is not on the log, and of what nobody has parked, nothing is decided', async () => {
  const last = await streams.log.last();
  for (const line of ['retry 999', 'retry 999 --dry-run', 'discard 999 --reason x', 'discard 999 --dry-run'])
    for (const force of ['', ' --force'])
      await refuses(
        `parked ${line}${force}`,
        new RegExp(`^NOT_FOUND: there is no event 999.0: the log ends at position ${last}\n`),
      );
  await refuses('parked retry 1', /^NOT_FOUND: no view has parked 1\.0\nnext: .*--force/);
  assert.equal(await streams.log.last(), last);
  const forced = await callCli('parked', 'retry', '1', '--force');
  assert.deepEqual(
    [forced.exit, forced.out],
    [0, `1.0 is parked by no view, and was by none (position ${last + 1})\n`],
  );
});

test('a slow reader keeps an export waiting, not in memory', async () => {
  // Nothing is left behind by an output that takes a while: each piece is awaited.
  let [written, flushes] = [0, 0];
  const { printAll } = await import('../../services/cli/audit-events.ts');
  const pieces = async function* () {
    for (const piece of ['a', 'b', 'c']) yield piece;
  };
  const context = {
    out: () => {
      written += 1;
    },
    flushed: async () => {
      assert.equal(written, ++flushes);
    },
  } as unknown as Parameters<typeof printAll>[0];
  await printAll(context, pieces());
  assert.deepEqual([written, flushes], [3, 3]);
  assert.ok((await readdir(folder)).includes('whole'));
});

test('who may ask and not rebuild is told that, and not that nothing runs', async () => {
  const watched = await WatchedLog.start(10);
  const { CNM_NATS_URL: url } = process.env;
  process.env.CNM_NATS_URL = watched.urlOf('watcher');
  process.env.CNM_ACTOR = 'watcher';
  try {
    await refuses(
      'rebuild all',
      /^NOT_FOUND: a projector answers, and none could be found to rebuild\nnext: .*cnm\.rebuild/,
    );
  } finally {
    process.env.CNM_NATS_URL = url;
    delete process.env.CNM_ACTOR;
    await watched.stop();
  }
});
