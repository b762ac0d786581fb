import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chainHash } from '../../services/lib/hash.ts';
import { positionRecordedAt, recordedHeader, recordedOf } from '../../services/lib/recorded.ts';
import { memoryStream } from '../support/memory-stream.ts';

const message = (headers: readonly (readonly [string, string])[]) => ({
  subject: 'cnm.event.host.a',
  body: new Uint8Array(),
  recordedMs: 1_000,
  header: (name: string) => headers.find(([known]) => known === name)?.[1] ?? '',
  headers: () => headers,
});

test('recorded: an imported message keeps the time of its first recording', () => {
  assert.equal(recordedOf(message([])), 1_000);
  assert.equal(recordedOf(message([[recordedHeader, '2026-11-20T08:00:00.123Z']])), 1_795_161_600_123);
  assert.equal(recordedOf(message([[recordedHeader, 'yesterday']])), 1_000);
});

test('recorded: an import changes no hash', () => {
  const id = ['Nats-Msg-Id', 'c1'] as const;
  assert.equal(chainHash(message([id, [recordedHeader, '2026-11-20T08:00:00.123Z']])), chainHash(message([id])));
});

test('recorded: times of imported messages are searched, those of others asked for', async () => {
  const importedAtMs = 10_000;
  const stream = memoryStream('LOG', { nowMs: () => importedAtMs + Math.max(0, stream.stored().length - 50) * 10 });
  const times = Array.from({ length: 50 }, (_, n) => 1_000 + Math.floor(n / 3) * 100);
  for (const [n, ms] of times.entries()) {
    const headers = { [recordedHeader]: new Date(ms).toISOString() };
    await stream.append({ subject: 'a', body: '', id: `${n}`, headers });
  }
  for (let n = 50; n < 60; n++) await stream.append({ subject: 'a', body: '', id: `${n}` });
  const all = stream.stored().map(recordedOf);
  for (let ms = 900; ms < 11_000; ms += 50) {
    const expected = all.findIndex((recorded) => recorded >= ms);
    assert.equal(await positionRecordedAt(stream, ms), expected < 0 ? all.length + 1 : expected + 1, `at ${ms}`);
  }
});
