// A worker's resolvers while endpoints come and go: whoever reads an outcome finds what it says, and the log and the names agree.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Kernel } from '../../drivers/port.ts';
import { askUdp, boundPort, dataOf, decodeReply, queryMessage, type Reply } from '../support/dns.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { host, memoryStreams, realm, System } from '../support/system.ts';

const lives = 30;
const rounds = 4;

describe('names while endpoints come and go', () => {
  const runDir = mkdtempSync(join(tmpdir(), 'cnm-dns-'));
  const ports = new Map<string, number>();
  /** Tells which port each sandbox's resolver was given. */
  const watched = (kernel: Kernel): Kernel => ({
    ...kernel,
    openResolver: async (netns, port) => {
      const opened = await kernel.openResolver(netns, port);
      if (opened.ok) ports.set(netns, boundPort(opened.udp, 'udp'));
      return opened;
    },
  });
  const machine = new MemoryMachine();
  const kernel = watched(memoryKernel(machine, { realm, host }));
  let system: System;
  let observer = '';

  const ask = async (name: string, type: 'A' | 'TXT' = 'A'): Promise<Reply> => {
    const [reply] = await askUdp(ports.get(observer) ?? 0, [queryMessage(name, { type, edns: 4096 })]);
    return reply ? decodeReply(reply) : assert.fail('no reply');
  };
  const attach = async (sandbox: string, aliases: string[] = []) => {
    const { endpoints, sandbox: made } = await system.run('AttachSandbox', {
      sandbox,
      networks: [{ network: 'web', aliases }],
    });
    return { address: endpoints[0]?.ipv4?.split('/')[0] ?? '', key: made?.key ?? '' };
  };
  const position = async (): Promise<number> =>
    Number(String(dataOf(await ask('position.cnm', 'TXT'))[0]).split('=')[1]);

  before(async () => {
    system = await new System({ ...memoryStreams(), kernel, runDir }).start();
    await system.run('CreateNetwork', { name: 'web', internal: true });
    observer = (await attach('observer')).key;
  });
  after(async () => {
    await system.stop();
    rmSync(runDir, { recursive: true });
  });

  it('resolves each name from its outcome on, and none that has left; an alias leads to those that live', async () => {
    let missed = 0;
    let dead = 0;
    let asked = 0;
    const live = async (sandbox: string): Promise<void> => {
      for (let round = 0; round < rounds; round++) {
        const { address } = await attach(sandbox, ['replica']);
        const [known, replicas] = [await ask(sandbox), await ask('replica')];
        asked += 2;
        if (dataOf(known)[0] !== address || !dataOf(replicas).includes(address)) missed += 1;
        await system.run('DetachSandbox', { sandbox });
        const isKnown = (await ask(sandbox)).rcode !== 'NXDOMAIN';
        // Addresses come to others only after a while, so whoever is found by this one has left.
        if (isKnown || dataOf(await ask('replica')).includes(address)) dead += 1;
      }
    };
    await Promise.all(Array.from({ length: lives }, (_, index) => live(`life${index}`)));
    assert.deepEqual({ missed, dead, asked }, { missed: 0, dead: 0, asked: lives * rounds * 2 });
    assert.equal((await ask('replica')).rcode, 'NXDOMAIN');
  });

  it('has a name for exactly those endpoints that the log says are joined, at the position that it tells', async () => {
    const names = Array.from({ length: 10 }, (_, index) => `kept${index}`);
    await Promise.all(names.map((name) => attach(name, ['kept'])));
    const { position: ended } = await system.run('DetachSandbox', { sandbox: 'kept3' });
    assert.ok((await position()) >= ended);
    const state = await system.quiet();
    const addresses = [...state.endpoints.values()]
      .filter(({ facts }) => facts.aliases.includes('kept'))
      .map(({ facts }) => facts.ipv4?.split('/')[0]);
    assert.equal(addresses.length, 9);
    assert.deepEqual(dataOf(await ask('kept')).toSorted(), addresses.toSorted());
  });

  it('knows the same names after a restart, on sockets of its own', async () => {
    const before_ = dataOf(await ask('kept')).toSorted();
    await system.stopWorker();
    ports.clear();
    await system.startWorker();
    assert.deepEqual(dataOf(await ask('kept')).toSorted(), before_);
    assert.equal(ports.size, 10, 'a resolver for each sandbox');
    assert.ok((await position()) > 0);
  });

  it('changes aliases when the update is reported', async () => {
    await system.run('UpdateEndpoint', { network: 'web', endpoint: 'kept0', aliases: ['fresh'] });
    assert.equal(dataOf(await ask('fresh')).length, 1);
    assert.equal(dataOf(await ask('kept')).length, 8);
  });

  it('has no name of a join that failed', async () => {
    machine.fail({ when: ({ op, object }) => op === 'create' && object.kind === 'veth', once: true });
    const outcome = await system.outcomeOf('AttachSandbox', {
      sandbox: 'broken',
      networks: [{ network: 'web', aliases: ['broken'] }],
    });
    assert.equal(outcome.status, 'failed');
    assert.equal((await ask('broken')).rcode, 'NXDOMAIN');
  });
});
