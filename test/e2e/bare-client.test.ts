/**
 * docs/protocol.md is enough: a client in another language, which knows that page and nothing of this repository, speaks to a real
 * system. What it checks is in bare-client.py; here it is started, and what it left is looked at.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { pino } from 'pino';
import { readConfig } from '../../services/lib/config.ts';
import { connectNats } from '../../services/nats/connection.ts';
import { STREAMS } from '../../services/nats/stream-config.ts';
import { startUp, type Up } from '../../services/up/up.ts';
import { misfits, readWhole } from '../support/log-checks.ts';
import { testStream } from '../support/nats.ts';
import { inOwnNamespaces, ipLinks, sh } from '../support/netns.ts';

const script = join(import.meta.dirname, 'bare-client.py');
const wanted = [
  ...['discovered', 'network', 'joined', 'views', 'refused', 'repeated', 'gone'],
  ...['trouble', 'log', 'watched', 'end'],
];

/** Runs the client to its end: the steps that went well, and its complaint if it had one. */
const runClient = async (url: URL): Promise<{ readonly steps: readonly string[]; readonly complaint: string }> => {
  const client = spawn('python3', [script, url.hostname, url.port, 'ci.runner@build-7', url.username, url.password], {
    timeout: 60_000,
  });
  const printed = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    client[stream].on('data', (data) => {
      printed[stream] += data;
    });
  }
  const code = await new Promise((resolve) => client.once('close', resolve));
  const lines = printed.stdout.split('\n').filter(Boolean);
  const complaint = code === 0 ? '' : `${lines.at(-1)}\n${printed.stderr}`;
  return { steps: lines.map((line) => String(JSON.parse(line).step)), complaint };
};

if (inOwnNamespaces(import.meta.filename)) {
  describe('a bare client', () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'cnm-bare-'));
    let up: Up;

    before(async () => {
      const { error, stdout } = spawnSync('python3', ['--version'], { encoding: 'utf8' });
      const why = 'python3 plays the client in another language: install it, `npm run setup` does where it can';
      assert.ok(!error && /^Python 3\./.test(stdout), why);
      // a /run of this test's own: what is mounted there goes with the namespace
      sh('ip link set lo up; mount -t tmpfs tmpfs /run');
      const read = readConfig({
        CNM_HOST: 'node-1.example',
        CNM_DATA_DIR: dataDir,
        CNM_RUN_DIR: '/run/cnm',
        PATH: process.env.PATH,
      });
      assert.ok(read.ok);
      up = await startUp({ config: read.config, logger: pino({ level: 'warn' }, pino.destination(2)) });
    });
    after(async () => {
      await up?.stop();
      rmSync(dataDir, { recursive: true });
    });

    it('does what the page promises, and leaves nothing in the kernel', async () => {
      const { steps, complaint } = await runClient(new URL(up.url));
      assert.equal(complaint, '');
      assert.deepEqual(steps, wanted);
      assert.deepEqual(
        ipLinks().filter(({ ifalias }) => ifalias?.startsWith('cnm:')),
        [],
      );
    });

    it('can do it all again on the same log', async () => {
      const { steps, complaint } = await runClient(new URL(up.url));
      assert.equal(complaint, '');
      assert.deepEqual(steps, wanted);
    });

    it('has met nothing that does not fit the generated schemas', async () => {
      const connection = await connectNats({ url: up.url, role: 'test', log: pino({ level: 'silent' }) });
      assert.deepEqual(misfits(await readWhole(testStream(connection, STREAMS.log))), []);
      await connection.close();
    });
  });
}
