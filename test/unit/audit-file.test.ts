// An export that was stopped anywhere goes on to the same bytes; what is damaged, or of another log, is left alone.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { parseCheckpoint } from '../../services/audit/checkpoint.ts';
import { exportToFile, type FileExport } from '../../services/audit/export-file.ts';
import { checkpointLine, ExportFault } from '../../services/audit/export-format.ts';
import { generateKey, KeyFault, keyIdOf, readSigningKey, readVerifyingKeys } from '../../services/audit/keys.ts';
import { openExport } from '../../services/audit/open-export.ts';
import { readCheckpoints, verifyExport, verifyLog } from '../../services/audit/verify.ts';
import { inFrontOf, type Stream } from '../../services/lib/stream.ts';
import { memoryStream } from '../support/memory-stream.ts';
import { realmStream, sealed, storedOf } from '../support/tampered.ts';

const pair = generateKeyPairSync('ed25519');
const keys = new Map([[keyIdOf(pair.publicKey), pair.publicKey]]);
const EVERY = 9;

let folder: string;
let log: Stream;
let checkpoints: FileExport['checkpoints'];
let whole: string;

const path = (name: string): string => join(folder, name);

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cnm-audit-'));
  const stream = await realmStream();
  log = stream;
  const messages = stream.stored().map(storedOf);
  checkpoints = sealed(messages, pair.privateKey, EVERY).checkpoints.map((signed) => ({
    ...signed,
    position: parseCheckpoint(signed.checkpoint)?.position ?? 0,
  }));
  await exportToFile(path('whole'), { log, checkpoints });
  whole = await readFile(path('whole'), 'utf8');
});
after(() => rm(folder, { recursive: true, force: true }));

const findingsIn = async (name: string, text: string) => {
  await writeFile(path(name), text);
  return (await verifyExport(await openExport(path(name)), keys)).findings;
};

test('a whole export verifies, with all its checkpoints', async () => {
  const report = await verifyExport(await openExport(path('whole')), keys);
  assert.deepEqual(report.findings, []);
  assert.equal(report.checkpoints, checkpoints.length);
  assert.ok(checkpoints.length >= 2);
});

test('cut at any line, in the middle of any line, it is gone on with to the same bytes', async () => {
  const ends: number[] = [];
  for (let at = whole.indexOf('\n'); at >= 0; at = whole.indexOf('\n', at + 1)) ends.push(at);
  for (const end of ends) {
    for (const cut of [end + 1, end, Math.max(0, end - 20)]) {
      await writeFile(path('cut'), whole.slice(0, cut));
      assert.equal(await exportToFile(path('cut'), { log, checkpoints }), whole.length);
      assert.equal(await readFile(path('cut'), 'utf8'), whole, `cut at ${cut}`);
    }
  }
});

test('in stretches, and with checkpoints that came late, it is the same', async () => {
  const last = await log.last();
  for (const until of [1, EVERY - 1, EVERY, EVERY + 1, last]) {
    for (const known of [checkpoints, [], checkpoints.slice(1)]) {
      await rm(path('part'), { force: true });
      await exportToFile(path('part'), { log, checkpoints: known, until });
      await exportToFile(path('part'), { log, checkpoints });
      assert.equal(await readFile(path('part'), 'utf8'), whole, `until ${until}`);
    }
  }
});

test('a stretch from later on verifies as well', async () => {
  await exportToFile(path('later'), { log, checkpoints, from: EVERY + 2 });
  assert.deepEqual((await verifyExport(await openExport(path('later')), keys)).findings, []);
  await assert.rejects(exportToFile(path('later'), { log, checkpoints, from: 1 }), { code: 'EXPORT_OTHER' });
});

test('a damaged byte is found, wherever it is behind the header', async () => {
  const step = Math.max(1, Math.floor(whole.length / 150));
  for (let at = whole.indexOf('\n') + 3; at < whole.length - 1; at += step) {
    const changed = whole[at] === 'x' ? 'y' : 'x';
    const damaged = whole.slice(0, at) + changed + whole.slice(at + 1);
    let found = 0;
    try {
      found = (await findingsIn('damaged', damaged)).length;
    } catch (error) {
      assert.ok(error instanceof ExportFault, String(error));
      found = 1;
    }
    assert.ok(found > 0, `byte ${at}: ${whole.slice(at - 20, at + 20)}`);
  }
});

test('a damaged file and one of another log are left alone', async () => {
  const body = whole.indexOf('"body":"') + 12;
  const damaged = `${whole.slice(0, body)}AAAA${whole.slice(body + 4)}`;
  await writeFile(path('damaged'), damaged);
  await assert.rejects(exportToFile(path('damaged'), { log, checkpoints }), {
    code: 'EXPORT_INVALID',
    message: /damaged is there already and is not gone on with: it is damaged at position 1: /,
  });
  assert.equal(await readFile(path('damaged'), 'utf8'), damaged);
  const other = memoryStream('OTHER');
  await assert.rejects(exportToFile(path('whole'), { log: other, checkpoints: [] }), { code: 'EXPORT_OTHER' });
  assert.equal(await readFile(path('whole'), 'utf8'), whole);
});

