/** Networks that are on a host only while somebody there is in them, where the kernel does not let go of one at once. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { Kernel } from '../../drivers/port.ts';
import { delayed } from '../support/delayed.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { waitFor } from '../support/nats.ts';
import { host, memoryStreams, realm, System } from '../support/system.ts';

it('worker: a network that could not be removed goes, though its log does not know yet that the last one has left', async () => {
  const machine = new MemoryMachine();
  machine.facts = { ...machine.facts, underlay: { address: '192.0.2.1', device: 'up0', mtu: 1500 } };
  const streams = memoryStreams();
  const late = delayed(streams.log);
  const memory = memoryKernel(machine, { realm, host });
  let looks = 0;
  let before = 0;
  const kernel: Kernel = {
    ...memory,
    apply: (plans) => {
      // What it reports of the batch comes back to it behind the look that follows.
      if (looks === before && plans.some(({ id }) => id.startsWith('vacate/'))) late.hold();
      return memory.apply(plans);
    },
    census: async (extent) => {
      const census = await memory.census(extent);
      if (extent === undefined) looks += 1;
      return census;
    },
  };
  const system = new System({ ...streams, kernel, runDir: '/run/cnm' });
  await system.startWorker({ log: late.log });
  await system.startController();
  try {
    await system.run('CreateNetwork', { name: 'span', driver: 'overlay' });
    await system.run('AttachSandbox', { sandbox: 'box', networks: [{ network: 'span' }] });
    const [tunnel] = machine.objects().filter(({ kind }) => kind === 'vxlan');
    assert.ok(tunnel && 'name' in tunnel);
    machine.fail({ when: ({ op, object }) => op === 'delete' && object.kind === 'vxlan', once: true });
    machine.log.splice(0);
    before = looks;
    await system.run('DetachSandbox', { sandbox: 'box' });
    assert.equal(machine.objects().includes(tunnel), true, 'it failed');
    await waitFor(() => looks > before, { what: 'a look at everything' });
    late.release();
    const left = await system.check();
    assert.deepEqual(
      left.filter(({ tag }) => tag.id === tunnel.tag.id),
      [],
    );
    assert.equal(machine.log.filter((line) => line === `delete link ${tunnel.name}`).length, 2);
  } finally {
    await system.stop();
  }
});
