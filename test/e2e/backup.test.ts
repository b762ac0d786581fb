// The procedures of docs/operations.md, done: a copy of the data directory, and an export, each put back.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { greeting } from '../../services/nats/ports.ts';
import { freePort, testServerBinary, waitFor } from '../support/nats.ts';
import { inOwnNamespaces, sh } from '../support/netns.ts';
import { type ServiceProcess, startProcess } from '../support/service-process.ts';
import { makePlace, type Place } from './cli-harness.ts';

if (inOwnNamespaces(import.meta.filename)) {
  let place: Place;
  let running: ServiceProcess | null = null;
  let addressOfB = '';

  before(() => {
    sh('ip link set lo up');
    place = makePlace();
  });
  after(async () => {
    await running?.end('SIGKILL');
    place.remove();
  });

  const up = async (): Promise<void> => {
    running = await startProcess(['up'], place.env);
  };
  const down = async (): Promise<void> => {
    assert.equal(await running?.end(), 0);
    running = null;
  };
  const data = (): string => place.env.CNM_DATA_DIR ?? '';
  const works = (...words: string[]): string => {
    const { exit, out, err } = place.cnm(...words);
    assert.equal(exit, 0, `cnm ${words.join(' ')}: ${err}`);
    return out;
  };
  const names = (): readonly string[] =>
    place
      .json('network', 'ls')
      .rows.map(({ name }: { name: string }) => name)
      .sort();
  const reach = (): void => {
    works('sandbox', 'exec', 'a', '--', 'ping', '-c1', '-W2', addressOfB);
  };

  test('backup: a copy of the data directory of a cnm up that was stopped, put back where it was', async () => {
    await up();
    for (const name of ['web', 'db']) place.json('network', 'create', name);
    const attach = (sandbox: string) => place.json('sandbox', 'attach', sandbox, '--network', 'web');
    attach('a');
    addressOfB = attach('b').endpoints[0].ipv4.split('/')[0];
    reach();
    await down();
    cpSync(data(), `${data()}.copy`, { recursive: true });
    // the disk is lost
    rmSync(data(), { recursive: true });
    renameSync(`${data()}.copy`, data());
    await up();
    assert.deepEqual(names(), ['db', 'web']);
    reach();
    assert.equal(place.cnm('status').exit, 0);
    place.json('sandbox', 'attach', 'c', '--network', 'db');
    await down();
  });

  test('backup: an export of what runs, imported by hand into the folder of a new cnm up', async () => {
    const file = join(place.folder, 'log.export');
    await up();
    works('audit', 'export', file);
    works('audit', 'verify', file);
    await down();
    rmSync(data(), { recursive: true });
    mkdirSync(data());
    const port = await freePort();
    const argv = ['-a', '127.0.0.1', '-p', String(port), '-js', '-sd', join(data(), 'jetstream')];
    const server = spawn(testServerBinary(), argv, { stdio: 'ignore' });
    const ended = new Promise((resolve) => server.once('exit', resolve));
    try {
      await waitFor(async () => (await greeting(port)) !== null, { what: 'nats-server', timeoutMs: 20_000 });
      const { exit, err } = place.cnmWith({ CNM_NATS_URL: `nats://127.0.0.1:${port}` }, 'audit', 'import', file);
      assert.equal(exit, 0, err);
    } finally {
      server.kill('SIGTERM');
      await ended;
    }
    await up();
    assert.deepEqual(names(), ['db', 'web']);
    // what runs has not noticed
    reach();
    works('sandbox', 'exec', 'c', '--', 'true');
    works('audit', 'verify');
    for (const sandbox of ['a', 'b', 'c']) place.json('sandbox', 'detach', sandbox);
    for (const name of ['web', 'db']) place.json('network', 'rm', name);
    await down();
  });
}
