/** The tunnels of a host whose address for other hosts goes and comes: they stay while it has none, and who makes one tells it the peers. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { KernelObject, Vxlan } from '../../drivers/objects.ts';
import type { Kernel } from '../../drivers/port.ts';
import { drivers } from '../../drivers/registry.ts';
import { DEFAULT_IPV4_POOLS } from '../../events/ipam.ts';
import { type Clock, systemClock } from '../../services/lib/clock.ts';
import { silentLogger } from '../../services/lib/logger.ts';
import { createWorker, type Worker } from '../../services/worker/worker.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { waitFor } from '../support/nats.ts';
import { fakePlugins } from '../support/plugins/fake.ts';
import { host, hostServers, memoryStreams, realm, System } from '../support/system.ts';

const underlay = (last: number) => ({ address: `192.0.2.${last}`, device: 'up0', mtu: 1500 });

/** Looks at the host come when the test wants them; a repair comes at once. */
class Hand implements Clock {
  readonly nowMs = systemClock.nowMs;
  readonly monotonicMs = systemClock.monotonicMs;
  readonly randomId = systemClock.randomId;
  #looks: (() => void)[] = [];

  after(delayMs: number, run: () => void): () => void {
    if (delayMs < 30_000) return systemClock.after(delayMs === 1_000 ? 0 : delayMs, run);
    this.#looks.push(run);
    return () => undefined;
  }

  look(): void {
    for (const run of this.#looks.splice(0)) run();
  }
}

describe('tunnels of a host', () => {
  const streams = memoryStreams();
  const machine = new MemoryMachine();
  const clock = new Hand();
  let censuses = 0;
  let settlings = 0;
  let system: System;
  let other: Worker;

  before(async () => {
    machine.facts = { ...machine.facts, underlay: underlay(1) };
    const memory = memoryKernel(machine, { realm, host });
    const census: Kernel['census'] = (extent) => {
      if (extent === undefined) censuses += 1;
      return memory.census(extent);
    };
    system = new System({ ...streams, kernel: { ...memory, census }, runDir: '/run/cnm', clock });
    await system.start();
    await system.run('CreateNetwork', { name: 'own' });
    const far = new MemoryMachine();
    far.facts = { ...far.facts, underlay: underlay(2) };
    other = createWorker({
      ...{
        ...streams,
        realm,
        host: 'h2',
        kernel: memoryKernel(far, { realm, host: 'h2' }),
        drivers,
        clock: systemClock,
      },
      ...{ plugins: fakePlugins([]), hostServers, logger: silentLogger(), secret: null },
      ...{ runDir: '/run/cnm', pools: DEFAULT_IPV4_POOLS, ula: 'fd00:1:3::/48', netnsRoots: ['/run'] },
    });
    await other.start();
    await system.run('CreateNetwork', { name: 'span', driver: 'overlay' });
    await system.run('AttachSandbox', { sandbox: 'near', networks: [{ network: 'h1/span' }] });
    await system.run('AttachSandbox', { sandbox: 'far', networks: [{ network: 'h2/span' }] });
    await waitFor(() => peers().length === 1, { what: 'the far one to be known' });
  });
  after(async () => {
    await other.stop();
    await system.stop();
  });

  const isTunnel = (object: KernelObject): object is Vxlan => object.kind === 'vxlan';
  const tunnels = () => machine.objects().filter(isTunnel);
  const locals = () => tunnels().map(({ local }) => local);
  const peers = () => tunnels().flatMap(({ name }) => machine.tunnels.of(name));
  const stated = async () => (await system.state()).facts.get('host')?.underlay?.address ?? null;
  /** The host has this address now, or none, and its worker has looked at everything since. */
  const move = async (last: number | null): Promise<void> => {
    machine.facts = { ...machine.facts, underlay: last === null ? null : underlay(last) };
    const before = censuses;
    clock.look();
    await waitFor(() => censuses > before, { what: 'a look at everything' });
    await settled();
  };
  /** What is executed comes behind what is repaired. */
  const settled = () => system.run('CreateEndpoint', { network: 'own', name: `e${++settlings}` });

  it('stay as they are while it has no address, and nothing new comes', async () => {
    const [tunnel] = tunnels();
    const known = peers();
    await move(null);
    assert.equal(await stated(), null);
    assert.deepEqual([tunnels(), peers()], [[tunnel], known]);
    assert.equal(
      await system.refusal('AttachSandbox', { sandbox: 'late', networks: [{ network: 'h1/span' }] }),
      'CAPABILITY_MISSING',
    );
  });

  it('are made again with their peers at the address that it has then', async () => {
    const known = peers();
    await move(3);
    assert.deepEqual(locals(), ['192.0.2.3']);
    assert.deepEqual(peers(), known);
  });

  it('stay, and are reached, where a worker begins before its host has its address again', async () => {
    const [[tunnel], known] = [tunnels(), peers()];
    machine.log.splice(0);
    machine.facts = { ...machine.facts, underlay: null };
    await system.stopWorker();
    await system.startWorker();
    await settled();
    assert.deepEqual([tunnels(), peers(), await stated()], [[tunnel], known, '192.0.2.3']);
    machine.facts = { ...machine.facts, underlay: underlay(3) };
    clock.look();
    await settled();
    assert.deepEqual([tunnels(), peers(), await stated()], [[tunnel], known, '192.0.2.3']);
    assert.deepEqual(
      machine.log.filter((line) => line.includes(tunnel?.name ?? '')),
      [],
    );
  });

  it('stay where a worker begins while it has none for long', async () => {
    const [tunnel] = tunnels();
    const known = peers();
    await move(null);
    await system.stopWorker();
    await system.startWorker();
    await settled();
    assert.deepEqual([tunnels(), peers(), await stated()], [[tunnel], known, null]);
    await move(4);
    assert.deepEqual([locals(), peers()], [['192.0.2.4'], known]);
  });
});
