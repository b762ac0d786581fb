/** Workers that end, come back, or are two; logs that are away; kernels that hold other things than the log says. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { type KernelObject, objectKey, type Tag } from '../../drivers/objects.ts';
import { atWork } from '../support/late-stage.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import type { MemoryStream } from '../support/memory-stream.ts';
import { mortal } from '../support/mortal.ts';
import { waitFor } from '../support/nats.ts';
import { host, memoryStreams, realm, System } from '../support/system.ts';

describe('a worker that starts', () => {
  let machine = new MemoryMachine();
  let log: MemoryStream;
  let system: System;
  const kernel = () => memoryKernel(machine, { realm, host });
  const byKey = (objects: readonly KernelObject[]): readonly KernelObject[] =>
    objects.toSorted((a, b) => (objectKey(a) < objectKey(b) ? -1 : 1));
  const attach = (sandbox: string, ...names: string[]) =>
    system.run('AttachSandbox', { sandbox, networks: names.map((network) => ({ network })) });
  const populate = async (): Promise<void> => {
    for (const [index, name] of ['a', 'b'].entries()) {
      const subnets = [{ subnet: `10.${index + 1}.0.0/24` }, { subnet: `fd00:${index + 1}::/64` }];
      await system.run('CreateNetwork', { name, ipv6: true, internal: name === 'b', ipam: { subnets } });
    }
    await attach('one', 'a');
    await attach('two', 'a', 'b');
    machine.addNamespace('/run/guest');
    await system.run('AttachSandbox', { sandbox: 'three', netns: '/run/guest', networks: [{ network: 'b' }] });
  };
  const tag = (entity: Tag['entity'], id: string, more: Partial<Tag> = {}): Tag => ({
    realm,
    host,
    entity,
    id,
    ...more,
  });

  beforeEach(async () => {
    machine = new MemoryMachine();
    const streams = memoryStreams();
    log = streams.log;
    system = await new System({ ...streams, kernel: kernel(), runDir: '/run/cnm' }).start();
  });
  afterEach(() => system.stop());

  it('changes nothing where the kernel is as the log says', async () => {
    await populate();
    await system.stopWorker();
    const before = machine.log.length;
    await system.startWorker();
    assert.deepEqual(machine.log.slice(before), []);
    await system.check();
  });

  it('makes again what is gone, as after a boot', async () => {
    await populate();
    const before = byKey(machine.objects());
    await system.stopWorker();
    for (const object of before) {
      machine.tamper(objectKey(object), null);
      if (object.kind === 'netns') machine.removeNamespace(object.path);
    }
    machine.addNamespace('/run/guest');
    await system.startWorker();
    assert.deepEqual(byKey(machine.objects()), before);
    await system.check();
  });

  it('makes again what is there when something else cannot be', async () => {
    await populate();
    const guest = (object: KernelObject) =>
      ('netns' in object && object.netns === '/run/guest') || (object.kind === 'netns' && object.path === '/run/guest');
    const before = byKey(machine.objects().filter((object) => !guest(object)));
    await system.stopWorker();
    for (const object of machine.objects()) {
      machine.tamper(objectKey(object), null);
      if (object.kind === 'netns') machine.removeNamespace(object.path);
    }
    await system.startWorker();
    assert.deepEqual(byKey(machine.objects()), before);
    await system.run('DetachSandbox', { sandbox: 'three' });
    await system.check();
  });

  it('makes a sandbox again while a join into it is pending', async () => {
    await populate();
    await system.run('CreateEndpoint', { network: 'b', name: 'e' });
    await system.stopWorker();
    const join = system.send('JoinEndpoint', { network: 'b', endpoint: 'e', sandbox: 'one' });
    await join.first;
    const [netns] = machine.objects().filter((object) => object.kind === 'netns' && object.path.endsWith('/one'));
    assert.ok(netns);
    machine.removeNamespace('/run/cnm/netns/one');
    machine.tamper(objectKey(netns), null);
    await system.startWorker();
    assert.equal((await join.outcome).status, 'succeeded');
    const devices = machine
      .objects()
      .flatMap((object) => (object.kind === 'veth' && object.netns.endsWith('/one') ? [object.peer.name] : []));
    assert.deepEqual(devices.sort(), ['eth0', 'eth1']);
    await system.check();
  });

  it('removes orphans of its own, and nothing of anybody else’s', async () => {
    await populate();
    const before = byKey(machine.objects());
    await system.stopWorker();
    const orphans: KernelObject[] = [
      { kind: 'netns', path: '/run/cnm/netns/gone', owned: true, tag: tag('sandbox', 'gone') },
      {
        kind: 'bridge',
        name: 'cbgone',
        mac: '02:cb:00:00:00:01',
        mtu: 1500,
        addresses: [],
        routed: true,
        tag: tag('network', 'gone'),
      },
      { kind: 'element', set: 'bridges', key: ['cbgone'], data: [], tag: tag('network', 'gone') },
    ];
    const others: KernelObject[] = [
      { kind: 'element', set: 'bridges', key: ['x'], data: [], tag: tag('network', 'x', { host: 'h2' }) },
      { kind: 'element', set: 'bridges', key: ['y'], data: [], tag: tag('network', 'y', { realm: 'other' }) },
    ];
    for (const object of [...orphans, ...others]) machine.tamper(objectKey(object), object);
    machine.addForeign('link docker0', 'docker');
    const first = machine.log.length;
    await system.startWorker();
    assert.deepEqual(byKey(machine.objects(realm, host)), before);
    assert.equal(machine.objects().length, before.length + others.length);
    assert.deepEqual(
      machine.log.slice(first).sort(),
      orphans.map((object) => `delete ${objectKey(object)}`).sort(),
      'only the orphans are touched',
    );
    await system.check();
  });

  it('neither deletes nor makes anew what it cannot read', async () => {
    await populate();
    const orphan: KernelObject = { kind: 'netns', path: '/run/cnm/netns/dim', owned: true, tag: tag('sandbox', 'dim') };
    machine.tamper(objectKey(orphan), orphan);
    await system.stopWorker();
    const unreadable = ['/run/cnm/netns/two', '/run/cnm/netns/dim'];
    for (const path of unreadable) machine.setUnreadable(path, true);
    const before = machine.log.length;
    await system.startWorker();
    assert.deepEqual(machine.log.slice(before), []);
    for (const path of unreadable) machine.setUnreadable(path, false);
    await system.run('DetachSandbox', { sandbox: 'two' });
    await system.stopWorker();
    await system.startWorker();
    await system.check();
  });

  it('finishes what an earlier one was killed at, whatever call that was', async () => {
    await populate();
    const script = async (round: string): Promise<void> => {
      const sent = [
        system.send('CreateNetwork', { name: `n${round}`, ipam: { subnets: [{ subnet: '10.9.0.0/24' }] } }),
        system.send('AttachSandbox', { sandbox: `s${round}`, networks: [{ network: 'a' }, { network: `n${round}` }] }),
        system.send('CreateEndpoint', { network: 'b', name: `e${round}` }),
        system.send('JoinEndpoint', { network: 'b', endpoint: `e${round}`, sandbox: `s${round}` }),
        system.send('DetachSandbox', { sandbox: 'one' }),
        system.send('AttachSandbox', { sandbox: 'one', networks: [{ network: 'a' }] }),
        system.send('LeaveEndpoint', { network: 'a', endpoint: `s${round}` }),
        system.send('DetachSandbox', { sandbox: `s${round}` }),
        system.send('DeleteEndpoint', { network: 'b', endpoint: `e${round}` }),
        system.send('DeleteEndpoint', { network: 'a', endpoint: `s${round}` }),
        system.send('DeleteNetwork', { network: `n${round}` }),
      ];
      for (const { first } of sent) assert.equal((await first).kind, 'accepted');
    };
    let calls = 0;
    for (let fatal = 0; ; fatal++) {
      calls = 0;
      await system.stopWorker();
      const doomed = mortal({ log, kernel: kernel() }, (_, kill) => {
        if (calls++ === fatal) kill();
      });
      void system.startWorker(doomed).catch(() => undefined);
      await script(String(fatal));
      await waitFor(async () => doomed.dead || (await system.state()).intents.size === 0, { what: 'an end' });
      const survived = !doomed.dead;
      if (survived) break;
      await system.startWorker();
      await system.check();
      const inKernel = machine.objects();
      assert.equal(inKernel.filter(({ kind }) => kind === 'netns').length, 3, `killed at call ${fatal}`);
      assert.equal(inKernel.filter(({ kind }) => kind === 'bridge').length, 2);
    }
    assert.ok(calls > 15, `${calls} calls were tried`);
  });
});

describe('a worker and its log', () => {
  let machine = new MemoryMachine();
  let log: MemoryStream;
  let commands: MemoryStream;
  let system: System;
  const kernel = () => memoryKernel(machine, { realm, host });

  const send = (sandbox: string) => system.send('AttachSandbox', { sandbox, networks: [{ network: 'a' }] });

  beforeEach(async () => {
    machine = new MemoryMachine();
    ({ log, commands } = memoryStreams());
    system = await new System({ log, commands, kernel: kernel(), runDir: '/run/cnm' }).start();
    await system.run('CreateNetwork', { name: 'a' });
  });
  afterEach(() => system.stop());

  it('stops when another worker of its host starts, and does not act any more', async () => {
    const first = system.worker;
    assert.ok(first);
    const second = await system.startWorker({ kernel: kernel() });
    await assert.rejects(first.failed, { code: 'WORKER_FENCED' });
    await first.stop();
    await system.run('AttachSandbox', { sandbox: 'box', networks: [{ network: 'a' }] });
    await system.check();
    assert.equal(machine.log.filter((line) => line.startsWith('create netns')).length, 1, 'one of them has acted');
    assert.equal(system.worker, second);
  });

  it('is fenced while it executes, and reports nothing', async () => {
    const first = system.worker;
    assert.ok(first);
    const { sent, release } = await atWork(machine, () => send('box'));
    const other = new MemoryMachine();
    const started = system.startWorker({ kernel: memoryKernel(other, { realm, host }) });
    await assert.rejects(first.failed, { code: 'WORKER_FENCED' });
    release();
    await started;
    assert.equal((await sent.outcome).status, 'succeeded');
    await first.stop();
    const joined = (await system.events()).filter(({ type }) => type === 'EndpointJoined');
    assert.equal(joined.length, 1);
    const chain = new Set((await system.messages()).map((message) => message.header('Cnm-Prev-Hash')));
    assert.equal(chain.size, (await system.messages()).length - 2, 'three subjects, each with a chain of its own');
  });

  it('takes over from one that reports all the time', async () => {
    for (let round = 0; round < 5; round++) {
      const before = system.worker;
      const sent = Array.from({ length: 40 }, (_, index) => send(`box${round}x${index}`));
      await sent[0]?.outcome;
      await system.startWorker({ kernel: kernel() });
      for (const { outcome } of sent) assert.equal((await outcome).status, 'succeeded');
      await before?.stop();
    }
    assert.equal(machine.objects().filter(({ kind }) => kind === 'netns').length, 200);
    await system.check();
  });

  it('waits while the log is away, and loses nothing', async () => {
    const release = machine.hang();
    const sent = Array.from({ length: 50 }, (_, index) => send(`box${index}`));
    for (const { first } of sent) await first;
    log.disconnect();
    release();
    await waitFor(() => machine.objects().filter(({ kind }) => kind === 'netns').length === 50, { what: 'the work' });
    await new Promise((resolve) => setTimeout(resolve, 50));
    log.connect();
    for (const { outcome } of sent) assert.equal((await outcome).status, 'succeeded');
    await system.check();
  });

  it('reports once, whatever becomes of its appends', async () => {
    for (const [index, outcome] of (['lost', 'unacknowledged', 'conflict'] as const).entries()) {
      const { sent, release } = await atWork(machine, () => send(`box${index}`));
      log.injectNext(outcome, outcome);
      release();
      assert.equal((await sent.outcome).status, 'succeeded');
    }
    await system.check();
    const ids = (await system.events()).map(({ meta }) => meta.id);
    assert.equal(new Set(ids).size, ids.length, 'no event is stored twice');
  });

  it('stops in time while the log is away, and the next one finishes', async () => {
    const release = machine.hang();
    const sent = send('box');
    await sent.first;
    log.disconnect();
    release();
    await waitFor(() => machine.objects().some(({ kind }) => kind === 'netns'), { what: 'the work' });
    await system.stopWorker();
    log.connect();
    await system.startWorker();
    assert.equal((await sent.outcome).status, 'succeeded');
    await system.check();
  });

  it('makes again what was taken away under it, once an attach has failed for that', async () => {
    await system.run('AttachSandbox', { sandbox: 'one', networks: [{ network: 'a' }] });
    for (const object of machine.objects()) if (object.kind === 'bridge') machine.tamper(objectKey(object), null);
    const failing = await system.outcomeOf('AttachSandbox', { sandbox: 'two', networks: [{ network: 'a' }] });
    assert.equal(failing.fault?.errno, 'ENODEV');
    await system.check();
    await system.run('AttachSandbox', { sandbox: 'two', networks: [{ network: 'a' }] });
  });

  it('says that its kernel is gone', async () => {
    const broken = kernel();
    await broken.close();
    await assert.rejects(system.startWorker({ kernel: broken }), /kernel is closed/);
    const dying = kernel();
    const worker = await system.startWorker({ kernel: dying });
    await dying.close();
    void send('box');
    await assert.rejects(worker.failed, /kernel is closed/);
    await system.startWorker();
    await system.check();
  });
});
