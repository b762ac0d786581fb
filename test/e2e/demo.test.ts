// `cnm demo` as somebody who tries it: what it says holds, it ends clean, and the machine is as it was.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { waitFor } from '../support/nats.ts';
import { inOwnNamespaces, ipLinks } from '../support/netns.ts';
import { launcher, makePlace } from './cli-harness.ts';

if (inOwnNamespaces(import.meta.filename)) {
  const leftovers = (): readonly string[] => readdirSync(tmpdir()).filter((name) => name.startsWith('cnm-demo-'));

  test('demo: networks are kept apart, history is told, and nothing is left', () => {
    const place = makePlace();
    const [linksBefore, foldersBefore] = [ipLinks().length, leftovers()];
    const { exit, out, err } = place.cnm('demo');
    assert.equal(exit, 0, out + err);
    assert.equal(err, '');
    assert.match(out, /created network front \(bridge, /);
    assert.equal(out.match(/passes, as it must$/gm)?.length, 2);
    assert.equal(out.match(/does not pass, as it must not$/gm)?.length, 2);
    assert.match(out, /NETWORK_HAS_ENDPOINTS: network front has 2 endpoints/);
    assert.match(out, /AttachSandbox +succeeded +\d.* EndpointJoined/);
    assert.match(out, /no interface, no namespace/);
    assert.match(out, /all as expected, in \d+\.\d s\n$/);
    assert.equal(ipLinks().length, linksBefore);
    assert.deepEqual(leftovers(), foldersBefore);
    place.remove();
  });

  test('demo: what is interrupted cleans up, its server included', async () => {
    const place = makePlace();
    const foldersBefore = leftovers();
    const child = spawn(launcher, ['demo'], { env: place.env, stdio: ['ignore', 'pipe', 'ignore'] });
    let out = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      out += text;
    });
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    await waitFor(() => out.includes('created network'), { what: 'the first network', timeoutMs: 30_000 });
    child.kill('SIGINT');
    assert.equal(await ended, 1);
    assert.deepEqual(leftovers(), foldersBefore);
    place.remove();
  });

  test('demo: outside of the launcher it refuses to touch the machine', () => {
    const main = launcher.replace(/cnm$/, 'main.ts');
    const place = makePlace({ program: main, prefix: [process.execPath] });
    const { exit, err } = place.cnm('demo');
    assert.equal(exit, 2);
    assert.match(err, /needs a namespace of its own/);
    place.remove();
  });
}
