// What an export holds of a log on a real server: the messages as they are stored, joint batches included, however much is read ahead.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { jetstreamManager } from '@nats-io/jetstream';
import { exportLines } from '../../services/audit/export.ts';
import { openExport } from '../../services/audit/open-export.ts';
import { chainHash } from '../../services/lib/hash.ts';
import { readRange } from '../../services/lib/read-range.ts';
import type { Message, Stream } from '../../services/lib/stream.ts';
import { addStream, startNats, testStream } from '../support/nats.ts';

const SINGLES = 60;
/** More than is read ahead, so that reading stops and goes on in between. */
const body = Buffer.alloc(400_000, 'x');

const plain = (message: Message) => ({
  position: message.position,
  recordedMs: message.recordedMs,
  subject: message.subject,
  headers: message.headers(),
  hash: chainHash(message),
});
const stored = async (stream: Stream): Promise<readonly Message[]> => {
  const messages: Message[] = [];
  for await (const batch of readRange(stream, await stream.first(), await stream.last())) messages.push(...batch);
  return messages;
};

test('an export of a log on a server holds what look-ups find there', async () => {
  const nats = await startNats();
  const folder = await mkdtemp(join(tmpdir(), 'cnm-read-'));
  try {
    const connection = await nats.connect();
    const subjects = ['cnm.event.>', 'cnm.outcome.>'];
    const manager = await jetstreamManager(connection);
    await addStream(manager, { name: 'LOG', subjects, allow_direct: true, allow_atomic: true });
    const log = testStream(connection, 'LOG');
    for (let n = 1; n <= SINGLES; n++) {
      const headers = { 'Cnm-Prev-Hash': `p${n}` };
      await log.append({ subject: 'cnm.outcome.h1', body, id: `${n}`, expectedLast: n - 1, headers });
    }
    const joint = ['cnm.event.host.h1', 'cnm.event.realm.x'];
    const appended = await log.appendAll(
      joint.map((subject) => ({ subject, body: '[]', id: subject, expectedLast: 0 })),
    );
    assert.deepEqual(appended, { kind: 'appended', positions: [SINGLES + 1, SINGLES + 2] });
    const file = join(folder, 'log.ndjson');
    await writeFile(file, exportLines(log));
    const opened = await openExport(file);
    const messages = await stored(opened);
    assert.deepEqual(messages.map(plain), (await stored(log)).map(plain));
    assert.equal(messages.length, SINGLES + 2);
    for (const message of messages) {
      const found = await log.get(message.position);
      assert.ok(found);
      assert.deepEqual(plain(message), plain(found));
      assert.equal(Buffer.compare(message.body, found.body), 0);
    }
    assert.equal(opened.end?.messages, SINGLES + 2);
  } finally {
    await rm(folder, { recursive: true, force: true });
    await nats.stop();
  }
});

test('a stretch that a failing stream cannot give fails, and does not wait', async () => {
  const failing = {
    read: () => ({
      caughtUp: Promise.resolve(),
      closed: Promise.reject(new Error('gone for good')),
      stop: async () => undefined,
    }),
  } as unknown as Stream;
  await assert.rejects(async () => {
    for await (const batch of readRange(failing, 1, 2)) assert.fail(`${batch.length} messages`);
  }, /gone for good/);
});
