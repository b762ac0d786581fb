import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryStream } from '../support/memory-stream.ts';
import { streamSuite } from './stream.suite.ts';

streamSuite('memory', async () => memoryStream('T', { subjects: ['t.>'] }));

test('memory stream: injected outcomes come one by one', async () => {
  const stream = memoryStream('T');
  stream.injectNext('conflict', 'lost', 'unacknowledged');
  const kinds: string[] = [];
  for (const id of ['1', '2', '3', '4']) kinds.push((await stream.append({ subject: 't.a', body: id, id })).kind);
  assert.deepEqual(kinds, ['conflict', 'unknown', 'unknown', 'appended']);
  assert.deepEqual(
    stream.stored().map((message) => message.header('Nats-Msg-Id')),
    ['3', '4'],
  );
});

test('memory stream: a reader waits while disconnected and resumes', async () => {
  const stream = memoryStream('T');
  const seen: number[] = [];
  const reader = stream.read({ from: 1 }, ({ position }) => seen.push(position));
  stream.disconnect();
  assert.equal((await stream.append({ subject: 't.a', body: '', id: '1' })).kind, 'unknown');
  stream.connect();
  await stream.append({ subject: 't.a', body: '', id: '2' });
  await stream.last();
  assert.deepEqual(seen, [1]);
  await reader.stop();
});
