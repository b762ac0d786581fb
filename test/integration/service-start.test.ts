// Services that cannot start, on a real server that lacks a stream of theirs: they say why, and leave nothing behind.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { jetstreamManager } from '@nats-io/jetstream';
import { pino } from 'pino';
import { systemClock } from '../../services/lib/clock.ts';
import { type Config, readConfig } from '../../services/lib/config.ts';
import { STREAMS } from '../../services/nats/stream-config.ts';
import { prepareServer } from '../../services/up/server.ts';
import { serviceNames } from '../../services/up/service-names.ts';
import { startService } from '../../services/up/services.ts';
import { startOnThread } from '../../services/up/thread.ts';
import { startNats, type TestNats, waitFor } from '../support/nats.ts';

const logger = pino({ level: 'silent' });
let nats: TestNats;
let folder: string;
let config: Config;

const connections = async (): Promise<readonly string[]> => {
  const answer = await fetch(`${nats.monitorUrl}/connz`);
  const { connections: open } = (await answer.json()) as { readonly connections: readonly { readonly name: string }[] };
  return open.map(({ name }) => name);
};
const threads = (): number =>
  readdirSync('/proc/self/task').filter(
    (id) => readFileSync(`/proc/self/task/${id}/comm`, 'utf8').trim() === 'WorkerThread',
  ).length;
const nobodyIsLeft = () =>
  waitFor(async () => (await connections()).length === 0, { what: 'nobody is connected any more' });

before(async () => {
  nats = await startNats();
  folder = mkdtempSync(join(tmpdir(), 'cnm-start-'));
  const read = readConfig({
    ...{ CNM_NATS_URL: nats.url, CNM_NATS_SYNC: 'always', CNM_DATA_DIR: folder, CNM_RUN_DIR: folder },
    ...{ CNM_REALM: 'test', CNM_HOST: 'h1' },
  });
  assert.ok(read.ok);
  config = read.config;
  await prepareServer(nats.url, config, logger, systemClock);
  const connection = await nats.connect();
  const manager = await jetstreamManager(connection);
  // the worker's lease is asked for first of all, the log is what everybody reads
  for (const name of [STREAMS.log, STREAMS.lease]) await manager.streams.delete(name);
  await connection.close();
  await nobodyIsLeft();
});
after(async () => {
  await nats.stop();
  rmSync(folder, { recursive: true });
});

for (const name of serviceNames) {
  test(`${name}: what has been opened when its start fails is closed`, async () => {
    await assert.rejects(
      startService(name, { config, url: nats.url, logger, clock: systemClock }),
      /not there|stream/i,
    );
    await nobodyIsLeft();
  });
}

test('a thread whose service cannot start ends', async () => {
  await assert.rejects(startOnThread('projector', { config, url: nats.url, logger }), /not there|stream/i);
  await nobodyIsLeft();
  await waitFor(() => threads() === 0, { what: 'the thread has ended' });
});
