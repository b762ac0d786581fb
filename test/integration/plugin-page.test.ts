/** The plugin that docs/drivers/remote.md shows is one. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, it } from 'node:test';
import { silentLogger } from '../../services/lib/logger.ts';
import { pluginId } from '../../services/plugins/options.ts';
import { createPlugins } from '../../services/plugins/plugins.ts';
import { waitFor } from '../support/nats.ts';

const directory = mkdtempSync(join(tmpdir(), 'cnm-plugins-'));
after(() => rmSync(directory, { recursive: true }));

const skip = spawnSync('python3', ['--version']).status === 0 ? false : 'python3 is not here: npm run setup';

it('the example answers what it is asked', { skip }, async () => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/drivers/remote.md'), 'utf8');
  const program = /```python\n(.*?)```/s.exec(page)?.[1];
  assert.ok(program);
  writeFileSync(join(directory, 'plugin.py'), program);
  // A program of the name `ip` that says no: the example gets to its error without changing any link.
  writeFileSync(join(directory, 'ip'), '#!/bin/sh\necho "asked: $*" >&2\nexit 2\n', { mode: 0o755 });
  const path = join(directory, 'example.sock');
  const env = { ...process.env, PATH: `${directory}:${process.env.PATH}` };
  const child = spawn('python3', [join(directory, 'plugin.py'), path], { stdio: ['ignore', 'ignore', 'inherit'], env });
  const plugins = createPlugins({ sockets: [directory], specs: [], logger: silentLogger() });
  try {
    await waitFor(() => existsSync(path), { what: 'the socket' });
    const example = plugins.network('example');
    const networkId = pluginId('default', 'n1');
    const endpointId = pluginId('default', 'e1');
    const ref = { networkId, endpointId };
    const ports = { exposed: [], published: [] };
    const network = { ipv4: true, ipv6: false, internal: false, driver: {} };
    const none = { ipv4: null, ipv6: null, mac: null };
    const endpoint = { ports, mac: null, interface: null, driver: {} };
    assert.deepEqual(await example.createNetwork({ networkId, options: network, ipv4: [], ipv6: [] }, {}), {
      ok: true,
      value: null,
    });
    assert.deepEqual(await example.createEndpoint({ ...ref, interface: none, options: endpoint }, {}), {
      ok: true,
      value: none,
    });
    const joined = await example.join({ ...ref, sandboxKey: '/run/x', ports }, {});
    const link = `vp${endpointId.slice(0, 10)}`;
    assert.equal(
      joined.ok ? 'ok' : `${joined.fault.code} ${joined.fault.text}`,
      `PLUGIN_ERROR remote: asked: link add ${link} type veth peer name ${link}h`,
    );
    assert.equal((await example.deleteEndpoint(ref, {})).ok, true);
    assert.equal((await example.deleteNetwork(networkId, {})).ok, true);
  } finally {
    await plugins.close();
    child.kill('SIGKILL');
  }
});
