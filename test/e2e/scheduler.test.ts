/**
 * A scheduler that never waits: it publishes an attach and goes, comes back when everything was restarted in between, learns what
 * became of it by its own correlation id, and runs a container in the sandbox.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { connect as connectNats } from '@nats-io/transport-node';
import { commandId } from '../../events/names.ts';
import { type Client, connect } from '../../services/client/index.ts';
import { type Bundles, bundles, whyNoContainers } from '../support/container.ts';
import { freePort, waitFor } from '../support/nats.ts';
import { inOwnNamespaces, ipLinks, sh } from '../support/netns.ts';

const cnm = resolve(import.meta.dirname, '../../services/cli/cnm');
const networks = ['front', 'back', 'audit'];

if (inOwnNamespaces(import.meta.filename)) {
  describe('a scheduler', () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'cnm-scheduler-'));
    const runDir = mkdtempSync('/run/cnm-test-');
    const state = join(runDir, 'default-h1.json');
    let services: ChildProcess;
    let client: Client;
    let containers: Bundles;
    let url = '';
    const start = async (): Promise<void> => {
      rmSync(state, { force: true });
      const env = {
        ...process.env,
        CNM_DATA_DIR: dataDir,
        CNM_RUN_DIR: runDir,
        CNM_HOST: 'h1',
        CNM_NATS_PORT: String(url === '' ? await freePort() : new URL(url).port),
        CNM_LOG_LEVEL: 'error',
      };
      services = spawn(cnm, ['up'], { env, stdio: ['ignore', 'ignore', 'inherit'] });
      await waitFor(() => existsSync(state) || services.exitCode !== null, { what: 'the services', timeoutMs: 30_000 });
      url = (JSON.parse(readFileSync(state, 'utf8')) as { url: string }).url;
    };
    const end = async (signal: NodeJS.Signals): Promise<void> => {
      const gone = new Promise((done) => services.once('exit', done));
      services.kill(signal);
      await gone;
    };
    /** What a bare NATS client does: publish, see it stored, go. */
    const publish = async (correlationid: string, type: string, data: object): Promise<string> => {
      const { host: servers, username: user, password: pass } = new URL(url);
      const connection = await connectNats({ servers, user, pass });
      const id = commandId(Date.now(), correlationid);
      const body = JSON.stringify({ id, correlationid, type, data });
      const stored = (await connection.request('cnm.command.scheduler._', body)).json<{ seq?: number }>();
      assert.ok(stored.seq, 'the command is stored');
      await connection.close();
      return id;
    };
    const outcomeOf = async (correlationid: string) => {
      let row: Awaited<ReturnType<Client['byCorrelation']>>[number] | undefined;
      await waitFor(
        async () => {
          [row] = await client.byCorrelation(correlationid);
          return row !== undefined && row.status !== 'accepted';
        },
        { what: `the outcome of ${correlationid}`, timeoutMs: 30_000 },
      );
      assert.ok(row);
      return row;
    };

    before(async () => {
      sh('ip link set lo up');
      containers = bundles();
      await start();
      client = await connect({ url, actor: 'operator' });
      for (const name of networks) await (await client.createNetwork({ name, ipv6: true })).outcome;
    });
    after(async () => {
      await client.close();
      await end('SIGTERM');
      containers.remove();
      sh(`umount ${runDir}/default-h1`);
      for (const directory of [dataDir, runDir]) rmSync(directory, { recursive: true, force: true });
    });

    const skip = whyNoContainers('runc') ?? false;

    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      it(`publishes, goes, and returns after the services were ended by ${signal}`, { skip }, async () => {
        const job = `job-${signal.toLowerCase()}`;
        const data = { sandbox: job, networks: networks.map((network) => ({ network })) };
        const id = await publish(job, 'AttachSandbox', data);
        await end(signal);
        await start();
        const row = await outcomeOf(job);
        assert.equal(row.status, 'succeeded', JSON.stringify(row.fault ?? row.refusal));
        assert.deepEqual([row.actor, row.commandid], ['scheduler', id]);
        const key = row.sandbox?.key ?? '';
        const said = containers.run('runc', key, 'ip -o addr; ip route');
        assert.equal(row.endpoints.length, 3);
        for (const { interface: device, ipv4, ipv6 } of row.endpoints) {
          assert.ok(said.includes(`${device}    inet ${ipv4} `), `${device} has ${ipv4}:\n${said}`);
          assert.ok(said.includes(`${device}    inet6 ${ipv6} `), `${device} has ${ipv6}`);
        }
        assert.match(said, /default via [0-9.]+ dev eth0/);
        await publish(`${job}-end`, 'DetachSandbox', { sandbox: job });
        assert.equal((await outcomeOf(`${job}-end`)).status, 'succeeded');
        assert.ok(!existsSync(key));
        await waitFor(() => !ipLinks().some(({ ifname }) => ifname.startsWith('cv')), { what: 'all to be gone' });
        assert.deepEqual(readdirSync(join(runDir, 'default-h1/netns')), []);
      });
    }

    it('learns of a refusal the same way', async () => {
      await publish('job-refused', 'AttachSandbox', { sandbox: 'x', networks: [{ network: 'nowhere' }] });
      const row = await outcomeOf('job-refused');
      assert.deepEqual([row.status, row.refusal?.code], ['refused', 'NETWORK_NOT_FOUND']);
    });
  });
}
