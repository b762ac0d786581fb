/** A system whose kernel can be held up, and whose worker can be kept from learning of the log: for commands that end before they are done. */
import assert from 'node:assert/strict';
import type { KernelObject } from '../../drivers/objects.ts';
import { delayed } from './delayed.ts';
import { MemoryMachine, memoryKernel } from './memory-kernel.ts';
import { waitFor } from './nats.ts';
import { host, memoryStreams, realm, type Sent, System } from './system.ts';

/** What was sent, and what lets the kernel go on. */
interface AtWork {
  readonly sent: Sent;
  readonly release: () => void;
}

/** The kernel holds still, in the middle of what is sent. */
export const atWork = async (machine: MemoryMachine, send: () => Sent): Promise<AtWork> => {
  const release = machine.hang();
  const { begun } = machine;
  const sent = send();
  await waitFor(() => machine.begun > begun, { what: 'the kernel is at work' });
  return { sent, release };
};

/** Networks `a`, `b` and `c`, and a worker that reads `slow.log`. */
export class LateStage {
  readonly machine = new MemoryMachine();
  readonly slow: ReturnType<typeof delayed>;
  readonly system: System;

  constructor() {
    const streams = memoryStreams();
    this.slow = delayed(streams.log);
    this.system = new System({ ...streams, kernel: memoryKernel(this.machine, { realm, host }), runDir: '/run/cnm' });
  }

  async start(): Promise<this> {
    const { system, slow } = this;
    await system.startWorker({ log: slow.log });
    await system.startController();
    for (const [index, name] of ['a', 'b', 'c'].entries())
      await system.run('CreateNetwork', { name, ipam: { subnets: [{ subnet: `10.${index + 1}.0.0/24` }] } });
    return this;
  }

  attach(sandbox: string, names: readonly string[], envelope: { readonly deadlineMs?: number } = {}): Sent {
    return this.system.send('AttachSandbox', { sandbox, networks: names.map((network) => ({ network })) }, envelope);
  }

  atWork(send: () => Sent): Promise<AtWork> {
    return atWork(this.machine, send);
  }

  /** Types of the events that a command has led to beyond its decision. */
  async outcomes({ id }: Sent): Promise<readonly string[]> {
    const events = await this.system.events();
    return events.filter(({ meta }) => meta.commandid === id && meta.commandseq === undefined).map(({ type }) => type);
  }

  inSandboxes(): readonly KernelObject[] {
    return this.machine.objects().filter(({ kind }) => kind === 'netns' || kind === 'veth' || kind === 'route');
  }

  /** Kernel and log agree, and neither knows anything of endpoints, sandboxes and commands. */
  async nothingLeft(): Promise<void> {
    await this.system.check();
    assert.deepEqual(this.inSandboxes(), []);
    const { endpoints, sandboxes, progress, intents } = await this.system.state();
    assert.deepEqual([endpoints.size, sandboxes.size, progress.size, intents.size], [0, 0, 0, 0]);
  }
}
