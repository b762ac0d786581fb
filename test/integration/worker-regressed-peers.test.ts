/** A network over two hosts whose log has shrunk: who was attached since, and is kept, stays within reach of the other host. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { drivers } from '../../drivers/registry.ts';
import { DEFAULT_IPV4_POOLS } from '../../events/ipam.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { silentLogger } from '../../services/lib/logger.ts';
import { isRegressed } from '../../services/nats/fault.ts';
import { createWorker, type Worker } from '../../services/worker/worker.ts';
import { memoryJournal } from '../support/memory-journal.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { waitFor } from '../support/nats.ts';
import { fakePlugins } from '../support/plugins/fake.ts';
import { host, hostServers, memoryStreams, realm, System } from '../support/system.ts';

const machineAt = (last: number): MemoryMachine => {
  const machine = new MemoryMachine();
  machine.facts = { ...machine.facts, underlay: { address: `192.0.2.${last}`, device: 'up0', mtu: 1500 } };
  return machine;
};

describe('a log that has shrunk under two hosts', () => {
  const streams = memoryStreams();
  const [near, far] = [machineAt(1), machineAt(2)];
  const journals = { near: memoryJournal(), far: memoryJournal() };
  let system: System;
  let other: Worker;

  const startOther = async (): Promise<void> => {
    other = createWorker({
      ...{ ...streams, realm, host: 'h2', kernel: memoryKernel(far, { realm, host: 'h2' }), drivers },
      ...{ clock: systemClock, logger: silentLogger(), journal: journals.far, runDir: '/run/cnm', secret: null },
      ...{ plugins: fakePlugins([]), hostServers, pools: DEFAULT_IPV4_POOLS, ula: 'fd00:1:3::/48' },
      netnsRoots: ['/run'],
    });
    await other.start();
  };
  const attach = (sandbox: string, at: string, network = 'span', ipv4?: string) =>
    system.run('AttachSandbox', {
      ...{ sandbox, networks: [{ network: `${at}/${network}`, interfaces: ipv4 === undefined ? [] : [{ ipv4 }] }] },
    });
  const known = (machine: MemoryMachine): readonly string[] =>
    machine
      .objects()
      .flatMap((object) => (object.kind === 'vxlan' ? machine.tunnels.of(object.name) : []))
      .flatMap(({ addresses, vtep }) => addresses.map((address) => `${address} at ${vtep}`))
      .sort();
  const addressOf = (machine: MemoryMachine, sandbox: string): string => {
    const veth = machine
      .objects()
      .find((one) => one.kind === 'veth' && one.netns.endsWith(`/${sandbox}`) && one.peer.name === 'eth0');
    return veth?.kind === 'veth' ? ((veth.peer.addresses[0] ?? '').split('/')[0] ?? '') : '';
  };

  before(async () => {
    const kernel = memoryKernel(near, { realm, host });
    system = await new System({ ...streams, kernel, runDir: '/run/cnm', journal: journals.near }).start();
    await startOther();
    await system.run('CreateNetwork', { name: 'span', driver: 'overlay', internal: true });
    await attach('a', 'h1');
    await attach('b', 'h2');
    const copy = { log: streams.log.stored().length, commands: streams.commands.stored().length };
    await attach('c', 'h2');
    await system.run('CreateNetwork', { name: 'late', driver: 'overlay', internal: true });
    await attach('d', 'h1', 'late');
    await attach('e', 'h2', 'late');
    await waitFor(() => known(near).length === 3 && known(far).length === 2, { what: 'everybody to be known' });
    const isTold = (worker: Worker | null) => worker?.look().stages.every(({ waiting }) => waiting === 0) === true;
    await waitFor(() => isTold(system.worker) && isTold(other), { what: 'all reports to be acknowledged' });
    const { controller, worker } = system;
    streams.log.rewind(copy.log);
    streams.commands.rewind(copy.commands);
    await Promise.all([worker, other].map((each) => assert.rejects(each?.failed ?? Promise.resolve(), isRegressed)));
    await controller?.stop().catch(() => undefined);
    await system.stopWorker();
    await other.stop();
  });
  after(async () => {
    await other.stop();
    await system.stop();
  });

  it('leads to those who are kept, in networks that the log knows and others, however hosts come back', async () => {
    const led = [known(near), known(far)];
    await startOther();
    await system.start();
    assert.deepEqual([known(near), known(far)], led, 'nothing is changed on hosts that are stopped');
    await system.run('ResumeHost', { host, held: 'keep' });
    await system.run('ResumeHost', { host: 'h2', held: 'keep' });
    // What is executed comes behind what hosts that go on do first.
    await attach('f', 'h1');
    await attach('g', 'h2');
    const [f, g] = [`${addressOf(near, 'f')} at 192.0.2.1`, `${addressOf(far, 'g')} at 192.0.2.2`];
    await waitFor(() => known(near).includes(g) && known(far).includes(f), { what: 'the new ones to be known' });
    assert.deepEqual([known(near), known(far)], [[...(led[0] ?? []), g].sort(), [...(led[1] ?? []), f].sort()]);
  });

  it('leads to whoever has an address afterwards', async () => {
    const address = addressOf(far, 'c');
    await system.run('ResumeHost', { host: 'h2', held: 'remove' });
    await waitFor(() => addressOf(far, 'c') === '', { what: 'what the log does not know to go' });
    await attach('h', 'h1', 'span', address);
    await waitFor(() => known(far).includes(`${address} at 192.0.2.1`), { what: 'the new one to be known' });
    assert.ok(!known(near).some((one) => one.startsWith(`${address} `)), 'it is here');
  });
});
