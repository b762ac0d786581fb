/** What a host says of itself goes on the log again when it has changed, and only then. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { systemClock } from '../../services/lib/clock.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { waitFor } from '../support/nats.ts';
import { host, memoryStreams, realm, System } from '../support/system.ts';

it('a route that comes later is on the log, and automatic subnets avoid it', async () => {
  const looks: (() => void)[] = [];
  const clock = {
    ...systemClock,
    after: (delayMs: number, run: () => void) => {
      if (delayMs < 30_000) return systemClock.after(delayMs, run);
      looks.push(run);
      return () => undefined;
    },
  };
  let routes: readonly string[] = [];
  const memory = memoryKernel(new MemoryMachine(), { realm, host });
  const kernel = Object.assign(Object.create(memory), { facts: async () => ({ ...(await memory.facts()), routes }) });
  const system = new System({ ...memoryStreams(), kernel, clock, runDir: '/run/cnm' });
  await system.start();
  const facts = async () => (await system.events()).filter(({ type }) => type === 'HostFacts').length;
  const look = async (): Promise<void> => {
    const before = looks.length;
    looks.at(-1)?.();
    await waitFor(() => looks.length > before, { what: 'the look at the host' });
  };

  await look();
  assert.equal(await facts(), 1);
  routes = ['10.200.0.0/24'];
  await look();
  await waitFor(async () => (await facts()) === 2, { what: 'the new facts' });
  await look();
  assert.equal(await facts(), 2);
  await system.run('CreateNetwork', { name: 'a' });
  const [network] = (await system.state()).networks.values();
  assert.equal(network?.facts.subnets[0]?.subnet, '10.200.1.0/24');
  await system.stop();
});
