// An export holds the log as it is stored, and reads like it.
import assert from 'node:assert/strict';
import { appendFile, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { Chain, emptyDigest, rollingDigest, writeHeads } from '../../services/audit/chain.ts';
import { exportLines, openingOf } from '../../services/audit/export.ts';
import { ExportFault } from '../../services/audit/export-format.ts';
import { type Export, openExport } from '../../services/audit/open-export.ts';
import { recordedHeader } from '../../services/lib/recorded.ts';
import type { Message, Stream } from '../../services/lib/stream.ts';
import { type MemoryStream, memoryStream } from '../support/memory-stream.ts';

const MESSAGES = 2_500;
const epoch = 'epoch0000001';
const opened = JSON.stringify([
  {
    ...{ specversion: '1.0', id: 'opening.0', type: 'cnm.RealmOpened.v1', source: '/cnm/r1/controller' },
    ...{ subject: 'realm/r1', time: '2023-11-14T22:13:20.000Z', actor: '', commandid: '', correlationid: '' },
    ...{ causationid: '', data: { realm: 'r1', epoch } },
  },
]);

let folder: string;
let log: MemoryStream;
let written: string;

const fileOf = (name: string): string => join(folder, name);
const all = async <Item>(items: AsyncIterable<Item>): Promise<readonly Item[]> => {
  const list: Item[] = [];
  for await (const item of items) list.push(item);
  return list;
};
const textOf = async (lines: AsyncIterable<string>): Promise<string> => (await all(lines)).join('');
const openText = async (name: string, text: string | Buffer): Promise<Export> => {
  await writeFile(fileOf(name), text);
  return openExport(fileOf(name));
};
const readAll = async (stream: Stream, from: number, subjects?: readonly string[]): Promise<readonly Message[]> => {
  const messages: Message[] = [];
  const reader = stream.read({ from, ...(subjects ? { subjects } : {}) }, (message) => messages.push(message));
  await reader.caughtUp;
  await reader.stop();
  return messages;
};
const plain = (message: Message | null) =>
  message && {
    position: message.position,
    recordedMs: message.recordedMs,
    subject: message.subject,
    headers: message.headers(),
    body: Buffer.from(message.body).toString('latin1'),
    prev: message.header('Cnm-Prev-Hash'),
  };
const isFault = (code: string, said: RegExp) => (error: unknown) =>
  error instanceof ExportFault && error.code === code && said.test(error.message);

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cnm-export-'));
  log = memoryStream('LOG', { nowMs: () => 1_700_000_000_000 + Math.floor((log?.stored().length ?? 0) / 3) });
  await log.append({ subject: 'cnm.event.realm._', body: opened, id: 'opening', expectedLast: 0 });
  for (let n = 2; n <= MESSAGES; n++) {
    const subject = n % 3 === 0 ? 'cnm.outcome.h1' : `cnm.event.host.h${n % 2}`;
    const headers = { 'Cnm-Prev-Hash': `hash ${n}`, quoted: '"\\' };
    await log.append({ subject, body: Uint8Array.of(n & 255, 0, 255, 10), id: `${n}`, headers });
  }
  written = await textOf(exportLines(log));
});
after(() => rm(folder, { recursive: true, force: true }));

const alike = async (opened: Export): Promise<void> => {
  assert.deepEqual((await readAll(opened, 1)).map(plain), log.stored().map(plain));
  for (const from of [2, 999, 1_000, 1_001, MESSAGES, MESSAGES + 1]) {
    const subjects = ['cnm.event.>'];
    assert.deepEqual(
      (await readAll(opened, from, subjects)).map(plain),
      (await readAll(log, from, subjects)).map(plain),
    );
  }
  for (const position of [0, 1, 2, 1_000, 1_001, 1_002, MESSAGES, MESSAGES + 1]) {
    assert.deepEqual(plain(await opened.get(position)), plain(await log.get(position)));
  }
  for (const subject of ['cnm.event.realm._', 'cnm.outcome.h1', 'cnm.event.host.h0', 'cnm.event.host.none']) {
    assert.deepEqual(plain(await opened.lastOn(subject)), plain(await log.lastOn(subject)));
  }
  const times = [0, 1_700_000_000_000, 1_700_000_000_400, 1_700_000_000_500, 1_800_000_000_000];
  for (const time of times) assert.equal(await opened.positionAt(time), await log.positionAt(time));
  assert.deepEqual([await opened.first(), await opened.last()], [await log.first(), await log.last()]);
};

test('export: read, look-ups and times are those of the log', async () =>
  alike(await openText('whole.ndjson', written)));

test('export: compressed files are undone on the way', async () => {
  await alike(await openText('whole.ndjson.zst', zstdCompressSync(written)));
  await alike(await openText('whole.ndjson.gz', gzipSync(written)));
});

test('export: header and end say whose log it is and what it adds up to', async () => {
  const { header, end, messages, before: start, bytes } = await openText('whole.ndjson', written);
  const chain = new Chain();
  for (const message of log.stored()) chain.take(message);
  assert.deepEqual(header, {
    ...{ cnm: 'export', version: 1, realm: 'r1', epoch, first: 1, digest: 'A'.repeat(43), heads: {}, filter: null },
  });
  const heads = writeHeads(chain.heads);
  assert.deepEqual(end, { last: MESSAGES, messages: MESSAGES, digest: chain.digest, heads });
  assert.deepEqual([messages, start.position, start.digest], [MESSAGES, 0, emptyDigest]);
  assert.equal(written.slice(bytes), `${JSON.stringify({ end })}\n`);
  assert.deepEqual(await openingOf(log), { realm: 'r1', epoch });
  assert.equal(await openingOf(memoryStream('EMPTY')), null);
});

