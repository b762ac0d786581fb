// What a segment begins with, packed and not.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { UnreadableCommit } from '../../events/envelope.ts';
import { packText, stateText } from '../../services/lib/state-text.ts';

const text = `${JSON.stringify(['view', 'networks', 'n1', { name: 'wéb' }])}\n`.repeat(1_000);

test('a packed text is read again, and is much smaller; one that is not packed is read as it is', () => {
  const packed = packText(text);
  assert.equal(stateText(packed), text);
  assert.ok(packed.length * 20 < text.length);
  assert.equal(stateText(Buffer.from(text)), text);
});

test('what is damaged, or unpacks to more than any of ours, is said to be unreadable', () => {
  const packed = Buffer.from(packText(text));
  packed[packed.length - 6] = (packed.at(-6) ?? 0) ^ 1;
  assert.throws(() => stateText(packed), UnreadableCommit);
  assert.throws(() => stateText(packText(text).subarray(0, 40)), UnreadableCommit);
  assert.throws(() => stateText(gzipSync(Buffer.alloc(65 * 1024 * 1024))), UnreadableCommit);
});
