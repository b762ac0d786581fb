/** A server with accounts as one command writes it, and each service as a process of its own with its own key: what is asked for is done, and nothing else. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { readEnv } from '../support/accounts.ts';
import { end, freePort, launch, testServerBinary, waitFor } from '../support/nats.ts';
import { inOwnNamespaces, ipLinks, sh } from '../support/netns.ts';
import { launcher, makePlace, type Place, type Said } from './cli-harness.ts';

if (inOwnNamespaces(import.meta.filename)) {
  describe('accounts', () => {
    let place: Place;
    let folder: string;
    let server: ChildProcess;
    const services: ChildProcess[] = [];
    const said = new Map<string, string>();

    /** Starts a service with its own settings; resolves when it serves. */
    const serve = async (name: string, party: string): Promise<void> => {
      const env = { ...place.env, ...readEnv(join(folder, 'keys', party, 'env')) };
      const child = spawn(launcher, ['serve', name], { env, stdio: ['ignore', 'pipe', 'pipe'] });
      services.push(child);
      for (const stream of [child.stdout, child.stderr])
        stream.on('data', (data) => said.set(name, `${said.get(name) ?? ''}${data}`.slice(-4_000)));
      const isUp = () => said.get(name)?.includes(`${name} serves on`) === true || child.exitCode !== null;
      await waitFor(isUp, { what: name, timeoutMs: 60_000 });
      assert.equal(child.exitCode, null, said.get(name));
    };
    const as = (party: string, ...words: string[]): Said =>
      place.cnmWith(readEnv(join(folder, 'keys', party, 'env')), ...words);
    const works = (party: string, ...words: string[]): string => {
      const { exit, out, err } = as(party, ...words);
      assert.equal(exit, 0, `cnm ${words.join(' ')} as ${party}: ${out}${err}`);
      return out;
    };

    before(async () => {
      sh('ip link set lo up; mount -t tmpfs tmpfs /run');
      place = makePlace();
      folder = join(place.folder, 'server');
      const port = await freePort();
      const at = ['--listen', `127.0.0.1:${port}`, '--monitor', 'none', '--url', `nats://127.0.0.1:${port}`];
      const who = [
        '--host',
        'h1',
        '--actor',
        'alice',
        '--viewer',
        'alice',
        '--actor',
        'sender',
        '--viewer',
        'bob',
        '--operator',
        'root',
      ];
      const written = place.cnm('nats-config', folder, ...at, ...who);
      assert.equal(written.exit, 0, written.err);
      server = await launch(testServerBinary(), join(folder, 'nats.conf'), port);
      // all at once: whoever may not make the streams waits for the controller
      await Promise.all([
        serve('worker', 'host-h1'),
        ...['controller', 'projector', 'collector'].map((name) => serve(name, `service-${name}`)),
      ]);
    });
    after(async () => {
      await Promise.all(services.map((child) => end(child, 'SIGTERM')));
      await end(server, 'SIGTERM');
      place.remove();
    });

    test('accounts: an actor that views attaches a sandbox in a real kernel, and sees it', () => {
      works('actor-alice', 'network', 'create', 'web');
      works('actor-alice', 'sandbox', 'attach', 's1', '--network', 'web', '-p', '127.0.0.1:8080:80');
      assert.match(works('actor-alice', 'sandbox', 'ls'), /s1 +h1 +ready/);
      assert.match(works('actor-alice', 'history', 'sandbox', 's1'), /AttachSandbox +succeeded.* alice /);
      for (const viewer of ['viewer-bob', 'viewer-alice']) assert.match(works(viewer, 'network', 'ls'), /web/);
      works('operator-root', 'audit', 'verify');
      for (const party of ['operator-root', 'viewer-bob']) assert.match(works(party, 'status'), /^host +h1, alive/m);
    });

    test('accounts: a sender sends, and is told what comes of it; a viewer views; neither does the other', () => {
      assert.match(works('actor-sender', 'network', 'create', 'back', '--host', 'h1'), /^created network back/);
      assert.notEqual(as('actor-sender', 'network', 'ls').exit, 0);
      const refused = as('viewer-bob', 'network', 'create', 'none', '--host', 'h1', '--wait', '1s');
      assert.notEqual(refused.exit, 0);
      const forged = place.cnmWith(
        { ...readEnv(join(folder, 'keys/actor-sender/env')), CNM_ACTOR: 'alice' },
        'network',
        'rm',
        'back',
        '--wait',
        '1s',
      );
      assert.notEqual(forged.exit, 0);
      assert.match(works('viewer-bob', 'network', 'ls'), /back/);
    });

    test('accounts: without a key nobody gets in, and is told how', () => {
      const { CNM_NATS_URL = '' } = readEnv(join(folder, 'keys/actor-alice/env'));
      const { exit, err } = place.cnmWith({ CNM_NATS_URL }, 'network', 'ls');
      assert.equal(exit, 1);
      assert.match(err, /^NOT_PERMITTED: .*CNM_NATS_NKEY_FILE/m);
    });

    test('accounts: everything is taken away again', () => {
      works('actor-alice', 'sandbox', 'detach', 's1');
      for (const network of ['web', 'back']) works('actor-alice', 'network', 'rm', network);
      assert.deepEqual(
        ipLinks().filter(({ ifalias }) => ifalias?.startsWith('cnm:')),
        [],
      );
    });
  });
}
