/** What an append makes of a server's answers that a single server never gives. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { NatsConnection } from '@nats-io/transport-node';
import { startNats, type TestNats, testStream } from '../support/nats.ts';

let server: TestNats;
let connection: NatsConnection;

before(async () => {
  server = await startNats();
  connection = await server.connect();
});
after(async () => {
  await connection?.close();
  await server?.stop();
});

/** Answers every append to a subject as a server does that refuses it (nats-server errors.json). */
const refusing = (subject: string, code: number, err_code: number, description: string): void => {
  const body = JSON.stringify({ error: { code, err_code, description }, stream: 'CNM_LOG', seq: 0 });
  connection.subscribe(subject, { callback: (_, message) => void message.respond(body) });
};

const answers = [
  // An earlier sending of the same message waits for its copies.
  { code: 409, number: 10158, text: 'duplicate message id is in process', kind: 'unknown' },
  // Another message of the subject does.
  { code: 400, number: 10164, text: 'wrong last sequence', kind: 'conflict' },
  { code: 503, number: 10077, text: 'store is closed', kind: 'unknown' },
] as const;

for (const { code, number, text, kind } of answers)
  test(`an append that is answered with ${text} is: ${kind}`, async () => {
    const subject = `cnm.outcome.e${number}`;
    refusing(subject, code, number, text);
    const appended = await testStream(connection, 'CNM_LOG').append({
      subject,
      body: '[]',
      id: 'one',
      expectedLast: 1,
    });
    assert.equal(appended.kind, kind);
  });

test('an append that is answered with anything else is a fault with the words of the server', async () => {
  refusing('cnm.outcome.sealed', 400, 10109, 'invalid operation on sealed stream');
  const append = { subject: 'cnm.outcome.sealed', body: '[]', id: 'one', expectedLast: 1 };
  await assert.rejects(testStream(connection, 'CNM_LOG').append(append), {
    code: 'SERVER_REFUSED',
    message: /invalid operation on sealed stream/,
  });
});
