// `cnm audit` against the log of a real server: what controller and worker wrote is whole, what somebody else wrote is found.
import assert from 'node:assert/strict';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { decodeCommit } from '../../events/envelope.ts';
import { chainHash } from '../../services/lib/hash.ts';
import { callCli } from '../support/called.ts';
import { cliStage } from '../support/cli-stage.ts';
import { readWhole } from '../support/log-checks.ts';
import { host } from '../support/system.ts';

const stage = await cliStage();
const { streams, system, path } = stage;

before(async () => {
  await system.run('CreateNetwork', { name: 'web' });
  // Who takes over begins a term: commits without events.
  await system.controller?.stop();
  await system.startController();
  for (const sandbox of ['a', 'b', 'c']) await system.run('AttachSandbox', { sandbox, networks: [{ network: 'web' }] });
  await system.refusal('DeleteNetwork', { network: 'web' });
  await system.run('DetachSandbox', { sandbox: 'a' });
  await system.quiet();
});
after(() => stage.stop());

test('the log is whole, and so are its exports: to a file, to the output, in two goes', async () => {
  const live = await callCli('audit', 'verify', '--json');
  assert.equal(live.exit, 0, live.err);
  const report = JSON.parse(live.out);
  assert.deepEqual([report.found, report.first, report.last], [0, 1, await streams.log.last()]);
  assert.ok((await readWhole(streams.log)).some((message) => message.header('Cnm-Term') !== ''));
  assert.ok(report.covered.includes('decisions, by the commands that are still kept'));
  assert.deepEqual(await callCli('audit', 'export', path('log')), { exit: 0, out: '', err: '' });
  const text = await readFile(path('log'), 'utf8');
  assert.equal((await callCli('audit', 'export', '-')).out, text);
  const said = await callCli('audit', 'verify', path('log'));
  assert.equal(said.exit, 0, said.err);
  assert.match(said.out, /: whole\n/);
  await truncate(path('log'), Math.floor(text.length / 2));
  assert.equal((await callCli('audit', 'export', path('log'))).exit, 0);
  assert.equal(await readFile(path('log'), 'utf8'), text);
});

test('an export up to a time holds what was recorded up to it, as an as-of shows it', async () => {
  const messages = await readWhole(streams.log);
  const third = messages[2] ?? assert.fail();
  const until = new Date(third.recordedMs).toISOString();
  assert.equal((await callCli('audit', 'export', path('early'), '--until', until)).exit, 0);
  const lines = (await readFile(path('early'), 'utf8')).trim().split('\n');
  const recorded = messages.filter(({ recordedMs }) => recordedMs <= third.recordedMs).length;
  assert.equal(JSON.parse(lines.at(-1) ?? '').end.last, recorded);
});

test('an export from or up to a position that is not there yet is refused, and not waited for', async () => {
  const last = await streams.log.last();
  for (const range of [
    ['--from', `${last + 2}`],
    ['--until', `${last + 2}`],
  ]) {
    const { exit, err } = await callCli('audit', 'export', '-', ...range);
    assert.equal(exit, 1);
    assert.equal(err.split('\n')[0]?.startsWith(`EXPORT_RANGE: the log ends at position ${last}, before `), true, err);
  }
  const later = await callCli('audit', 'export', path('log'), '--from', '2');
  assert.match(later.err, /^EXPORT_OTHER: .* begins at position 1: nothing was written/);
});

