// An export on an empty server is the same log again: positions, bytes, chain, views, checkpoints, and where commands go on.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { jetstreamManager } from '@nats-io/jetstream';
import { decodeCommit } from '../../events/envelope.ts';
import { applyCommit, createViews } from '../../projections/views.ts';
import { parseCheckpoint } from '../../services/audit/checkpoint.ts';
import { exportToFile } from '../../services/audit/export-file.ts';
import { importedThrough } from '../../services/audit/import.ts';
import { chainHash, originalHeaders } from '../../services/lib/hash.ts';
import { recordedOf } from '../../services/lib/recorded.ts';
import type { Message, Stream } from '../../services/lib/stream.ts';
import { provision } from '../../services/nats/streams.ts';
import { digestOf } from '../../services/projector/rebuild.ts';
import { callCli } from '../support/called.ts';
import { readWhole } from '../support/log-checks.ts';
import type { MemoryStream } from '../support/memory-stream.ts';
import { startNats, type TestNats, testStream } from '../support/nats.ts';
import { realmStream, sealed, storedOf } from '../support/tampered.ts';

const pair = generateKeyPairSync('ed25519');
const EVERY = 10;
let nats: TestNats;
let original: MemoryStream;
let folder: string;
let file: string;
const path = (name: string): string => join(folder, name);

const plain = (message: Message) => ({
  position: message.position,
  recordedMs: recordedOf(message),
  subject: message.subject,
  headers: originalHeaders(message),
  hash: chainHash(message),
  body: Buffer.from(message.body).toString('base64'),
});
const viewsOf = async (log: Stream): Promise<string> => {
  const views = createViews();
  for (const { subject, position, body } of await readWhole(log))
    applyCommit(views, subject, position, decodeCommit(body, subject));
  return digestOf(views);
};
const decidedThrough = (messages: readonly Message[]): number =>
  Math.max(...messages.map((message) => Number(message.header('Cnm-Commands').split('-')[1] ?? 0)));

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cnm-import-'));
  original = await realmStream();
  const { checkpoints } = sealed(original.stored().map(storedOf), pair.privateKey, EVERY);
  const positioned = checkpoints.map((signed) => ({
    ...signed,
    position: parseCheckpoint(signed.checkpoint)?.position ?? 0,
  }));
  file = path('log.ndjson');
  await exportToFile(file, { log: original, checkpoints: positioned });
  await writeFile(path('key.pub'), pair.publicKey.export({ type: 'spki', format: 'pem' }));
});
beforeEach(async () => {
  nats = await startNats();
  process.env.CNM_NATS_URL = nats.url;
  process.env.CNM_REALM = 'test';
});
afterEach(() => nats.stop());
after(() => rm(folder, { recursive: true, force: true }));

test('what is imported is the same log, and exports as the same file', async () => {
  assert.ok(original.stored().some((message) => message.header('Nats-Batch-Id') !== ''));
  const imported = await callCli('audit', 'import', file, '--key', path('key.pub'));
  assert.deepEqual([imported.exit, imported.err], [0, '']);
  const connection = await nats.connect();
  const log = testStream(connection, 'CNM_LOG');
  const there = await readWhole(log);
  assert.deepEqual(there.map(plain), original.stored().map(plain));
  assert.equal(await viewsOf(log), await viewsOf(original));
  assert.equal((await callCli('audit', 'export', path('again'))).exit, 0);
  assert.equal(await readFile(path('again'), 'utf8'), await readFile(file, 'utf8'));
  const verified = await callCli('audit', 'verify', '--key', path('key.pub'));
  assert.equal(verified.exit, 0, verified.err);
  assert.equal((await callCli('audit', 'import', file)).err.split(':')[0], 'IMPORT_NOT_EMPTY');
  const manager = await jetstreamManager(connection);
  const { config } = await manager.streams.info('CNM_LOG');
  assert.equal(config.metadata?.[importedThrough], String(there.length));
  assert.equal((await provision(connection, { sync: { kind: 'embedded' } as never })).ok, true);
  const command = { subject: 'cnm.command.alice._', body: '{}', id: 'next' };
  const appended = await testStream(connection, 'CNM_COMMANDS').append(command);
  assert.deepEqual(appended, { kind: 'appended', position: decidedThrough(there) + 1 });
});

test('what is damaged, partial or signed by another is not imported', async () => {
  const text = await readFile(file, 'utf8');
  const lines = text.split('\n');
  await writeFile(path('without'), lines.toSpliced(7, 1).join('\n'));
  await writeFile(path('cut'), lines.slice(0, -2).join('\n'));
  await exportToFile(path('later'), { log: original, checkpoints: [], from: 5 });
  const other = generateKeyPairSync('ed25519');
  await writeFile(path('other.pub'), other.publicKey.export({ type: 'spki', format: 'pem' }));
  const calls = [[path('without')], [path('cut')], [path('later')], [file, '--key', path('other.pub')]];
  for (const words of calls) assert.equal((await callCli('audit', 'import', ...words)).exit, 1, words.join(' '));
  assert.match((await callCli('audit', 'import', path('later'))).err, /^IMPORT_PARTIAL: /);
  const manager = await jetstreamManager(await nats.connect());
  assert.deepEqual(await manager.streams.list().next(), []);
});

test('a stray message on the log stops neither an export that goes on nor, where somebody answers for it, an import', async () => {
  const log = await realmStream();
  const stray = await log.append({ subject: 'cnm.event.host.h1', body: 'no JSON', id: 'stray' });
  const at = stray.kind === 'appended' ? stray.position : assert.fail();
  const strange = path('strange.ndjson');
  await exportToFile(strange, { log, checkpoints: [] });
  const text = await readFile(strange, 'utf8');
  await exportToFile(strange, { log, checkpoints: [] });
  assert.equal(await readFile(strange, 'utf8'), text);
  // The same oddness does not hide another.
  const lines = text.split('\n');
  const line = lines.findIndex((one) => one.startsWith('{"position":4,'));
  const recorded = /"recorded":"([^"]+)"/.exec(lines[line] ?? '')?.[1] ?? assert.fail();
  const later = new Date(Date.parse(recorded) + 1).toISOString();
  const changed = lines.with(line, lines[line]?.replace(recorded, later) ?? '').join('\n');
  await writeFile(path('changed.ndjson'), changed);
  await assert.rejects(exportToFile(path('changed.ndjson'), { log, checkpoints: [] }), { code: 'EXPORT_INVALID' });

  for (const file of [strange, path('changed.ndjson')]) {
    const refused = await callCli('audit', 'import', file);
    assert.equal(refused.exit, 1);
    assert.match(refused.err, /nothing was imported\n$/);
  }
  const words = ['--accept', String(at)];
  assert.equal((await callCli('audit', 'import', path('changed.ndjson'), ...words)).exit, 1);
  assert.equal((await callCli('audit', 'verify', path('changed.ndjson'), ...words)).exit, 1);
  assert.equal((await callCli('audit', 'verify', strange, '--accept', String(at - 1))).exit, 1);
  const accepted = await callCli('audit', 'verify', strange, ...words);
  assert.deepEqual([accepted.exit, accepted.err.startsWith(`position ${at} unreadable`)], [0, true]);
  assert.equal((await callCli('audit', 'import', strange, ...words)).exit, 0);
  assert.equal((await callCli('audit', 'export', path('again.ndjson'))).exit, 0);
  assert.equal(await readFile(path('again.ndjson'), 'utf8'), text);
  assert.equal((await callCli('audit', 'verify', '--accept', 'x')).exit, 2);
});
