/** Moves of a sandbox to another network on a kernel in memory: the sandbox lives on, and whatever fails, it is where it was. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { KernelObject } from '../../drivers/objects.ts';
import { delayed } from '../support/delayed.ts';
import { atWork } from '../support/late-stage.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { mortal } from '../support/mortal.ts';
import { waitFor } from '../support/nats.ts';
import { host, memoryStreams, realm, type Sent, type Streams, System } from '../support/system.ts';

const reversal = ['EndpointCreateFailed', 'EndpointJoinFailed', 'EndpointLeaveReverted', 'EndpointDeleteReverted'];

describe('a worker and moves', () => {
  let machine = new MemoryMachine();
  let streams: Streams;
  let system: System;
  let slow: ReturnType<typeof delayed>;
  const kernel = () => memoryKernel(machine, { realm, host });
  const of = <K extends KernelObject['kind']>(kind: K) =>
    machine.objects().filter((object): object is Extract<KernelObject, { kind: K }> => object.kind === kind);
  const byText = (objects: readonly KernelObject[]) => objects.map((object) => JSON.stringify(object)).sort();
  const move = (from: string, to: string, more: { readonly deadlineMs?: number } = {}): Sent =>
    system.send('MoveSandbox', { sandbox: 'box', from, to: { network: to } }, more);
  const outcomes = async (sent: Sent): Promise<readonly string[]> =>
    (await system.events())
      .filter(({ meta }) => meta.commandid === sent.id && meta.commandseq === undefined)
      .map(({ type }) => type);
  const networksOf = async (sandbox: string): Promise<readonly string[]> => {
    const { endpoints, networks, sandboxes } = await system.state();
    return [...sandboxes.values()]
      .filter(({ facts }) => facts.id === sandbox)
      .flatMap(({ members }) => members)
      .map((id) => {
        const row = endpoints.get(id);
        return `${networks.get(row?.facts.networkId ?? '')?.facts.name} ${row?.status}`;
      });
  };
  const onNetwork = async (name: string) => {
    const { networks } = await system.state();
    const row = [...networks.values()].find(({ facts }) => facts.name === name);
    return (object: KernelObject): boolean => object.kind === 'veth' && object.bridge === `cb${row?.facts.id}`;
  };

  beforeEach(async () => {
    machine = new MemoryMachine();
    streams = memoryStreams();
    slow = delayed(streams.log);
    system = new System({ ...streams, kernel: kernel(), runDir: '/run/cnm' });
    await system.startWorker({ log: slow.log });
    await system.startController();
    for (const [index, name] of ['a', 'b', 'c'].entries()) {
      await system.run('CreateNetwork', { name, ipam: { subnets: [{ subnet: `10.${index + 1}.0.0/24` }] } });
    }
    const ports = [{ hostPort: 80, port: 80 }];
    await system.run('AttachSandbox', { sandbox: 'box', networks: [{ network: 'a' }, { network: 'c' }], ports });
  });
  afterEach(() => system.stop());

  it('takes a sandbox to another network without an end in between, ports and routes with it', async () => {
    const from = machine.log.length;
    const sent = move('a', 'b');
    assert.equal((await sent.outcome).status, 'succeeded');
    assert.deepEqual(await outcomes(sent), ['EndpointCreated', 'EndpointJoined', 'EndpointLeft', 'EndpointDeleted']);
    assert.ok(!machine.log.slice(from).some((line) => line.includes('netns /run')), 'the namespace is untouched');
    assert.deepEqual(await networksOf('box'), ['c joined', 'b joined']);
    const [port] = of('element').filter(({ set }) => set === 'dnat4ip');
    assert.deepEqual(port?.data, ['10.3.0.2', '80'], 'the endpoint that was there before carries on');
    await system.check();
  });

  it('moves the last endpoint of a sandbox', async () => {
    assert.equal((await move('a', 'b').outcome).status, 'succeeded');
    assert.equal((await move('c', 'a').outcome).status, 'succeeded');
    assert.equal((await move('b', 'c').outcome).status, 'succeeded');
    await system.run('LeaveEndpoint', { network: 'a', endpoint: 'box' });
    assert.equal((await move('c', 'b').outcome).status, 'succeeded');
    assert.deepEqual(await networksOf('box'), ['b joined']);
    const lives = (await system.events()).filter(({ type }) => type.startsWith('Sandbox')).map(({ type }) => type);
    assert.deepEqual(lives, ['SandboxCreated']);
    await system.check();
  });

  it('leaves an endpoint of its own behind, without a sandbox', async () => {
    await system.run('CreateEndpoint', { network: 'b', name: 'mine' });
    await system.run('JoinEndpoint', { network: 'b', endpoint: 'mine', sandbox: 'own' });
    const sent = system.send('MoveSandbox', { sandbox: 'own', from: 'b', to: { network: 'a' } });
    assert.equal((await sent.outcome).status, 'succeeded');
    assert.deepEqual(await outcomes(sent), ['EndpointCreated', 'EndpointJoined', 'EndpointLeft']);
    const { endpoints } = await system.state();
    assert.equal([...endpoints.values()].find(({ facts }) => facts.name === 'mine')?.status, 'created');
    await system.check();
  });

  describe('that fails', () => {
    const isAsBefore = async (before: readonly string[], sent: Sent): Promise<void> => {
      await system.check();
      assert.deepEqual(byText(machine.objects()), before);
      assert.deepEqual(await networksOf('box'), ['a joined', 'c joined']);
      assert.deepEqual(await outcomes(sent), reversal);
      // And all of it works on.
      assert.equal((await move('a', 'b').outcome).status, 'succeeded');
      await system.run('DetachSandbox', { sandbox: 'box' });
      assert.deepEqual([of('netns'), of('veth'), of('route'), of('file'), of('resolver')], [[], [], [], [], []]);
      await system.check();
    };

    it('leaves all as it was when the new interface cannot be made', async () => {
      const before = byText(machine.objects());
      const isNew = await onNetwork('b');
      machine.fail({ when: ({ op, object }) => op === 'create' && isNew(object), once: true });
      const sent = move('a', 'b');
      assert.equal((await sent.outcome).fault?.code, 'KERNEL_ERROR');
      await isAsBefore(before, sent);
    });

    it('leaves all as it was when the old interface cannot be removed', async () => {
      const before = byText(machine.objects());
      const isOld = await onNetwork('a');
      machine.fail({ when: ({ op, object }) => op === 'delete' && isOld(object), once: true });
      const sent = move('a', 'b');
      assert.equal((await sent.outcome).fault?.code, 'KERNEL_ERROR');
      await isAsBefore(before, sent);
    });

    it('makes again what was removed when its undoing fails too', async () => {
      const before = byText(machine.objects());
      const apply = kernel().apply;
      const isOld = await onNetwork('a');
      let lost = 0;
      // The old interface is gone, and could not be put back.
      const lossy = async (...args: Parameters<typeof apply>): ReturnType<typeof apply> => {
        const results = await apply(...args);
        for (const object of machine.objects())
          if (results.some(({ ok }) => !ok) && isOld(object) && lost++ === 0)
            machine.tamper(`link ${nameOf(object)}`, null);
        return results;
      };
      const nameOf = (object: KernelObject): string => (object.kind === 'veth' ? object.name : '');
      machine.fail({
        when: ({ op, object }) => op === 'create' && object.kind === 'veth',
        undoFaults: ['create veth: ENOBUFS'],
        once: true,
      });
      await system.stopWorker();
      await system.startWorker({ kernel: { ...kernel(), apply: lossy } });
      const sent = move('a', 'b');
      assert.equal((await sent.outcome).status, 'failed');
      assert.equal(lost, 1);
      await isAsBefore(before, sent);
    });

    it('leaves all as it was when the new network was never made', async () => {
      const before = byText(machine.objects());
      machine.fail({ when: ({ op, object }) => op === 'create' && object.kind === 'bridge', once: true });
      const release = machine.hang();
      system.send('CreateNetwork', { name: 'd' });
      const sent = move('a', 'd');
      assert.equal((await sent.first).kind, 'accepted');
      release();
      assert.equal((await sent.outcome).fault?.code, 'DEPENDENCY_FAILED');
      await isAsBefore(before, sent);
    });

    it('leaves all as it was when its deadline passes before it is begun', async () => {
      const before = byText(machine.objects());
      await system.stopWorker();
      const sent = move('a', 'b', { deadlineMs: 1 });
      await sent.first;
      await system.expire(sent);
      await system.startWorker();
      await isAsBefore(before, sent);
    });

    it('makes all as it was when its deadline passes while the kernel is at work', async () => {
      const before = byText(machine.objects());
      const { sent, release } = await atWork(machine, () => move('a', 'b', { deadlineMs: 1 }));
      const from = machine.log.length;
      await system.expire(sent);
      release();
      await system.quiet();
      const isNew = machine.log.slice(from).filter((line) => line.startsWith('create link'));
      assert.equal(isNew.length, 2, 'the new interface was made, and then the old one again');
      await isAsBefore(before, sent);
    });

    it('goes on with that after a restart', async () => {
      const before = byText(machine.objects());
      const { sent, release } = await atWork(machine, () => move('a', 'b', { deadlineMs: 1 }));
      await system.expire(sent);
      machine.fail({ when: ({ op, object }) => op === 'create' && object.kind === 'veth' && of('veth').length === 2 });
      const isOld = await onNetwork('a');
      machine.heal();
      machine.fail({ when: ({ op, object }) => op === 'create' && isOld(object) });
      release();
      await waitFor(() => of('veth').every((veth) => !isOld(veth)), { what: 'the old interface to be gone' });
      await system.stopWorker();
      machine.heal();
      await system.startWorker();
      await isAsBefore(before, sent);
    });
  });

  it('stays done where it was reported before the worker learned of the deadline', async () => {
    const { sent, release } = await atWork(machine, () => move('a', 'b', { deadlineMs: 1 }));
    slow.hold();
    await system.expire(sent);
    release();
    await waitFor(async () => (await outcomes(sent)).includes('EndpointLeft'), { what: 'the report' });
    slow.release();
    assert.equal((await sent.outcome).status, 'timed-out');
    await system.check();
    assert.deepEqual(await networksOf('box'), ['c joined', 'b joined']);
  });

  it('puts the sandbox onto the new network where it never got onto the old one', async () => {
    await system.run('DetachSandbox', { sandbox: 'box' });
    const isOld = await onNetwork('a');
    machine.fail({ when: ({ op, object }) => op === 'create' && isOld(object), once: true });
    const release = machine.hang();
    const attached = system.send('AttachSandbox', { sandbox: 'box', networks: [{ network: 'a' }] });
    const sent = move('a', 'b');
    assert.equal((await sent.first).kind, 'accepted');
    release();
    assert.equal((await attached.outcome).status, 'failed');
    assert.equal((await sent.outcome).status, 'succeeded');
    assert.deepEqual(await networksOf('box'), ['b joined']);
    await system.check();
  });

  it('leaves nothing where the sandbox gets onto neither network', async () => {
    await system.run('DetachSandbox', { sandbox: 'box' });
    let veths = 0;
    machine.fail({ when: ({ op, object }) => op === 'create' && object.kind === 'veth' && veths++ < 2 });
    const release = machine.hang();
    const attached = system.send('AttachSandbox', { sandbox: 'box', networks: [{ network: 'a' }] });
    const sent = move('a', 'b');
    assert.equal((await sent.first).kind, 'accepted');
    release();
    assert.equal((await attached.outcome).status, 'failed');
    assert.equal((await sent.outcome).status, 'failed');
    await system.check();
    const { endpoints, sandboxes } = await system.state();
    assert.deepEqual([endpoints.size, sandboxes.size, of('netns'), of('file')], [0, 0, [], []]);
  });

  it('is one or the other whenever the worker dies', async () => {
    const lives = { a: 'b', b: 'a' } as const;
    let at: 'a' | 'b' = 'a';
    for (let fatal = 0; ; fatal++) {
      let calls = 0;
      await system.stopWorker();
      const doomed = mortal({ log: streams.log, kernel: kernel() }, (_, kill) => {
        if (calls++ === fatal) kill();
      });
      void system.startWorker(doomed).catch(() => undefined);
      const sent = move(at, lives[at]);
      await sent.first;
      at = lives[at];
      await waitFor(async () => doomed.dead || (await system.state()).intents.size === 0, { what: 'an end' });
      if (!doomed.dead) break;
      await system.startWorker();
      assert.equal((await sent.outcome).status, 'succeeded', `killed at call ${fatal}`);
      await system.check();
      assert.equal(of('veth').length, 2);
    }
  });
});
