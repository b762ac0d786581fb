// A server whose users change while it runs: who is refused for a moment gets in, and who is refused for longer is told.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { NatsConnection } from '@nats-io/transport-node';
import { pino } from 'pino';
import { type ConnectOptions, connectNats, REFUSED_MS } from '../../services/nats/connection.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { startNats, type TestNats, waitFor } from '../support/nats.ts';

let nats: TestNats;
const lines: string[] = [];
const log = pino({ level: 'info' }, { write: (line: string) => lines.push(line) });
const refusals = (): number => lines.filter((line) => /refused, trying|Authorization Violation/.test(line)).length;
const url = (): string => nats.url.replace('//', '//ours:p@');
const opened: NatsConnection[] = [];

/** Our user is one of the server's, or is not any more. */
const letIn = (isIn: boolean): void => {
  const path = join(nats.dataDir, 'nats.conf');
  const users = ['{ user: other, password: p }', ...(isIn ? ['{ user: ours, password: p }'] : [])].join(', ');
  writeFileSync(path, readFileSync(path, 'utf8').replace(/users: \[.*\]/, `users: [${users}]`));
  process.kill(nats.pid, 'SIGHUP');
};
const connected = async (settings: Partial<ConnectOptions>): Promise<NatsConnection> => {
  lines.length = 0;
  const connection = await connectNats({ url: url(), role: 'test', log, ...settings });
  opened.push(connection);
  return connection;
};

before(async () => {
  nats = await startNats({ config: 'authorization { users: [{ user: other, password: p }] }' });
});
after(async () => {
  for (const connection of opened) await connection.close();
  await nats.stop();
});

test('who starts while the server does not know it gets in once it does', async () => {
  const coming = connected({ refusedMs: 20_000 });
  await waitFor(() => refusals() >= 2, { what: 'a second refusal' });
  letIn(true);
  await (await coming).flush();
});

test('who is connected gets in again, however often it was refused meanwhile', async () => {
  const connection = await connected({});
  for (let round = 0; round < 2; round++) {
    lines.length = 0;
    letIn(false);
    await waitFor(() => refusals() >= 3, { what: 'a third refusal' });
    letIn(true);
    // a server that has just been reloaded may end a connection once more
    const works = () =>
      connection.flush().then(
        () => true,
        () => false,
      );
    await waitFor(works, { what: 'the connection' });
  }
});

test('who is refused for longer is told: at the start, and of a connection that was lost', async () => {
  // they would be refused as well, and be counted
  for (const other of opened.splice(0)) await other.close();
  const clock = new FakeClock();
  const connection = await connected({ clock });
  letIn(false);
  await waitFor(() => refusals() >= 3, { what: 'a third refusal' });
  assert.equal(connection.isClosed(), false);
  for (let passedMs = 0; passedMs <= REFUSED_MS; passedMs += 1_000) {
    const seen = refusals();
    await clock.advance(1_000);
    await waitFor(() => connection.isClosed() || refusals() > seen, { what: 'one more refusal' });
  }
  await connection.closed();
  assert.equal(lines.filter((line) => line.includes('lets us in no more')).length, 1);

  lines.length = 0;
  const coming = connectNats({ url: url(), role: 'test', log, clock, refusedMs: 600 });
  const told = assert.rejects(coming, { code: 'NOT_PERMITTED' });
  let isTold = false;
  void told.then(() => {
    isTold = true;
  });
  await waitFor(() => refusals() > 0, { what: 'a refusal' });
  assert.equal(isTold, false, 'it is tried again first');
  const passes = () => clock.advance(250).then(() => isTold);
  await waitFor(passes, { what: 'the last refusal' });
  await told;
  await assert.rejects(connectNats({ url: url(), role: 'test', log }), { code: 'NOT_PERMITTED' });
});
