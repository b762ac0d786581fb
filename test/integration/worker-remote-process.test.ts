/** Plugins in processes of their own that are slow, lie, cut connections, crash or are not there: how commands end, on a kernel in memory. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { waitFor } from '../support/nats.ts';
import type { Behaviour } from '../support/plugins/behaviour.ts';
import { cleared, started, withPlugin } from '../support/plugins/host.ts';
import { type PluginProcess, startOnSocket } from '../support/plugins/start.ts';
import { host, memoryStreams, realm, System } from '../support/system.ts';

describe('a worker and a plugin in a process of its own', () => {
  let machine = new MemoryMachine();
  let system: System;
  let plugin: PluginProcess;
  let socket: string;
  const attach = (sandbox = 'box') => system.outcomeOf('AttachSandbox', { sandbox, networks: [{ network: 'web' }] });
  const behave = (method: string, behaviour: Behaviour) =>
    plugin.order({ behaviours: { [`NetworkDriver.${method}`]: behaviour } });

  beforeEach(async () => {
    machine = new MemoryMachine();
    // What a plugin of the tests that does well names as its link.
    machine.addForeign('link pc0');
    const hosted = await withPlugin();
    plugin = hosted.plugin;
    socket = `${hosted.place}/p.sock`;
    const kernel = memoryKernel(machine, { realm, host });
    system = await new System({ ...memoryStreams(), kernel, plugins: hosted.plugins, runDir: '/run/cnm' }).start();
    const subnets = [{ subnet: '10.250.0.0/24', gateway: '10.250.0.1' }];
    await system.run('CreateNetwork', { name: 'web', driver: 'p', ipam: { subnets } });
    await system.run('CreateNetwork', { name: 'lan' });
  });
  afterEach(async () => {
    await system.stop();
    await cleared();
  });

  it('waits for one that is slow, and for nobody else meanwhile', async () => {
    await behave('CreateEndpoint', { kind: 'slow', ms: 300 });
    const ends: string[] = [];
    const slow = attach().then(({ status }) => ends.push(`web ${status}`));
    const next = system
      .outcomeOf('AttachSandbox', { sandbox: 'other', networks: [{ network: 'lan' }] })
      .then(({ status }) => ends.push(`lan ${status}`));
    await Promise.all([slow, next]);
    assert.deepEqual(ends, ['lan succeeded', 'web succeeded']);
    await system.check();
  });

  const bad: readonly { readonly what: string; readonly behaviour: Behaviour; readonly code: string }[] = [
    { what: 'lies', behaviour: { kind: 'says', body: '{"Gateway":7}' }, code: 'PLUGIN_INVALID' },
    { what: 'says nothing', behaviour: { kind: 'says', body: '' }, code: 'PLUGIN_INVALID' },
    { what: 'speaks no HTTP', behaviour: { kind: 'raw', bytes: 'hello\n' }, code: 'PLUGIN_INVALID' },
    { what: 'ends in the middle', behaviour: { kind: 'cuts', begun: true }, code: 'PLUGIN_UNREACHABLE' },
    { what: 'crashes', behaviour: { kind: 'crashes' }, code: 'PLUGIN_UNREACHABLE' },
    {
      what: 'has an error of status 500',
      behaviour: { kind: 'says', status: 500, body: 'oops' },
      code: 'PLUGIN_ERROR',
    },
  ];
  for (const { what, behaviour, code } of bad) {
    it(`ends a command whose plugin ${what} with ${code}, and takes it back`, async () => {
      const before = machine.objects();
      await behave('Join', behaviour);
      const outcome = await attach();
      assert.equal(outcome.status, 'failed');
      assert.equal(outcome.fault?.code, code);
      const { endpoints, sandboxes } = await system.state();
      assert.deepEqual([endpoints.size, sandboxes.size], [0, 0]);
      assert.deepEqual(machine.objects(), before);
      await system.check();
    });
  }

  it('goes on with one that has crashed and is started anew, and tells it what it has missed', async () => {
    await behave('Join', { kind: 'crashes' });
    await attach();
    plugin = await started(startOnSocket(socket));
    await waitFor(async () => (await attach('next')).status === 'succeeded', { what: 'the plugin to be tried again' });
    await waitFor(async () => (await plugin.methods()).includes('NetworkDriver.DeleteEndpoint'), {
      what: 'the plugin to be told of the endpoint that failed',
    });
    await system.run('DetachSandbox', { sandbox: 'next' });
    await system.check();
  });
});
