/** What a host has left: said when a band is passed, refused before the kernel errs, and said again when there is room. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { EventOf } from '../../events/envelope.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { capacityEveryMs } from '../../services/worker/capacity.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { waitFor } from '../support/nats.ts';
import { host, memoryStreams, realm, System } from '../support/system.ts';

type Said = EventOf<'CapacityPressure' | 'CapacityRelieved'>;

/** A system whose looks at what is left are up to the test. */
const staged = async () => {
  const looks: (() => void)[] = [];
  const clock = {
    ...systemClock,
    after: (delayMs: number, run: () => void) => {
      if (delayMs !== capacityEveryMs) return systemClock.after(delayMs, run);
      looks.push(run);
      return () => undefined;
    },
  };
  const machine = new MemoryMachine();
  machine.uses = [{ what: 'neighbours4', used: 10, limit: 1_000 }];
  const kernel = memoryKernel(machine, { realm, host });
  const system = await new System({ ...memoryStreams(), kernel, clock, runDir: '/run/cnm' }).start();
  const look = async (): Promise<void> => {
    const before = looks.length;
    looks.at(-1)?.();
    await waitFor(() => looks.length > before, { what: 'the look at what is left' });
  };
  const said = async (): Promise<readonly string[]> =>
    (await system.events())
      .filter((event): event is Said => event.type === 'CapacityPressure' || event.type === 'CapacityRelieved')
      .map(({ type, data }) => `${type.slice('Capacity'.length)} ${data.what} ${data.used}/${data.limit} ${data.band}`);
  const use = async (used: number): Promise<void> => {
    machine.uses = [{ what: 'neighbours4', used, limit: 1_000 }];
    await look();
  };
  return { system, look, said, use };
};

it('pressure is said once for each band that is passed, and relief well below it', async () => {
  const { system, said, use } = await staged();
  const [stated] = (await system.events()).filter(({ type }) => type === 'CapacityStated');
  assert.partialDeepStrictEqual(stated?.data, {
    host,
    uses: [{ what: 'neighbours4', used: 10, limit: 1_000, percent: 1, ofNetwork: null }],
  });
  for (const used of [699, 700, 720, 690, 700, 860, 851, 810, 700, 100]) await use(used);
  await waitFor(async () => (await said()).length === 4, { what: 'all of it is on the log' });
  assert.deepEqual(await said(), [
    'Pressure neighbours4 700/1000 70',
    'Pressure neighbours4 860/1000 85',
    'Relieved neighbours4 700/1000 70',
    'Relieved neighbours4 100/1000 0',
  ]);
  await system.stop();
});

it('nothing is begun on a host that has nothing left of something, and all that ends goes on', async () => {
  const { system, said, use } = await staged();
  await system.run('CreateNetwork', { name: 'web' });
  await system.run('AttachSandbox', { sandbox: 'first', networks: [{ network: 'web' }] });
  await use(995);
  await waitFor(async () => (await said()).length === 1, { what: 'the pressure is on the log' });
  await assert.rejects(system.run('AttachSandbox', { sandbox: 'second', networks: [{ network: 'web' }] }), /HOST_FULL/);
  await assert.rejects(system.run('CreateNetwork', { name: 'other' }), /HOST_FULL/);
  await system.run('DetachSandbox', { sandbox: 'first' });
  await use(900);
  await waitFor(async () => (await said()).length === 2, { what: 'the relief is on the log' });
  await system.run('AttachSandbox', { sandbox: 'second', networks: [{ network: 'web' }] });
  await system.stop();
});

it('ports of a bridge, addresses and subnets are counted, and a network that goes takes its pressure along', async () => {
  const { system, said, look } = await staged();
  await system.run('CreateNetwork', { name: 'narrow', ipam: { subnets: [{ subnet: '10.9.9.0/29' }] } });
  for (const name of ['a', 'b', 'c', 'd', 'e']) await system.run('CreateEndpoint', { network: 'narrow', name });
  await look();
  await assert.rejects(system.run('CreateEndpoint', { network: 'narrow', name: 'f' }), /ADDRESS_POOL_EXHAUSTED/);
  for (const endpoint of ['a', 'b', 'c', 'd', 'e']) await system.run('DeleteEndpoint', { network: 'narrow', endpoint });
  await system.run('DeleteNetwork', { network: 'narrow' });
  await look();
  await waitFor(async () => (await said()).length === 2, { what: 'both are on the log' });
  assert.deepEqual(await said(), ['Pressure addresses 6/6 99', 'Relieved addresses 0/6 0']);
  await system.stop();
});
