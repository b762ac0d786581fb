// What services say of themselves while something waits: how much, for whom, since when; and what calls of plugins came to.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../services/lib/clock.ts';
import { expose } from '../../services/lib/metrics/exposition.ts';
import { Metrics } from '../../services/lib/metrics/metrics.ts';
import { meteredPlugins } from '../../services/plugins/meter.ts';
import { samplesOf } from '../support/exposition.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { waitFor } from '../support/nats.ts';
import { hangs, linkPlugins } from '../support/plugins/links.ts';
import { host, memoryStreams, realm, System } from '../support/system.ts';

test('looks: a worker names the plugin work that holds an intent up, a controller the worker that it waits for', async (t) => {
  const machine = new MemoryMachine();
  const links = { addLink: () => undefined, removeLink: () => undefined };
  const plugins = linkPlugins(['weave'], links, { 'NetworkDriver.CreateNetwork': hangs });
  const metrics = new Metrics('worker');
  const system = await new System({
    ...memoryStreams(),
    kernel: memoryKernel(machine, { realm, host }),
    plugins: meteredPlugins(plugins, metrics, systemClock),
    runDir: '/run/cnm',
  }).start();
  t.after(() => system.stop());
  await system.send('CreateNetwork', { name: 'lan' }).outcome;
  const ipam = { subnets: [{ subnet: '10.8.0.0/20' }] };
  const stuck = system.send('CreateNetwork', { name: 'web', driver: 'weave', ipam }, { deadlineMs: 1 });
  const behind = system.send('CreateEndpoint', { network: 'web', name: 'e' });
  await Promise.all([stuck.first, behind.first]);
  await waitFor(() => plugins.methods().includes('CreateNetwork'), { what: 'the plugin to be asked' });
  const look = () => system.worker?.look();
  const intents = () => look()?.stages.find(({ name }) => name === 'intents');
  assert.deepEqual([intents()?.waiting, intents()?.stuck?.code], [2, 'INTENTS_STUCK']);
  const [first = '', second = ''] = look()?.waits ?? [];
  assert.match(first, new RegExp(`^NetworkCreateRequested of \\S+ \\(command ${stuck.id}\\) waits for what a plugin `));
  assert.match(
    second,
    /^EndpointCreateRequested of \S+ \(command \S+\) waits for earlier commands about the same things/,
  );
  assert.deepEqual(system.controller?.look().waits, [`2 open commands of host ${host} for its worker`]);
  // what ends elsewhere is progress
  const before = intents()?.progress;
  await system.send('CreateNetwork', { name: 'other' }).outcome;
  assert.ok((intents()?.progress ?? 0) > (before ?? 0));
  plugins.answers = {};
  await system.expire(stuck);
  await system.quiet();
  assert.deepEqual([look()?.waits, intents()?.waiting, system.controller?.look().waits], [[], 0, []]);
  const found = samplesOf(expose(metrics.samples()));
  assert.equal(found.get('cnm_plugin_calls_total{service="worker",method="deleteNetwork",result="ok"}'), 1);
  assert.ok((found.get('cnm_plugin_call_duration_seconds_count{service="worker",method="createNetwork"}') ?? 0) >= 1);
});
