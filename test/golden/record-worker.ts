/**
 * Records what a worker of somebody else writes (test/e2e/fabric.py), for docs/protocol.md. What is there already is kept; delete a file to have it
 * recorded anew. Needs no kernel:
 *
 *     node test/golden/record-worker.ts
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { connect } from '../../services/client/index.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { readConfig } from '../../services/lib/config.ts';
import type { Message } from '../../services/lib/stream.ts';
import { jetStream } from '../../services/nats/jetstream.ts';
import { STREAMS } from '../../services/nats/stream-config.ts';
import { provision } from '../../services/nats/streams.ts';
import { startService } from '../../services/up/services.ts';
import { startFabric } from '../support/fabric.ts';
import { readWhole } from '../support/log-checks.ts';
import { startNats } from '../support/nats.ts';

const keep = (name: string, message: Message): void => {
  const file = join(import.meta.dirname, 'wire', `${name}.json`);
  const { position, subject } = message;
  const body = JSON.parse(new TextDecoder().decode(message.body));
  const stored = { position, subject, headers: message.headers(), body };
  if (!existsSync(file)) writeFileSync(file, `${JSON.stringify(stored, null, 2)}\n`);
};

const folder = mkdtempSync(join(tmpdir(), 'cnm-record-'));
const nats = await startNats();
const connection = await nats.connect();
const logger = pino({ level: 'silent' });
const provisioned = await provision(connection, { sync: { kind: 'embedded' } });
if (!provisioned.ok) throw new Error(JSON.stringify(provisioned.problems));
const read = readConfig({ CNM_NATS_URL: nats.url, CNM_RUN_DIR: folder, PATH: process.env.PATH });
if (!read.ok) throw new Error('no configuration');
const deps = { config: read.config, url: nats.url, logger, clock: systemClock };
const services = [await startService('projector', deps), await startService('controller', deps)];
const fabric = await startFabric({ url: nats.url, host: 'fab-1', state: join(folder, 'fabric.json') });
const client = await connect({ url: nats.url, actor: 'alice' });
const made = await client.createNetwork({ name: 'lan', driver: 'fabric', options: { vlan: '7' } });
const created = await made.outcome;
const attached = await client.attachSandbox({ sandbox: 'shop-1', networks: [{ network: 'lan' }] });
const { position } = await attached.outcome;
for (const message of await readWhole(jetStream(connection, STREAMS.log))) {
  if (message.subject === 'cnm.outcome.fab-1' && message.header('Cnm-Prev-Hash') === '') keep('worker-facts', message);
  if (message.position === created.position) keep('worker-created', message);
  if (message.position === position) keep('worker-report', message);
}
await client.close();
await fabric.kill();
for (const service of services) await service.stop();
rmSync(folder, { recursive: true });
rmSync(nats.dataDir, { recursive: true, force: true });
// the server goes with this process
process.exit(0);
