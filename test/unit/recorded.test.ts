import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chainHash } from '../../services/lib/hash.ts';
import { recordedHeader, recordedOf } from '../../services/lib/recorded.ts';

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
