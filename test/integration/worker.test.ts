/** What a worker makes of commands, on a kernel in memory: what is made, handed over, removed, and what becomes of what cannot be. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { KernelObject } from '../../drivers/objects.ts';
import type { Operation } from '../../drivers/port.ts';
import type { Outcome } from '../../events/queries.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { host, memoryStreams, realm, System } from '../support/system.ts';

describe('worker', () => {
  let machine = new MemoryMachine();
  let system: System;
  const of = <K extends KernelObject['kind']>(kind: K) =>
    machine.objects().filter((object): object is Extract<KernelObject, { kind: K }> => object.kind === kind);
  const routes = () =>
    of('route')
      .map(({ destination, gateway, device }) => `${destination} via ${gateway} dev ${device}`)
      .sort();
  const networks = async (...names: string[]): Promise<void> => {
    for (const [index, name] of names.entries()) {
      const subnets = [{ subnet: `10.${index + 1}.0.0/24` }, { subnet: `fd00:${index + 1}::/64` }];
      await system.run('CreateNetwork', { name, ipv6: true, ipam: { subnets } });
    }
  };
  const attach = (sandbox: string, ...names: string[]): Promise<Outcome> =>
    system.run('AttachSandbox', { sandbox, networks: names.map((network) => ({ network })) });
  const onEndpoint =
    (kind: 'create' | 'delete', wanted: string) =>
    ({ op, object }: Operation): boolean =>
      op === kind && object.kind === 'veth' && object.bridge === wanted;
  const bridgeOf = async (name: string): Promise<string> => {
    const rows = [...(await system.state()).networks.values()];
    return `cb${rows.find(({ facts }) => facts.name === name)?.facts.id}`;
  };

  beforeEach(async () => {
    machine = new MemoryMachine();
    const kernel = memoryKernel(machine, { realm, host });
    system = await new System({ ...memoryStreams(), kernel, runDir: '/run/cnm' }).start();
  });
  afterEach(() => system.stop());

  it('makes a sandbox with the first endpoint and removes it with the last', async () => {
    await networks('a', 'b');
    await system.run('CreateEndpoint', { network: 'a', name: 'e' });
    await system.run('CreateEndpoint', { network: 'b', name: 'e' });
    const first = await system.run('JoinEndpoint', { network: 'a', endpoint: 'e', sandbox: 'box' });
    assert.equal(first.sandbox?.key, '/run/cnm/netns/box');
    assert.deepEqual(first.endpoints[0]?.routes, [
      { destination: '0.0.0.0/0', gateway: '10.1.0.1' },
      { destination: '::/0', gateway: 'fd00:1::1' },
    ]);
    await system.run('JoinEndpoint', { network: 'b', endpoint: 'e', sandbox: 'box' });
    assert.deepEqual(
      of('veth').map(({ peer }) => peer.name),
      ['eth0', 'eth1'],
    );
    await system.run('LeaveEndpoint', { network: 'a', endpoint: 'e' });
    assert.equal(of('netns').length, 1);
    await system.run('LeaveEndpoint', { network: 'b', endpoint: 'e' });
    assert.deepEqual([of('netns'), of('veth'), of('route')], [[], [], []]);
    const lives = (await system.events()).filter(({ type }) => type.startsWith('Sandbox')).map(({ type }) => type);
    assert.deepEqual(lives, ['SandboxCreated', 'SandboxRemoved']);
    await system.check();
  });

  it('hands the default routes of both families on when their endpoint leaves', async () => {
    await networks('a', 'b', 'c');
    for (const network of ['a', 'b', 'c']) await system.run('CreateEndpoint', { network, name: 'e' });
    for (const network of ['a', 'b', 'c']) await system.run('JoinEndpoint', { network, endpoint: 'e', sandbox: 'box' });
    assert.deepEqual(routes(), ['0.0.0.0/0 via 10.1.0.1 dev eth0', '::/0 via fd00:1::1 dev eth0']);
    await system.run('LeaveEndpoint', { network: 'a', endpoint: 'e' });
    assert.deepEqual(routes(), ['0.0.0.0/0 via 10.2.0.1 dev eth1', '::/0 via fd00:2::1 dev eth1']);
    await system.run('LeaveEndpoint', { network: 'c', endpoint: 'e' });
    assert.deepEqual(routes(), ['0.0.0.0/0 via 10.2.0.1 dev eth1', '::/0 via fd00:2::1 dev eth1']);
    await system.check();
  });

  it('takes leave, rejoin and hand-over that are queued back to back', async () => {
    await networks('a', 'b');
    for (const network of ['a', 'b']) await system.run('CreateEndpoint', { network, name: 'e' });
    const release = machine.hang();
    const sent = [
      system.send('JoinEndpoint', { network: 'a', endpoint: 'e', sandbox: 'box' }),
      system.send('JoinEndpoint', { network: 'b', endpoint: 'e', sandbox: 'box' }),
      system.send('LeaveEndpoint', { network: 'a', endpoint: 'e' }),
      system.send('JoinEndpoint', { network: 'a', endpoint: 'e', sandbox: 'box' }),
      system.send('LeaveEndpoint', { network: 'b', endpoint: 'e' }),
      system.send('JoinEndpoint', { network: 'b', endpoint: 'e', sandbox: 'other' }),
      system.send('LeaveEndpoint', { network: 'a', endpoint: 'e' }),
      system.send('JoinEndpoint', { network: 'a', endpoint: 'e', sandbox: 'box' }),
    ];
    for (const { first } of sent) assert.equal((await first).kind, 'accepted');
    release();
    for (const { outcome } of sent) assert.equal((await outcome).status, 'succeeded');
    assert.deepEqual(
      of('netns')
        .map(({ path }) => path)
        .sort(),
      ['/run/cnm/netns/box', '/run/cnm/netns/other'],
    );
    await system.check();
  });

  it('detaches a sandbox of three networks whole, and its name is free at once', async () => {
    await networks('a', 'b', 'c');
    for (let round = 0; round < 3; round++) {
      const attached = system.send('AttachSandbox', {
        sandbox: 'box',
        networks: ['a', 'b', 'c'].map((network) => ({ network })),
      });
      const detached = system.send('DetachSandbox', { sandbox: 'box' });
      assert.equal((await attached.outcome).status, 'succeeded');
      assert.equal((await detached.outcome).status, 'succeeded');
    }
    assert.deepEqual([of('netns'), of('veth')], [[], []]);
    assert.equal((await system.state()).endpoints.size, 0);
    await system.check();
  });

  it('leaves nothing of an attach whose second network fails, and says so once for each intent', async () => {
    await networks('a', 'b', 'c');
    const before = machine.objects();
    machine.fail({ when: onEndpoint('create', await bridgeOf('b')), fault: { errno: 'ENOBUFS', text: 'full' } });
    const outcome = await system.outcomeOf('AttachSandbox', {
      sandbox: 'box',
      networks: ['a', 'b', 'c'].map((network) => ({ network })),
    });
    assert.equal(outcome.status, 'failed');
    assert.equal(outcome.fault?.errno, 'ENOBUFS');
    assert.deepEqual(machine.objects(), before);
    const state = await system.quiet();
    assert.deepEqual([state.endpoints.size, state.sandboxes.size], [0, 0]);
    machine.heal();
    await attach('box', 'a', 'b', 'c');
    await system.check();
  });

  it('tells everybody who built on something that failed', async () => {
    machine.fail({ when: ({ object }) => object.kind === 'bridge', once: true });
    const release = machine.hang();
    const network = system.send('CreateNetwork', { name: 'a' });
    const endpoint = system.send('CreateEndpoint', { network: 'a', name: 'e' });
    const join = system.send('JoinEndpoint', { network: 'a', endpoint: 'e', sandbox: 'box' });
    const attached = system.send('AttachSandbox', { sandbox: 'box2', networks: [{ network: 'a' }] });
    assert.equal((await attached.first).kind, 'accepted');
    release();
    assert.equal((await network.outcome).fault?.code, 'KERNEL_ERROR');
    for (const { outcome } of [endpoint, join, attached]) {
      assert.equal((await outcome).fault?.code, 'DEPENDENCY_FAILED');
    }
    assert.deepEqual(machine.objects(), []);
    await networks('a');
    await system.check();
  });

  it('removes what was never made: teardown does not fail on what is not there', async () => {
    machine.fail({ when: ({ object }) => object.kind === 'bridge', once: true });
    const release = machine.hang();
    system.send('CreateNetwork', { name: 'a' });
    system.send('CreateEndpoint', { network: 'a', name: 'e' });
    system.send('JoinEndpoint', { network: 'a', endpoint: 'e', sandbox: 'box' });
    const removals = [
      system.send('LeaveEndpoint', { network: 'a', endpoint: 'e' }),
      system.send('DeleteEndpoint', { network: 'a', endpoint: 'e' }),
      system.send('DeleteNetwork', { network: 'a' }),
    ];
    for (const { first } of removals) assert.equal((await first).kind, 'accepted');
    release();
    for (const { outcome } of removals) assert.equal((await outcome).status, 'succeeded');
    await system.check();
    assert.deepEqual(machine.objects(), []);
  });

  it('ends a sandbox whose remaining endpoint fails to join after the others were told to leave', async () => {
    await networks('a', 'b');
    for (const network of ['a', 'b']) await system.run('CreateEndpoint', { network, name: 'e' });
    await system.run('JoinEndpoint', { network: 'a', endpoint: 'e', sandbox: 'box' });
    machine.fail({ when: onEndpoint('create', await bridgeOf('b')) });
    const release = machine.hang();
    const join = system.send('JoinEndpoint', { network: 'b', endpoint: 'e', sandbox: 'box' });
    const leave = system.send('LeaveEndpoint', { network: 'a', endpoint: 'e' });
    assert.equal((await leave.first).kind, 'accepted');
    release();
    assert.equal((await join.outcome).status, 'failed');
    assert.equal((await leave.outcome).status, 'succeeded');
    assert.deepEqual([of('netns'), of('veth')], [[], []]);
    await system.check();
  });

  it('does not elect an endpoint that failed to join', async () => {
    await networks('a', 'b', 'c');
    for (const network of ['a', 'b', 'c']) await system.run('CreateEndpoint', { network, name: 'e' });
    await system.run('JoinEndpoint', { network: 'a', endpoint: 'e', sandbox: 'box' });
    machine.fail({ when: onEndpoint('create', await bridgeOf('b')) });
    const release = machine.hang();
    system.send('JoinEndpoint', { network: 'b', endpoint: 'e', sandbox: 'box' });
    const third = system.send('JoinEndpoint', { network: 'c', endpoint: 'e', sandbox: 'box' });
    const leave = system.send('LeaveEndpoint', { network: 'a', endpoint: 'e' });
    const leaveFailed = system.send('LeaveEndpoint', { network: 'b', endpoint: 'e' });
    for (const { first } of [third, leave, leaveFailed]) assert.equal((await first).kind, 'accepted');
    release();
    for (const { outcome } of [third, leave, leaveFailed]) assert.equal((await outcome).status, 'succeeded');
    assert.deepEqual(routes(), ['0.0.0.0/0 via 10.3.0.1 dev eth2', '::/0 via fd00:3::1 dev eth2']);
    await system.check();
  });

  it('routes through an endpoint that is elected belatedly, since the one before it failed to join', async () => {
    await networks('a', 'b', 'c');
    for (const network of ['a', 'b', 'c']) await system.run('CreateEndpoint', { network, name: 'e' });
    machine.fail({ when: onEndpoint('create', await bridgeOf('a')) });
    const release = machine.hang();
    const failing = system.send('JoinEndpoint', { network: 'a', endpoint: 'e', sandbox: 'box' });
    const second = system.send('JoinEndpoint', { network: 'b', endpoint: 'e', sandbox: 'box' });
    assert.equal((await second.first).kind, 'accepted');
    release();
    assert.equal((await failing.outcome).status, 'failed');
    assert.equal((await second.outcome).status, 'succeeded');
    await system.run('JoinEndpoint', { network: 'c', endpoint: 'e', sandbox: 'box' });
    assert.deepEqual(routes(), ['0.0.0.0/0 via 10.2.0.1 dev eth1', '::/0 via fd00:2::1 dev eth1']);
    await system.check();
  });

  it('uses a namespace that a caller brought, and leaves it there', async () => {
    await networks('a', 'b');
    machine.addNamespace('/run/guest');
    for (const network of ['a', 'b']) await system.run('CreateEndpoint', { network, name: 'e' });
    const brought = { sandbox: 'box', netns: '/run/guest' };
    const joined = await system.run('JoinEndpoint', { network: 'a', endpoint: 'e', ...brought });
    assert.equal(joined.sandbox?.key, '/run/guest');
    await system.run('JoinEndpoint', { network: 'b', endpoint: 'e', ...brought });
    assert.equal(routes().length, 2);
    await system.run('DetachSandbox', { sandbox: 'box' });
    assert.deepEqual([of('netns'), of('veth'), of('route')], [[], [], []]);
    assert.ok(machine.hasNamespace('/run/guest'));
    await system.check();
    const missing = await system.outcomeOf('JoinEndpoint', {
      network: 'a',
      endpoint: 'e',
      sandbox: 'no',
      netns: '/run/none',
    });
    assert.equal(missing.fault?.code, 'NETNS_UNUSABLE');
    await system.check();
  });

  it('removes what a removal left behind when it is asked again', async () => {
    await networks('a', 'b');
    await system.run('CreateEndpoint', { network: 'a', name: 'e' });
    await system.run('JoinEndpoint', { network: 'a', endpoint: 'e', sandbox: 'box' });
    machine.fail({ when: onEndpoint('delete', await bridgeOf('a')) });
    const left = await system.outcomeOf('LeaveEndpoint', { network: 'a', endpoint: 'e' });
    assert.equal(left.fault?.code, 'KERNEL_ERROR');
    assert.equal(of('veth').length, 1);
    machine.heal();
    await system.run('DeleteEndpoint', { network: 'a', endpoint: 'e' });
    assert.deepEqual([of('veth'), of('netns')], [[], []]);
    await system.run('DeleteNetwork', { network: 'a' });
    await system.check();
  });

  it('makes a sandbox anew at a place where the removal of an earlier one had failed', async () => {
    await networks('a');
    await system.run('CreateEndpoint', { network: 'a', name: 'e' });
    await system.run('JoinEndpoint', { network: 'a', endpoint: 'e', sandbox: 'box' });
    machine.fail({ when: ({ op, object }) => op === 'delete' && object.kind === 'netns' });
    const left = await system.outcomeOf('DetachSandbox', { sandbox: 'box' });
    assert.equal(left.status, 'failed');
    machine.heal();
    await attach('box', 'a');
    assert.deepEqual([of('netns').length, of('veth').length], [1, 1], 'nothing is left of the earlier one');
    await system.check();
    const lives = (await system.events()).filter(({ type }) => type.startsWith('Sandbox')).map(({ type }) => type);
    assert.deepEqual(lives, ['SandboxCreated', 'SandboxRemoved', 'SandboxCreated']);
  });

  it('removes belatedly what could not be removed, without being asked again', async () => {
    await networks('a');
    await attach('box', 'a');
    machine.fail({ when: ({ op, object }) => op === 'delete' && object.kind === 'netns' });
    assert.equal((await system.outcomeOf('DetachSandbox', { sandbox: 'box' })).status, 'failed');
    machine.heal();
    await system.check();
    assert.deepEqual([of('netns'), of('veth')], [[], []]);
  });

  it('does not delete a network under an endpoint that could not be removed', async () => {
    await networks('a');
    await attach('box', 'a');
    machine.fail({ when: onEndpoint('delete', await bridgeOf('a')) });
    const release = machine.hang();
    const detached = system.send('DetachSandbox', { sandbox: 'box' });
    const deleted = system.send('DeleteNetwork', { network: 'a' });
    assert.equal((await deleted.first).kind, 'accepted');
    release();
    assert.equal((await detached.outcome).status, 'failed');
    assert.equal((await deleted.outcome).fault?.code, 'DEPENDENCY_FAILED');
    assert.equal(of('bridge').length, 1);
    machine.heal();
    const { endpoints } = await system.quiet();
    const [stuck] = [...endpoints.values()];
    const network = stuck?.facts.networkId ?? '';
    await system.run('DeleteEndpoint', { network, endpoint: stuck?.facts.id ?? '' });
    await system.run('DeleteNetwork', { network });
    assert.deepEqual(machine.objects(), []);
    await system.check();
  });

  it('detaches what others have destroyed', async () => {
    await networks('a', 'b');
    for (const network of ['a', 'b']) await system.run('CreateEndpoint', { network, name: 'e' });
    for (const network of ['a', 'b']) await system.run('JoinEndpoint', { network, endpoint: 'e', sandbox: 'box' });
    for (const object of [...of('netns'), ...of('veth'), ...of('route')]) {
      const path = object.kind === 'netns' ? object.path : '';
      if (path) machine.removeNamespace(path);
      if (object.kind === 'netns') machine.tamper(`netns ${path}`, null);
    }
    await system.run('LeaveEndpoint', { network: 'a', endpoint: 'e' });
    await system.run('DetachSandbox', { sandbox: 'box' });
    await system.check();
  });

  it('reports a failure of the kernel whose undoing failed only when it is undone', async () => {
    await networks('a', 'b');
    const debris: KernelObject[] = [];
    machine.fail({
      when: ({ op, object }) => {
        if (op !== 'create' || object.kind !== 'veth' || object.bridge === '') return false;
        debris.push(object);
        return true;
      },
      undoFaults: ['remove veth: EBUSY'],
      once: true,
    });
    const kernel = memoryKernel(machine, { realm, host });
    const { apply } = kernel;
    await system.stopWorker();
    let removals = 0;
    // What the kernel could not undo stays, and cannot be removed twice more.
    const stubborn = async (...args: Parameters<typeof apply>): ReturnType<typeof apply> => {
      const results = await apply(...args);
      for (const object of debris.splice(0))
        machine.tamper('link debris', { ...object, name: 'debris' } as KernelObject);
      return results;
    };
    machine.fail({ when: ({ op, object }) => op === 'delete' && object.kind === 'veth' && removals++ < 2 });
    await system.startWorker({ kernel: { ...kernel, apply: stubborn } });
    const outcome = await system.outcomeOf('AttachSandbox', { sandbox: 'box', networks: [{ network: 'a' }] });
    assert.equal(outcome.status, 'failed');
    assert.equal(removals, 3);
    assert.deepEqual([of('veth'), of('netns')], [[], []]);
    await system.check();
  });

  it('refuses a bridge that is somebody else’s, and leaves it alone', async () => {
    machine.addForeign('link br-theirs', 'somebody');
    const options = { 'com.docker.network.bridge.name': 'br-theirs' };
    const outcome = await system.outcomeOf('CreateNetwork', { name: 'a', options });
    assert.equal(outcome.fault?.code, 'FOREIGN_OBJECT');
    assert.deepEqual([machine.foreign, machine.objects()], [['link br-theirs'], []]);
    await system.check();
  });

  it('keeps units apart: what one of them meets is nothing to the others of its batch', async () => {
    await networks('a', 'b');
    machine.fail({ when: onEndpoint('create', await bridgeOf('b')) });
    const release = machine.hang();
    const sent = Array.from({ length: 100 }, (_, index) =>
      system.send('AttachSandbox', { sandbox: `box${index}`, networks: [{ network: index % 10 === 3 ? 'b' : 'a' }] }),
    );
    for (const { first } of sent) assert.equal((await first).kind, 'accepted');
    release();
    const outcomes = await Promise.all(sent.map(({ outcome }) => outcome));
    assert.equal(outcomes.filter(({ status }) => status === 'failed').length, 10);
    assert.equal(of('veth').length, 90);
    await system.check();
  });
});
