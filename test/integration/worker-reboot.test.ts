/** A host that was booted anew (pain 22): its kernel is empty, the log is what it was, and each sandbox says what is to become of it. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { pino } from 'pino';
import { type KernelObject, objectKey } from '../../drivers/objects.ts';
import type { Kernel } from '../../drivers/port.ts';
import type { CommandInput } from '../../events/commands.ts';
import type { EventOf } from '../../events/envelope.ts';
import { type Collector, createCollector } from '../../services/collector/collector.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { waitFor } from '../support/nats.ts';
import { host, memoryStreams, realm, System } from '../support/system.ts';

type Policy = NonNullable<CommandInput<'AttachSandbox'>['afterReboot']>;

describe('a host that was booted anew', () => {
  let machine = new MemoryMachine();
  let streams = memoryStreams();
  let system: System;
  let collector: Collector | null = null;
  let boot = 1;
  const kernel = (): Kernel => {
    const made = memoryKernel(machine, { realm, host });
    return { ...made, facts: async () => ({ ...(await made.facts()), bootId: `boot-${boot}` }) };
  };
  const shown = (): readonly KernelObject[] =>
    machine.objects().toSorted((a, b) => (objectKey(a) < objectKey(b) ? -1 : 1));
  const inSandbox = (sandbox: string): readonly KernelObject[] =>
    shown().filter((object) => 'netns' in object && object.netns === `/run/cnm/netns/${sandbox}`);
  const attach = (sandbox: string, afterReboot: Policy, hostPort: number) =>
    system.run('AttachSandbox', {
      sandbox,
      afterReboot,
      networks: [{ network: 'web', ports: [{ hostPort, port: 80 }] }],
    });
  const startCollector = async (): Promise<void> => {
    collector = createCollector({
      ...streams,
      realm,
      clock: systemClock,
      logger: pino({ level: 'silent' }),
      confirmMs: 1,
    });
    await collector.start();
  };
  const reboot = async (): Promise<void> => {
    await collector?.stop();
    await system.stop();
    for (const object of machine.objects()) {
      machine.tamper(objectKey(object), null);
      if (object.kind === 'netns') machine.removeNamespace(object.path);
    }
    boot++;
    system = await new System({ ...streams, kernel: kernel(), runDir: '/run/cnm' }).start();
    await startCollector();
  };
  const told = async <T extends 'SandboxLost' | 'SandboxRestored' | 'SandboxReclaimed'>(
    type: T,
  ): Promise<readonly EventOf<T>[]> =>
    (await system.events()).filter((event): event is EventOf<T> => event.type === type);
  const sandboxes = async (type: 'SandboxLost' | 'SandboxRestored' | 'SandboxReclaimed') =>
    (await told(type)).map(({ data }) => data.sandbox.id);

  beforeEach(async () => {
    [machine, streams, boot] = [new MemoryMachine(), memoryStreams(), 1];
    system = await new System({ ...streams, kernel: kernel(), runDir: '/run/cnm' }).start();
    await startCollector();
    await system.run('CreateNetwork', { name: 'web', ipam: { subnets: [{ subnet: '10.1.0.0/24' }] } });
  });
  afterEach(async () => {
    await collector?.stop();
    await system.stop();
  });

  it('makes again what is to be, with the same addresses, MACs and ports, and says so with the boot', async () => {
    await attach('again', 'recreate', 8001);
    await attach('too', 'recreate', 8002);
    const before = shown();
    await reboot();
    await waitFor(async () => (await sandboxes('SandboxRestored')).length === 2, { what: 'both to be there again' });
    assert.deepEqual(shown(), before);
    assert.deepEqual([...(await sandboxes('SandboxRestored'))].sort(), ['again', 'too']);
    assert.ok((await told('SandboxRestored')).every(({ data }) => data.bootId === 'boot-2'));
    assert.deepEqual(await sandboxes('SandboxLost'), []);
    await system.stopWorker();
    await system.startWorker();
    assert.equal((await sandboxes('SandboxRestored')).length, 2, 'a start without a boot says nothing');
    await system.check();
  });

  it('releases what is to be released, once: its name, address and port are free', async () => {
    const { endpoints } = await attach('gone', 'release', 8001);
    await reboot();
    await waitFor(async () => (await system.state()).sandboxes.size === 0, { what: 'it to be released' });
    assert.deepEqual(await sandboxes('SandboxLost'), ['gone']);
    const released = (await system.events()).filter(({ meta }) => meta.commandtype === 'ReleaseSandbox');
    assert.deepEqual([...new Set(released.map(({ meta }) => meta.commandid))].length, 1);
    assert.deepEqual(inSandbox('gone'), []);
    const ipv4 = endpoints[0]?.ipv4?.split('/')[0] ?? '';
    const networks = [{ network: 'web', interfaces: [{ ipv4 }], ports: [{ hostPort: 8001, port: 80 }] }];
    await system.run('AttachSandbox', { sandbox: 'gone', networks });
    await system.check();
  });

  it('holds addresses and ports until the deadline, and makes it again for whoever wants it back', async () => {
    await attach('held', 3_600_000, 8001);
    await attach('brief', 1_000, 8002);
    const before = inSandbox('held');
    await reboot();
    await waitFor(async () => !(await system.state()).sandboxIds.has('brief'), { what: 'the brief one to end' });
    assert.deepEqual([...(await sandboxes('SandboxLost'))].sort(), ['brief', 'held']);
    assert.deepEqual(inSandbox('held'), [], 'nothing of it is in the kernel');
    const held = (await system.state()).sandboxes.get((await system.state()).sandboxIds.get('held') ?? '');
    assert.equal(held?.lost?.bootId, 'boot-2');
    const [address = ''] = before.flatMap((one) => (one.kind === 'veth' ? one.peer.addresses : []));
    const ipv4 = address.split('/')[0] ?? '';
    const wanted = { sandbox: 'other', networks: [{ network: 'web', interfaces: [{ ipv4 }] }] };
    assert.equal(await system.refusal('AttachSandbox', wanted), 'ADDRESS_IN_USE');
    const joins = { sandbox: 'held', networks: [{ network: 'web', name: 'second' }] };
    assert.equal(await system.refusal('AttachSandbox', joins), 'SANDBOX_LOST');
    await system.run('RestoreSandbox', { sandbox: 'held' });
    await waitFor(async () => (await sandboxes('SandboxRestored')).includes('held'), { what: 'it to be there again' });
    assert.deepEqual(inSandbox('held'), before);
    assert.equal(await system.refusal('RestoreSandbox', { sandbox: 'held' }), 'SANDBOX_NOT_LOST');
    await system.run('DetachSandbox', { sandbox: 'held' });
    await system.check();
  });

  it('says once that a namespace of its caller is gone, whatever was asked for, and ends it', async () => {
    machine.addNamespace('/run/guest');
    const networks = [{ network: 'web' }];
    await system.run('AttachSandbox', { sandbox: 'guest', netns: '/run/guest', networks });
    await reboot();
    await waitFor(async () => (await system.state()).sandboxes.size === 0, { what: 'it to be released' });
    const [lost, ...more] = await told('SandboxLost');
    assert.deepEqual([lost?.data.reason, lost?.data.sandbox.id, more.length], ['namespace', 'guest', 0]);
    await system.check();
  });

  it('fails what was under way in a sandbox that is lost, and lets it be detached', async () => {
    await attach('held', 3_600_000, 8001);
    await system.stopWorker();
    const joins = system.send('AttachSandbox', { sandbox: 'held', networks: [{ network: 'web', name: 'second' }] });
    assert.equal((await joins.first).kind, 'accepted');
    await reboot();
    const state = await system.quiet();
    const failed = (await system.events()).find(({ type }) => type === 'EndpointJoinFailed');
    assert.ok(failed?.type === 'EndpointJoinFailed' && failed.data.fault.code === 'SANDBOX_LOST');
    assert.equal(state.sandboxes.size, 1);
    await system.run('DetachSandbox', { sandbox: 'held' });
    await system.check();
  });

  it('is late by no more than the start of a collector, and once, with all down when it was due', async () => {
    await attach('brief', 1_000, 8001);
    await reboot();
    await collector?.stop();
    const [lost] = await told('SandboxLost');
    await waitFor(() => Date.now() > Date.parse(lost?.meta.time ?? '') + 1_100, { what: 'the deadline to pass' });
    const others = [0, 1].map(() =>
      createCollector({ ...streams, realm, clock: systemClock, logger: pino({ level: 'silent' }) }),
    );
    await Promise.all(others.map((one) => one.start()));
    await waitFor(async () => (await system.state()).sandboxes.size === 0, { what: 'it to be released' });
    const released = (await system.events()).filter(({ meta }) => meta.commandtype === 'ReleaseSandbox');
    assert.equal(new Set(released.map(({ meta }) => meta.commandid)).size, 1);
    await Promise.all(others.map((one) => one.stop()));
    await system.check();
  });
});
