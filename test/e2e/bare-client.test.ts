/**
 * docs/protocol.md is enough: a client in another language, which knows that page and nothing of this repository, speaks to a real
 * system. What it checks is in bare-client.py; here it is started, and looked at from outside.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { pino } from 'pino';
import { readConfig } from '../../services/lib/config.ts';
import { startUp, type Up } from '../../services/up/up.ts';
import { inOwnNamespaces, ipLinks, sh } from '../support/netns.ts';

const script = join(import.meta.dirname, 'bare-client.py');

interface Step {
  readonly step?: string;
  readonly [fact: string]: unknown;
}

/** Runs the client to its end; what it printed, and its complaint if it had one. */
const runClient = async (port: string): Promise<{ readonly steps: readonly Step[]; readonly said: string }> => {
  const client = spawn('python3', [script, '127.0.0.1', port, 'ci.runner@build-7'], { timeout: 60_000 });
  let printed = '';
  let said = '';
  client.stdout.on('data', (data) => {
    printed += data;
  });
  client.stderr.on('data', (data) => {
    said += data;
  });
  const code = await new Promise((resolve) => client.once('close', resolve));
  const lines = printed.split('\n').filter(Boolean);
  return { steps: lines.map((line) => JSON.parse(line) as Step), said: code === 0 ? '' : `${lines.at(-1)}\n${said}` };
};

if (inOwnNamespaces(import.meta.filename)) {
  describe('a bare client', () => {
    let up: Up;

    before(async () => {
      const { error, stdout } = spawnSync('python3', ['--version'], { encoding: 'utf8' });
      assert.ok(!error, 'python3 is needed here: it plays a client in another language; install it (`npm run setup` does)');
      assert.match(stdout, /^Python 3\./);
      sh('ip link set lo up');
      const data = mkdtempSync(join(tmpdir(), 'cnm-bare-'));
      const read = readConfig({
        CNM_HOST: 'node-1.example',
        CNM_DATA_DIR: join(data, 'data'),
        CNM_RUN_DIR: mkdtempSync('/run/cnm-bare-'),
        PATH: process.env['PATH'],
      });
      assert.ok(read.ok);
      up = await startUp({ config: read.config, logger: pino({ level: 'warn' }, pino.destination(2)) });
    });
    after(() => up?.stop());

    it('does what the page promises, and leaves nothing behind', async () => {
      const { steps, said } = await runClient(new URL(up.url).port);
      assert.equal(said, '');
      const names = steps.map(({ step }) => step);
      const wanted = ['discovered', 'network', 'joined', 'views', 'refused', 'repeated', 'gone', 'trouble', 'log', 'watched', 'end'];
      assert.deepEqual(names, wanted);
      assert.equal(steps[0]?.['host'], 'node-1.example');
      const ours = ipLinks().filter(({ ifalias }) => ifalias?.startsWith('cnm:'));
      assert.deepEqual(ours, []);
    });

    it('finds its events where the others find them', async () => {
      const { steps } = await runClient(new URL(up.url).port);
      const [joined, log] = ['joined', 'log'].map((name) => steps.find(({ step }) => step === name));
      assert.match(String(joined?.['key']), /\/netns\/s$/);
      assert.ok(Number(log?.['commits']) > Number(joined?.['position']));
    });
  });
}