test('a line that cannot be read is named by what stands before it, and all of that is verified', async () => {
  const lines = whole.split('\n');
  const at = lines.findIndex((line) => line.startsWith('{"position":7,'));
  const half = lines.with(at, lines[at]?.slice(0, 150) ?? '').join('\n');
  const [first] = await findingsIn('half', half);
  assert.deepEqual([first?.position, first?.kind, first?.detail], [7, 'unreadable', `line ${at + 1}: not JSON`]);
  const opened = await openExport(path('half'));
  const reader = opened.read({ from: 1 }, () => {});
  await assert.rejects(reader.closed, { code: 'EXPORT_INVALID', message: 'the line behind position 6: not JSON' });
  await writeFile(path('garbled'), lines.with(at, 'x').join('\n'));
  await assert.rejects(openExport(path('garbled')), { message: `line ${at + 1}, behind position 6: not JSON` });
});

test('what is compressed and cut, a folder, and a form that is newer are refused in words', async () => {
  const packed = [gzipSync(whole), zstdCompressSync(whole)] as const;
  for (const [index, name] of ['log.gz', 'log.zst'].entries()) {
    const bytes = packed[index] ?? assert.fail();
    await writeFile(path(name), bytes);
    assert.deepEqual((await verifyExport(await openExport(path(name)), keys)).findings, []);
    await writeFile(path(name), bytes.subarray(0, bytes.length / 2));
    await assert.rejects(openExport(path(name)), { code: 'EXPORT_INVALID', message: /^it cannot be unpacked: / });
    await writeFile(path(name), whole);
    await assert.rejects(openExport(path(name)), { code: 'EXPORT_INVALID', message: /^it cannot be unpacked: / });
  }
  await assert.rejects(openExport(folder), { code: 'EISDIR', path: folder });
  await writeFile(path('newer'), whole.replace('"version":1', '"version":2'));
  await assert.rejects(openExport(path('newer')), { message: /^line 1: it is of form 2, .*install a newer one$/ });
});

test('a range that holds nothing is refused, and nothing is written', async () => {
  const range = { code: 'EXPORT_RANGE', message: 'from position 8 up to 6 there is nothing' };
  await assert.rejects(exportToFile(path('none'), { log, checkpoints, from: 8, until: 6 }), range);
  const last = await log.last();
  const beyond = { message: `the log ends at position ${last}, before ${last + 5}` };
  await assert.rejects(exportToFile(path('none'), { log, checkpoints, from: last + 5 }), beyond);
  assert.equal((await stat(path('none')).catch(() => null))?.size ?? 0, 0);
});

test('checkpoints that were kept elsewhere vouch for a log and its exports, whatever is missing beside them', async () => {
  const kept = path('kept');
  const lines = checkpoints.map((one) => checkpointLine(one)).join('');
  await writeFile(kept, `${lines}{"checkpoint":"half`);
  const known = await readCheckpoints(kept);
  assert.deepEqual(
    known.map(({ position }) => position),
    checkpoints.map(({ position }) => position),
  );
  const [last, signed] = [await log.last(), known.at(-1)?.position ?? assert.fail()];
  await exportToFile(path('bare'), { log, checkpoints: [] });
  const bare = await verifyExport(await openExport(path('bare')), keys, known);
  assert.deepEqual([bare.findings, bare.checkpoints], [[], known.length]);
  assert.ok(bare.covered.includes(`all up to ${signed}, by signatures`), bare.covered.join());
  await exportToFile(path('short'), { log, checkpoints: [], until: EVERY + 1 });
  const short = await verifyExport(await openExport(path('short')), keys, known);
  assert.deepEqual([short.findings, short.checkpoints], [[], 1]);
  assert.ok(short.notCovered.some((text) => text.startsWith(`what ${known.length - 1} checkpoints sign`)));

  const none = memoryStream('CNM_CHECKPOINT');
  const live = { checkpoint: none, commands: null };
  assert.deepEqual((await verifyLog({ ...live, log }, keys, null, known)).findings, []);
  // Somebody cuts the log and all that the server has of checkpoints: nothing there tells.
  const cut = inFrontOf(log, { last: async () => signed - 1 });
  assert.deepEqual((await verifyLog({ ...live, log: cut }, keys)).findings, []);
  const [found] = (await verifyLog({ ...live, log: cut }, keys, null, known)).findings;
  assert.deepEqual([found?.kind, found?.position], ['cut', signed]);
  assert.ok(last >= signed);
  await writeFile(kept, `${lines}junk\n`);
  const wrong = { code: 'EXPORT_INVALID', message: `${kept}, line ${known.length + 1}: no checkpoint` };
  await assert.rejects(readCheckpoints(kept), wrong);
});

test('without its end line an export is cut', async () => {
  const [found] = await findingsIn('open', whole.slice(0, whole.lastIndexOf('{"end"')));
  assert.deepEqual([found?.kind, found?.position], ['cut', (await log.last()) + 1]);
});

test('keys: a pair is made once, for its owner alone, and read again', async () => {
  const file = path('key');
  const { id, publicFile } = await generateKey(file);
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.equal(keyIdOf(await readSigningKey(file)), id);
  assert.deepEqual([...(await readVerifyingKeys([publicFile])).keys()], [id]);
  assert.deepEqual([...(await readVerifyingKeys([file])).keys()], [id]);
  await assert.rejects(generateKey(file), { code: 'KEY_EXISTS' });
  await assert.rejects(
    readSigningKey(publicFile),
    (error) => error instanceof KeyFault && error.code === 'KEY_EXPOSED',
  );
  const strange = path('rsa');
  await writeFile(
    strange,
    generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey.export({ type: 'pkcs8', format: 'pem' }),
    { mode: 0o600 },
  );
  await assert.rejects(readSigningKey(strange), { code: 'KEY_INVALID' });
  await writeFile(strange, 'none');
  await assert.rejects(readVerifyingKeys([strange]), { code: 'KEY_INVALID' });
});
