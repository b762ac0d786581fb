// The server comes back with an older copy of its data, under a host with live sandboxes (pain 31): once under running services, once with
// services that start anew. Traffic goes on, addresses in use are given to nobody, one event explains it, and `cnm host resume` ends it.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startNats, type TestNats, waitFor } from '../support/nats.ts';
import { inOwnNamespaces, sh } from '../support/netns.ts';
import { makePlace, type Place, type Running } from './cli-harness.ts';

/** Addresses that are pinged, ten times a second. */
class Traffic {
  readonly #pings = new Map<string, { readonly child: ChildProcess; said: string }>();

  to(address: string): void {
    const child = spawn('ping', ['-n', '-q', '-i', '0.1', '-W', '1', address], { stdio: ['ignore', 'pipe', 'ignore'] });
    const ping = { child, said: '' };
    child.stdout.setEncoding('utf8').on('data', (text) => {
      ping.said += text;
    });
    this.#pings.set(address, ping);
  }

  /** How many got no answer. */
  async lost(): Promise<number> {
    // More than ten of each, however quick everything was.
    await sleep(1_500);
    const pings = [...this.#pings.values()];
    this.#pings.clear();
    let lost = 0;
    for (const { child } of pings) {
      const gone = new Promise((resolve) => child.once('close', resolve));
      child.kill('SIGINT');
      await gone;
    }
    for (const { said } of pings) {
      const [, sent = '0', received = '0'] = /(\d+) packets transmitted, (\d+) received/.exec(said) ?? [];
      assert.ok(Number(sent) > 10, said);
      // The last one may be on its way.
      lost += Math.max(0, Number(sent) - Number(received) - 1);
    }
    return lost;
  }
}

if (inOwnNamespaces(import.meta.filename)) {
  describe('a server that comes back with an older copy', () => {
    let nats: TestNats;
    let place: Place;
    let up: Running;
    let monitor: ChildProcess;
    let deleted = '';
    const traffic = new Traffic();
    const copy = mkdtempSync(join(tmpdir(), 'cnm-copy-'));

    before(async () => {
      sh('ip link set lo up');
      nats = await startNats();
      place = makePlace({ env: { CNM_NATS_URL: nats.url, CNM_NATS_SYNC: 'always' } });
      up = await place.up();
      place.json('network', 'create', 'web', '--subnet', '10.77.0.0/24');
      monitor = spawn('ip', ['monitor', 'link', 'address', 'route'], { stdio: ['ignore', 'pipe', 'ignore'] });
      monitor.stdout?.setEncoding('utf8').on('data', (text: string) => {
        deleted += text
          .split('\n')
          .filter((line) => line.startsWith('Deleted'))
          .join('\n');
      });
    });
    after(async () => {
      monitor.kill();
      await traffic.lost().catch(() => undefined);
      await up.end();
      await nats.stop();
      place.remove();
      rmSync(copy, { recursive: true, force: true });
    });

    const attach = (sandbox: string, ...more: string[]): string => {
      const [endpoint] = place.json('sandbox', 'attach', sandbox, '--network', 'web', ...more).endpoints;
      return endpoint.ipv4.split('/')[0];
    };
    /** The server is away for as long as this takes. */
    const away = async (work: () => void): Promise<void> => {
      await nats.kill();
      work();
      await nats.restart();
    };
    const takeCopy = () => {
      rmSync(copy, { recursive: true });
      cpSync(nats.dataDir, copy, { recursive: true });
    };
    const restoreCopy = () => {
      for (const name of readdirSync(nats.dataDir)) rmSync(join(nats.dataDir, name), { recursive: true });
      cpSync(copy, nats.dataDir, { recursive: true });
    };
    // biome-ignore lint/suspicious/noExplicitAny: a row as it is printed
    const hostRow = (): any => {
      const { exit, out } = place.cnm('host', 'inspect', 'h1', '--json');
      return exit === 0 ? JSON.parse(out) : null;
    };
    const stopped = () =>
      waitFor(() => hostRow()?.regressed?.status === 'stopped', { what: 'the host to stop', timeoutMs: 30_000 });
    const count = (type: string): number =>
      place.cnm('events', '--since', '1', '--json').out.split(`"cnm.${type}.v1"`).length - 1;
    const paths = (): string => place.cnm('sandbox', 'ls', '--json').out;

    test('under running services: they start over by themselves, and the worker stops changing the kernel', async () => {
      const known = attach('known');
      await away(takeCopy);
      await waitFor(() => place.cnm('network', 'ls').exit === 0, { what: 'the services', timeoutMs: 30_000 });
      const lost = attach('lost', '--publish', '8080:80');
      for (const address of [known, lost]) traffic.to(address);
      deleted = '';
      await away(restoreCopy);
      await stopped();
      const { regressed } = hostRow();
      assert.ok(regressed.seen.position > regressed.found.position);
      assert.deepEqual(
        regressed.held.flatMap((one: { addresses: readonly string[] }) => one.addresses),
        [lost],
      );
      assert.equal(count('LogRegressed'), 1);
      assert.ok(!paths().includes('"id":"lost"'));
      const refused = place.cnm('sandbox', 'attach', 'new', '--network', 'web');
      assert.equal(refused.exit, 1);
      assert.match(refused.err, /^HOST_REGRESSED: /m);
      assert.match(refused.err, /cnm host resume/);
      assert.equal(await traffic.lost(), 0);
      assert.equal(deleted, '', 'nothing was removed');
    });

    test('kept: it goes on beside what the log does not know', async () => {
      const [held] = hostRow().regressed.held.flatMap((one: { addresses: readonly string[] }) => one.addresses);
      traffic.to(held);
      assert.equal(place.cnm('host', 'resume', 'h1', '--keep').exit, 0);
      assert.notEqual(attach('new'), held);
      const taken = place.cnm('sandbox', 'attach', 'other', '--network', `web:ip=${held}`);
      assert.match(taken.err, /^ADDRESS_IN_USE: /m);
      const port = place.cnm('sandbox', 'attach', 'other', '--network', 'web', '--publish', '8080:80');
      assert.match(port.err, /^PORT_IN_USE: /m);
      assert.equal(await traffic.lost(), 0);
      assert.equal(deleted, '', 'nothing was removed');
    });

    test('removed: what the log does not know is gone, and free', async () => {
      const [held] = hostRow().regressed.held.flatMap((one: { addresses: readonly string[] }) => one.addresses);
      assert.equal(place.cnm('host', 'resume', 'h1', '--remove').exit, 0);
      const isThere = () => existsSync(join(place.env.CNM_RUN_DIR ?? '', 'e2e-h1', 'netns', 'lost'));
      await waitFor(() => !isThere(), { what: 'what is not known to be removed' });
      assert.equal(attach('lost', '--publish', '8080:80').length > 0, true);
      assert.equal(hostRow().regressed, null);
      assert.notEqual(held, undefined);
    });

    test('with services that start anew: the same', async () => {
      const known = attach('second');
      await away(takeCopy);
      await waitFor(() => place.cnm('network', 'ls').exit === 0, { what: 'the services', timeoutMs: 30_000 });
      const lost = attach('unknown');
      place.json('sandbox', 'detach', 'new');
      for (const address of [known, lost]) traffic.to(address);
      await up.end('SIGKILL');
      deleted = '';
      await away(restoreCopy);
      up = await place.up();
      await stopped();
      // The first of them was on the log that was copied; what was read there is not lost.
      assert.equal(count('LogRegressed'), 2);
      assert.equal(await traffic.lost(), 0);
      assert.equal(deleted, '', 'nothing was removed');
      assert.equal(place.cnm('host', 'resume', 'h1', '--remove').exit, 0);
      // Its detach was lost: it is made again, as the log says.
      for (const sandbox of ['known', 'new', 'lost', 'second']) place.json('sandbox', 'detach', sandbox);
      place.json('network', 'rm', 'web');
    });
  });
}
