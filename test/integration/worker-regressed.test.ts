/** A log that is an older copy of what a host's worker had read (pain 31): nothing is torn down, nothing in use is given to others. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { type KernelObject, objectKey } from '../../drivers/objects.ts';
import type { EventOf } from '../../events/envelope.ts';
import { isRegressed } from '../../services/nats/fault.ts';
import { memoryJournal } from '../support/memory-journal.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import type { MemoryStream } from '../support/memory-stream.ts';
import { waitFor } from '../support/nats.ts';
import { host, memoryStreams, realm, System } from '../support/system.ts';

describe('a log that has shrunk', () => {
  let machine = new MemoryMachine();
  let log: MemoryStream;
  let commands: MemoryStream;
  let system: System;
  let journal = memoryJournal();
  /** Positions of both streams when the copy was made. */
  let copy = { log: 0, commands: 0 };
  const publish = [{ hostPort: 8080, port: 80 }];
  const attach = (sandbox: string, more: { readonly ports?: typeof publish; readonly ipv4?: string } = {}) => {
    const { ports = [], ipv4 } = more;
    const interfaces = ipv4 === undefined ? [] : [{ ipv4 }];
    return { sandbox, networks: [{ network: 'web', ports, interfaces }] };
  };
  const shown = (): readonly string[] => machine.objects().map(objectKey).sort();
  const addressOf = (sandbox: string): string => {
    const veth = machine.objects().find((one) => one.kind === 'veth' && one.netns.endsWith(`/${sandbox}`));
    return veth?.kind === 'veth' ? ((veth.peer.addresses[0] ?? '').split('/')[0] ?? '') : '';
  };
  const regressions = async (): Promise<readonly EventOf<'LogRegressed'>[]> =>
    (await system.events()).filter((event) => event.type === 'LogRegressed');

  beforeEach(async () => {
    machine = new MemoryMachine();
    journal = memoryJournal();
    const streams = memoryStreams();
    ({ log, commands } = streams);
    const kernel = memoryKernel(machine, { realm, host });
    system = await new System({ ...streams, kernel, runDir: '/run/cnm', journal }).start();
    await system.run('CreateNetwork', { name: 'web', ipam: { subnets: [{ subnet: '10.1.0.0/24' }] } });
    await system.run('AttachSandbox', attach('before'));
    await system.run('AttachSandbox', attach('gone'));
    copy = { log: log.stored().length, commands: commands.stored().length };
    await system.run('AttachSandbox', attach('after', { ports: publish }));
    await system.run('CreateNetwork', { name: 'late', ipam: { subnets: [{ subnet: '10.2.0.0/24' }] } });
    await system.run('AttachSandbox', { sandbox: 'latest', networks: [{ network: 'late' }] });
    await system.run('DetachSandbox', { sandbox: 'gone' });
  });
  afterEach(() => system.stop());

  /** The server comes back with the copy; whoever runs cannot go on. */
  const shrink = async (): Promise<void> => {
    const [worker, controller] = [system.worker, system.controller];
    log.rewind(copy.log);
    commands.rewind(copy.commands);
    await assert.rejects(worker?.failed ?? Promise.resolve(), isRegressed);
    await controller?.stop().catch(() => undefined);
    await system.stopWorker();
  };
  /** And is started anew. */
  const comeBack = async (): Promise<void> => {
    await shrink();
    await system.start();
  };

  it('stops changing the kernel, says so once, and gives nothing that is in use to others', async () => {
    const [objects, changes] = [shown(), machine.log.length];
    const held = addressOf('after');
    await comeBack();
    assert.deepEqual(shown(), objects);
    assert.equal(machine.log.length, changes, 'nothing was asked of the kernel');
    const [event, ...more] = await regressions();
    assert.equal(more.length, 0);
    assert.ok(event?.data.stopped);
    assert.ok(event.data.seen.position > event.data.found.position);
    assert.equal(event.data.seen.epoch, event.data.found.epoch);
    const all = event.data.held.flatMap(({ addresses }) => addresses);
    assert.deepEqual([...all].sort(), [held, addressOf('latest')].sort());
    assert.deepEqual(
      event.data.held.flatMap(({ subnets }) => subnets),
      ['10.2.0.0/24'],
    );
    const names = event.data.held.flatMap((one) => one.names);
    assert.ok(['after', 'latest'].every((sandbox) => names.includes(`/run/cnm/netns/${sandbox}`)));
    assert.deepEqual(
      event.data.held.flatMap(({ ports }) => ports.map(({ hostPort }) => hostPort)),
      [8080],
    );
    assert.equal(await system.refusal('AttachSandbox', attach('new')), 'HOST_REGRESSED');
    const problems = () => system.worker?.look().problems?.map(({ code }) => code);
    assert.deepEqual(problems(), ['HOST_STOPPED'], 'it is not ready');
    assert.equal(await system.refusal('DetachSandbox', { sandbox: 'before' }), 'HOST_REGRESSED');
    await system.stopWorker();
    await system.startWorker();
    assert.equal((await regressions()).length, 1, 'a worker that starts again does not say it again');
    assert.deepEqual(shown(), objects);
  });

  it('keeps what the log does not know, until it is to be removed', async () => {
    const [held, objects] = [addressOf('after'), new Set(shown())];
    await comeBack();
    await system.run('ResumeHost', { host, held: 'keep' });
    assert.deepEqual(system.worker?.look().problems, []);
    await system.run('AttachSandbox', attach('new'));
    for (const key of objects) assert.ok(shown().includes(key), `${key} is there`);
    assert.notEqual(addressOf('new'), held);
    assert.equal(await system.refusal('AttachSandbox', attach('other', { ipv4: held })), 'ADDRESS_IN_USE');
    assert.equal(await system.refusal('AttachSandbox', attach('other', { ports: publish })), 'PORT_IN_USE');
    assert.equal(await system.refusal('AttachSandbox', attach('after')), 'SANDBOX_CONFLICT');
    const subnets = [{ subnet: '10.2.0.0/25' }];
    assert.equal(await system.refusal('CreateNetwork', { name: 'over', ipam: { subnets } }), 'SUBNET_OVERLAPS');
    assert.equal(await system.refusal('ResumeHost', { host, held: 'keep' }), 'HOST_NOT_STOPPED');
    await system.stopWorker();
    await system.startWorker();
    for (const key of objects) assert.ok(shown().includes(key), `${key} is there after another start`);
    await system.run('ResumeHost', { host, held: 'remove' });
    await system.check();
    await system.run('AttachSandbox', attach('after', { ipv4: held, ports: publish }));
    await system.run('CreateNetwork', { name: 'over', ipam: { subnets } });
    assert.equal(await system.refusal('ResumeHost', { host, held: 'remove' }), 'HOST_NOT_STOPPED');
    await system.check();
  });

  it('removes what the log does not know, and makes what it does, when that is said', async () => {
    await comeBack();
    await system.run('ResumeHost', { host, held: 'remove' });
    const objects: readonly KernelObject[] = await system.check();
    const paths = objects.flatMap((object) => (object.kind === 'netns' ? [object.path] : []));
    // Its detach was acknowledged, and is lost: it is back, and can be detached again.
    assert.deepEqual(paths.sort(), ['/run/cnm/netns/before', '/run/cnm/netns/gone']);
    for (const sandbox of ['before', 'gone']) await system.run('DetachSandbox', { sandbox });
    await system.run('DeleteNetwork', { network: 'web' });
    assert.deepEqual(await system.check(), []);
  });

  it('reports as done what was under way in the copy and is there', async () => {
    // The copy ends with the decision of an attach, whose report came later.
    const stored = log.stored();
    const decided = stored.findIndex(({ body }) => Buffer.from(body).includes('"id":"after"'));
    copy = { ...copy, log: decided + 1 };
    const objects = shown();
    await comeBack();
    const state = await system.quiet();
    assert.equal(state.intents.size, 0);
    const sandbox = state.sandboxes.get(state.sandboxIds.get('after') ?? '');
    assert.equal(sandbox?.status, 'ready');
    await system.run('ResumeHost', { host, held: 'keep' });
    for (const key of objects) assert.ok(shown().includes(key), `${key} is there`);
    await system.run('DetachSandbox', { sandbox: 'after' });
  });

  it('takes back what was decided before anybody knew, where that is held, and holds it on', async () => {
    const held = addressOf('after');
    await shrink();
    // A controller is back before the worker, and gives away what the copy does not know to be in use.
    await system.startController();
    const clashing = [
      system.send('AttachSandbox', attach('thief', { ipv4: held })),
      system.send('AttachSandbox', attach('usurper', { ports: publish })),
      system.send('AttachSandbox', attach('after')),
      system.send('CreateNetwork', { name: 'over', ipam: { subnets: [{ subnet: '10.2.0.0/25' }] } }),
    ];
    const harmless = [
      system.send('AttachSandbox', attach('new', { ipv4: '10.1.0.99' })),
      system.send('DetachSandbox', { sandbox: 'before' }),
    ];
    for (const { first } of [...clashing, ...harmless]) assert.equal((await first).kind, 'accepted');
    const objects = new Set(shown());
    await system.startWorker();
    assert.deepEqual(new Set(shown()), objects, 'nothing is done before somebody says so');
    await system.run('ResumeHost', { host, held: 'keep' });
    for (const { outcome } of clashing) {
      const { status, fault } = await outcome;
      assert.deepEqual([status, fault?.code], ['failed', 'HOST_REGRESSED'], fault?.text);
    }
    for (const { outcome } of harmless) assert.equal((await outcome).status, 'succeeded');
    assert.equal(addressOf('after'), held);
    const users = machine.objects().flatMap((one) => (one.kind === 'veth' ? one.peer.addresses : []));
    assert.equal(users.filter((address) => address.startsWith(`${held}/`)).length, 1);
    // What nobody got is held for the kernel again.
    assert.equal(await system.refusal('AttachSandbox', attach('other', { ipv4: held })), 'ADDRESS_IN_USE');
    assert.equal(await system.refusal('AttachSandbox', attach('other', { ports: publish })), 'PORT_IN_USE');
    await system.run('ResumeHost', { host, held: 'remove' });
    await system.check();
  });

  it('goes on where the kernel has nothing of ours', async () => {
    await system.stop();
    for (const object of machine.objects()) {
      machine.tamper(objectKey(object), null);
      if (object.kind === 'netns') machine.removeNamespace(object.path);
    }
    log.rewind(copy.log);
    commands.rewind(copy.commands);
    await system.start();
    const [event] = await regressions();
    assert.equal(event?.data.stopped, false);
    await waitFor(() => addressOf('before') !== '', { what: 'what the log knows to be made again' });
    await system.run('AttachSandbox', attach('new'));
    await system.check();
  });
});
