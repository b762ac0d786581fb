/** What a host says of itself goes on the log again when it has changed, and only then. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { isLapsed } from '../../events/state.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { waitFor } from '../support/nats.ts';
import { fakePlugins } from '../support/plugins/fake.ts';
import { host, memoryStreams, realm, System } from '../support/system.ts';

/** A system whose looks at the host are up to the test, and so is what they find. */
const staged = async () => {
  const looks: (() => void)[] = [];
  const clock = {
    ...systemClock,
    after: (delayMs: number, run: () => void) => {
      if (delayMs < 30_000) return systemClock.after(delayMs, run);
      looks.push(run);
      return () => undefined;
    },
  };
  const set: { routes: readonly string[] } = { routes: [] };
  const memory = memoryKernel(new MemoryMachine(), { realm, host });
  const kernel = Object.assign(Object.create(memory), { facts: async () => ({ ...(await memory.facts()), ...set }) });
  const plugins = fakePlugins(['weave']);
  const system = new System({ ...memoryStreams(), kernel, clock, plugins, runDir: '/run/cnm' });
  await system.start();
  return { system, looks, set };
};

it('a route that comes later is on the log, and automatic subnets avoid it', async () => {
  const { system, looks, set } = await staged();
  const facts = async () => (await system.events()).filter(({ type }) => type === 'HostFacts').length;
  const look = async (): Promise<void> => {
    // Whatever else is looked at as seldom is looked at too.
    const due = looks.splice(0);
    for (const run of due) run();
    await waitFor(() => looks.length >= due.length, { what: 'the look at the host' });
  };

  await look();
  assert.equal(await facts(), 1);
  set.routes = ['10.200.0.0/24'];
  await look();
  await waitFor(async () => (await facts()) === 2, { what: 'the new facts' });
  await look();
  assert.equal(await facts(), 2);
  await system.run('CreateNetwork', { name: 'a' });
  const [network] = (await system.state()).networks.values();
  assert.equal(network?.facts.subnets[0]?.subnet, '10.200.1.0/24');
  await system.stop();
});

it('a worker that was taken for dead states its facts in a new epoch, once, and later statements stay in it', async () => {
  const { system, looks, set } = await staged();
  const epochs = async () =>
    (await system.events()).flatMap((event) => (event.type === 'HostFacts' ? [event.data.epoch] : []));
  const since = '2026-11-21T01:09:24.001Z';
  await system.run('LapseHost', { host, epoch: 1, since });
  await waitFor(async () => (await epochs()).length === 2, { what: 'the return' });
  assert.deepEqual(await epochs(), [1, 2]);
  assert.equal(isLapsed(await system.state()), false);
  set.routes = ['10.200.0.0/24'];
  for (const run of looks.splice(0)) run();
  await waitFor(async () => (await epochs()).length === 3, { what: 'the new facts' });
  assert.deepEqual(await epochs(), [1, 2, 2]);
  await system.stop();
});

it('what leads to a network of a plugin is that network, and in nobody’s way when it has gone', async () => {
  const { system, looks, set } = await staged();
  const create = () =>
    system.run('CreateNetwork', { name: 'web', driver: 'weave', ipam: { subnets: [{ subnet: '10.52.0.0/24' }] } });
  await create();
  const stated = async () =>
    (await system.events()).flatMap((event) => (event.type === 'HostFacts' ? [event.data.routes.join()] : []));
  set.routes = ['10.52.0.0/24', '192.0.2.0/24'];
  for (const run of looks.splice(0)) run();
  await waitFor(async () => (await stated()).length === 2, { what: 'the new facts' });
  assert.deepEqual(await stated(), ['', '192.0.2.0/24']);
  await system.run('DeleteNetwork', { network: 'web' });
  await create();
  // One that is nobody's network is in the way.
  const other = { name: 'other', ipam: { subnets: [{ subnet: '192.0.2.0/25' }] } };
  assert.equal(await system.refusal('CreateNetwork', other), 'SUBNET_OVERLAPS');
  await system.stop();
});