test('export: the rolling digest covers order, position, time and content', () => {
  const hashed = 'A'.repeat(43);
  const digests = [
    rollingDigest(emptyDigest, 1, 1_000, hashed),
    rollingDigest(emptyDigest, 2, 1_000, hashed),
    rollingDigest(emptyDigest, 1, 1_001, hashed),
    rollingDigest(emptyDigest, 1, 1_000, `B${hashed.slice(1)}`),
    rollingDigest(rollingDigest(emptyDigest, 1, 1_000, hashed), 1, 1_000, hashed),
  ];
  assert.equal(new Set(digests).size, digests.length);
  assert.equal(digests[0], 'uzZsRWGz-umOQvS1sMfkA31PlnNNOvHkP-PcvbCrbWs');
});

test('export: one that was cut anywhere goes on to the same bytes', async () => {
  const ends = [...written.matchAll(/\n/g)].map(({ index }) => index + 1);
  for (const cut of [ends[0], ends[1], (ends[1_200] ?? 0) + 7, ends.at(-2), (ends.at(-2) ?? 0) + 3, ends.at(-1)]) {
    const part = await openText('cut.ndjson', written.slice(0, cut));
    const chain = new Chain(part.before);
    for (const message of await readAll(part, 1)) chain.take(message);
    await truncate(fileOf('cut.ndjson'), part.bytes);
    const { position, digest, heads } = chain;
    const resume = { position, digest, heads, messages: part.messages };
    for await (const piece of exportLines(log, { resume })) await appendFile(fileOf('cut.ndjson'), piece);
    assert.equal(await readFile(fileOf('cut.ndjson'), 'utf8'), written);
  }
});

test('export: a stretch knows digest and heads of what comes before it', async () => {
  const stretch = await openText('stretch.ndjson', await textOf(exportLines(log, { from: 1_500, until: 1_700 })));
  const chain = new Chain();
  for (const message of log.stored().slice(0, 1_499)) chain.take(message);
  assert.deepEqual(stretch.before, { position: 1_499, digest: chain.digest, heads: chain.heads });
  assert.deepEqual([await stretch.first(), await stretch.last(), stretch.messages], [1_500, 1_700, 201]);
  for (const message of log.stored().slice(1_499, 1_700)) chain.take(message);
  assert.equal(stretch.end?.digest, chain.digest);
  assert.deepEqual(await stretch.get(1_499), null);
});

test('export: checkpoints stand behind the message at their position', async () => {
  const signed = (position: number) => ({
    position,
    checkpoint: `{"position":${position}}`,
    signature: `s${position}`,
  });
  const checkpoints = [2, 3, 4].map(signed);
  const stretch = await openText('signed.ndjson', await textOf(exportLines(log, { from: 3, until: 4, checkpoints })));
  const entries = (await all(stretch.entries())).flat();
  assert.deepEqual(
    entries.map((entry) => [entry.line, entry.kind]),
    [
      [2, 'message'],
      [3, 'checkpoint'],
      [4, 'message'],
      [5, 'checkpoint'],
      [6, 'end'],
    ],
  );
  assert.deepEqual(
    (await stretch.checkpoints()).map(({ signature }) => signature),
    ['s3', 's4'],
  );
});

test('export: an imported log exports the lines of the first one', async () => {
  const again = memoryStream('AGAIN', { nowMs: () => 1_900_000_000_000 });
  for (const message of log.stored().slice(0, 10)) {
    const recorded = new Date(message.recordedMs).toISOString();
    const headers = { ...Object.fromEntries(message.headers()), [recordedHeader]: recorded };
    const { subject, body } = message;
    const given = Object.fromEntries(Object.entries(headers).filter(([name]) => !name.startsWith('Nats-')));
    await again.append({ subject, body, id: message.header('Nats-Msg-Id'), headers: given });
  }
  const lines = (text: string) => text.split('\n').slice(2, 11);
  const withoutStream = (text: string) => text.replaceAll(/\["Nats-Expected-Stream","[A-Z]+"\]/g, '');
  assert.deepEqual(lines(await textOf(exportLines(again))).map(withoutStream), lines(written).map(withoutStream));
});

test('export: what is damaged or partial is refused with the line', async () => {
  const lines = written.split('\n');
  const damaged = lines.with(3, '{"position":3,').join('\n');
  await assert.rejects(openText('x', damaged), isFault('EXPORT_INVALID', /^line 4, behind position 2: not JSON/));
  await assert.rejects(openText('x', `${written}${lines[1]}\n`), isFault('EXPORT_INVALID', /behind its end/));
  await assert.rejects(openText('x', ''), isFault('EXPORT_INVALID', /no header/));
  await assert.rejects(openText('x', '{"specversion":"1.0"}\n'), isFault('EXPORT_PARTIAL', /^line 1: /));
  await assert.rejects(openExport(fileOf('nowhere')), { code: 'ENOENT' });
  const whole = await openText('whole.ndjson', written);
  assert.throws(() => whole.append({ subject: 'a', body: '', id: '1' }), isFault('EXPORT_READ_ONLY', /export/));
});

test('export: what a reader throws ends the read', async () => {
  const whole = await openText('whole.ndjson', written);
  const reader = whole.read({ from: 1 }, ({ position }) => {
    if (position === 3) throw new Error('enough');
  });
  await assert.rejects(reader.caughtUp, /enough/);
  await assert.rejects(reader.closed, /enough/);
});
