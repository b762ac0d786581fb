/** A worker that cannot go on once it has its kernel threads: none of them is left, nor its lease or connection. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { it } from 'node:test';
import { jetstreamManager } from '@nats-io/jetstream';
import { pino } from 'pino';
import { systemClock } from '../../services/lib/clock.ts';
import { hostRunDir, readConfig } from '../../services/lib/config.ts';
import { STREAMS } from '../../services/nats/stream-config.ts';
import { prepareServer } from '../../services/up/server.ts';
import { startService } from '../../services/up/services.ts';
import { startNats, waitFor } from '../support/nats.ts';
import { inOwnNamespaces, sh } from '../support/netns.ts';

const threads = (): number =>
  readdirSync('/proc/self/task').filter(
    (id) => readFileSync(`/proc/self/task/${id}/comm`, 'utf8').trim() === 'WorkerThread',
  ).length;

if (inOwnNamespaces(import.meta.filename)) {
  it('of a worker that finds no log nothing is left, and the next one is not kept waiting', async () => {
    sh('ip link set lo up');
    const logger = pino({ level: 'silent' });
    const nats = await startNats();
    const folder = mkdtempSync('/run/cnm-test-');
    const read = readConfig({
      ...{ CNM_NATS_URL: nats.url, CNM_NATS_SYNC: 'always', CNM_DATA_DIR: folder, CNM_RUN_DIR: folder },
      ...{ CNM_REALM: 'test', CNM_HOST: 'h1' },
    });
    assert.ok(read.ok);
    const deps = { config: read.config, url: nats.url, logger, clock: systemClock };
    await prepareServer(nats.url, read.config, logger, systemClock);
    const connection = await nats.connect();
    const manager = await jetstreamManager(connection);
    const { config } = await manager.streams.info(STREAMS.log);
    await manager.streams.delete(STREAMS.log);
    const open = async () => ((await (await fetch(`${nats.monitorUrl}/connz`)).json()) as { total: number }).total;

    await assert.rejects(startService('worker', deps), { code: 'STREAM_NOT_FOUND' });
    assert.equal(threads(), 0);
    await waitFor(async () => (await open()) === 1, { what: 'only we are connected' });

    await manager.streams.add(config);
    const controller = await startService('controller', deps);
    const worker = await startService('worker', deps);
    assert.ok(threads() >= 2);
    await worker.stop();
    await controller.stop();
    assert.equal(threads(), 0);
    await nats.stop();
    sh(`umount ${hostRunDir(read.config)}`);
    rmSync(folder, { recursive: true });
  });
}