test('plain CloudEvents under a filter are for reading: one a line, neither verified nor imported', async () => {
  // So few bytes that there are several pages of everything.
  await stage.answer({ answerBytesMax: 8 * 1024 });
  try {
    const of = async (...words: string[]): Promise<readonly Record<string, unknown>[]> => {
      const { exit, out, err } = await callCli('audit', 'export', '-', '--cloudevents', ...words);
      assert.equal(exit, 0, err);
      return out.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]));
    };
    const all = await of();
    const stored = (await readWhole(streams.log)).flatMap(({ body, subject, position }) =>
      decodeCommit(body, subject).map(({ meta }, index) => [`${position}.${index}`, meta.id]),
    );
    assert.deepEqual(
      all.map(({ position, id }) => [position, id]),
      stored,
    );
    assert.ok(all.every(({ specversion, recordedtime }) => specversion === '1.0' && recordedtime !== undefined));
    assert.ok(all.every((event) => event.host !== null));
    const joined = await of('--type', 'EndpointJoined', '--sandbox', 'b');
    assert.deepEqual(
      joined.map(({ type, host: where }) => [String(type).split('.')[1], where]),
      [['EndpointJoined', host]],
    );
    const [first, last] = [5, 7];
    const stretch = await of('--from', String(first), '--until', String(last));
    assert.ok(stretch.length > 0);
    assert.deepEqual(
      stretch,
      all.filter(({ position }) => Math.floor(Number(position)) >= first && Math.floor(Number(position)) <= last),
    );
    assert.equal((await callCli('audit', 'export', path('plain'), '--cloudevents')).exit, 0);
    assert.match((await callCli('audit', 'verify', path('plain'))).err, /^EXPORT_PARTIAL: /);
    assert.match((await callCli('audit', 'import', path('plain'))).err, /^EXPORT_PARTIAL: /);
    const filtered = await callCli('audit', 'export', '-', '--network', 'web');
    assert.deepEqual([filtered.exit, filtered.out], [2, '']);
  } finally {
    await stage.silence();
  }
});

test('a changed byte of an export is found, with the position first on the standard error', async () => {
  await callCli('audit', 'export', path('changed'));
  const lines = (await readFile(path('changed'), 'utf8')).split('\n');
  const line = lines[4] ?? '';
  const { body } = JSON.parse(line) as { body: string };
  const bytes = Buffer.from(body, 'base64');
  bytes[20] = (bytes[20] ?? 0) ^ 1;
  lines[4] = line.replace(body, bytes.toString('base64'));
  await writeFile(path('changed'), lines.join('\n'));
  const { exit, err } = await callCli('audit', 'verify', path('changed'));
  assert.equal(exit, 1);
  const [, first] = /^position (\d+) /.exec(err) ?? [];
  const messages = await readWhole(streams.log);
  const subject = messages[3]?.subject;
  const next = messages.find((message) => message.subject === subject && message.position > 4)?.position;
  assert.ok(['4', String(next)].includes(first ?? ''), err);
});

test('files that are none, missing or compressed are refused in words', async () => {
  assert.match((await callCli('audit', 'verify', path('none'))).err, /^NOT_FOUND: /);
  await writeFile(path('text'), 'hello\n');
  assert.match((await callCli('audit', 'verify', path('text'))).err, /^EXPORT_INVALID: /);
  assert.match((await callCli('audit', 'export', path('text'))).err, /^EXPORT_INVALID: /);
  assert.equal((await callCli('audit', 'export', path('log.gz'))).exit, 2);
  assert.equal((await callCli('audit', 'export', path('x'), '--from', 'a')).exit, 2);
  assert.equal((await callCli('audit', 'keygen', path('key'))).exit, 0);
  assert.match((await callCli('audit', 'keygen', path('key'))).err, /^KEY_EXISTS: /);
});

test('a decision that names no command, with guard, hash and ids as they have to be, is found on the server', async () => {
  await system.stop();
  const messages = await readWhole(streams.log);
  const decision = messages.findLast(({ subject }) => subject.startsWith('cnm.event.host.')) ?? assert.fail();
  const [event] = decodeCommit(decision.body, decision.subject);
  const cloud = JSON.parse(new TextDecoder().decode(decision.body))[0] as Record<string, unknown>;
  const forged = { ...cloud, id: 'forged000001.0', commandseq: (event?.meta.commandseq ?? 0) + 100 };
  const appended = await streams.log.append({
    subject: decision.subject,
    body: JSON.stringify([forged]),
    id: 'forged000001',
    expectedLast: decision.position,
    headers: { 'Cnm-Prev-Hash': chainHash(decision), 'Cnm-Commands': decision.header('Cnm-Commands') },
  });
  assert.equal(appended.kind, 'appended');
  const { exit, err } = await callCli('audit', 'verify');
  assert.equal(exit, 1);
  assert.match(err, new RegExp(`^position ${messages.length + 1} forged ${decision.subject}: .*is not there`));
});
