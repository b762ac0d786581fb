/** Commands whose deadline passes before, while and after the worker executes them: what came too late is taken back. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { KernelObject } from '../../drivers/objects.ts';
import { delayed } from '../support/delayed.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { waitFor } from '../support/nats.ts';
import { host, memoryStreams, realm, type Sent, System } from '../support/system.ts';

describe('a worker and deadlines', () => {
  let machine = new MemoryMachine();
  let system: System;
  let slow: ReturnType<typeof delayed>;
  const kernel = () => memoryKernel(machine, { realm, host });
  const soon = { deadlineMs: 1 };
  const attach = (sandbox: string, ...names: string[]): Sent =>
    system.send('AttachSandbox', { sandbox, networks: names.map((network) => ({ network })) }, soon);
  const outcomes = async (sent: Sent): Promise<readonly string[]> =>
    (await system.events())
      .filter(({ meta }) => meta.commandid === sent.id && meta.commandseq === undefined)
      .map(({ type }) => type);
  const inSandboxes = (): readonly KernelObject[] =>
    machine.objects().filter(({ kind }) => kind === 'netns' || kind === 'veth' || kind === 'route');
  /** The kernel is at work on what was sent, and the deadline passes. */
  const expireDuring = async (sent: Sent): Promise<() => void> => {
    const before = machine.log.length;
    await sent.first;
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(machine.log.length, before);
    await system.expire(sent);
    return () => undefined;
  };

  beforeEach(async () => {
    machine = new MemoryMachine();
    const streams = memoryStreams();
    slow = delayed(streams.log);
    system = new System({ ...streams, kernel: kernel(), runDir: '/run/cnm' });
    await system.startWorker({ log: slow.log });
    await system.startController();
    for (const [index, name] of ['a', 'b', 'c'].entries()) {
      await system.run('CreateNetwork', { name, ipam: { subnets: [{ subnet: `10.${index + 1}.0.0/24` }] } });
    }
  });
  afterEach(() => system.stop());

  it('does nothing for what expired before it was begun', async () => {
    await system.stopWorker();
    const sent = attach('box', 'a', 'b');
    await sent.first;
    await system.expire(sent);
    const before = machine.log.length;
    await system.startWorker();
    await system.check();
    assert.equal(machine.log.length, before);
    assert.equal((await sent.outcome).status, 'timed-out');
    assert.deepEqual(await outcomes(sent), [
      'EndpointCreateFailed',
      'EndpointJoinFailed',
      'EndpointCreateFailed',
      'EndpointJoinFailed',
    ]);
    assert.equal((await system.state()).endpoints.size, 0);
  });

  it('takes back what expired while the kernel was at work', async () => {
    const release = machine.hang();
    const sent = attach('box', 'a', 'b', 'c');
    await expireDuring(sent);
    const before = machine.log.length;
    release();
    await system.check();
    assert.ok(machine.log.length > before, 'it was made before it was taken back');
    assert.deepEqual(inSandboxes(), []);
    assert.ok(!(await outcomes(sent)).includes('EndpointJoined'));
    const { endpoints, sandboxes } = await system.state();
    assert.deepEqual([endpoints.size, sandboxes.size], [0, 0]);
  });

  it('takes back what it had reported before it learned of the deadline', async () => {
    const release = machine.hang();
    const sent = attach('box', 'a', 'b');
    await sent.first;
    await new Promise((resolve) => setTimeout(resolve, 20));
    slow.hold();
    await system.expire(sent);
    release();
    await waitFor(async () => (await outcomes(sent)).includes('EndpointJoined'), { what: 'the report' });
    slow.release();
    await system.check();
    assert.deepEqual(inSandboxes(), []);
    const types = await outcomes(sent);
    assert.deepEqual(
      types.filter((type) => type.startsWith('Sandbox')),
      ['SandboxCreated', 'SandboxRemoved'],
    );
    const { endpoints, sandboxes } = await system.state();
    assert.deepEqual([endpoints.size, sandboxes.size], [0, 0]);
    assert.equal((await sent.outcome).status, 'timed-out');
  });

  it('takes back only what is late: a sandbox lives on with its other endpoints and their routes', async () => {
    await system.run('AttachSandbox', { sandbox: 'box', networks: [{ network: 'a' }] });
    await system.run('CreateEndpoint', { network: 'b', name: 'e' });
    const before = inSandboxes();
    const release = machine.hang();
    const sent = system.send('JoinEndpoint', { network: 'b', endpoint: 'e', sandbox: 'box' }, soon);
    await expireDuring(sent);
    release();
    await system.check();
    assert.deepEqual(inSandboxes(), before);
    await system.run('JoinEndpoint', { network: 'b', endpoint: 'e', sandbox: 'box' });
    await system.check();
  });

  it('leaves to a queued join the sandbox of one that is taken back', async () => {
    for (const network of ['a', 'b']) await system.run('CreateEndpoint', { network, name: 'e' });
    const release = machine.hang();
    const late = system.send('JoinEndpoint', { network: 'a', endpoint: 'e', sandbox: 'box' }, soon);
    const next = system.send('JoinEndpoint', { network: 'b', endpoint: 'e', sandbox: 'box' });
    await expireDuring(late);
    release();
    assert.equal((await next.outcome).status, 'succeeded');
    await system.check();
    assert.deepEqual(
      inSandboxes().map(({ kind }) => kind),
      ['netns', 'veth', 'route'],
    );
  });

  it('ends a sandbox whose first join is late and whose second one fails', async () => {
    for (const network of ['a', 'b']) await system.run('CreateEndpoint', { network, name: 'e' });
    const release = machine.hang();
    const late = system.send('JoinEndpoint', { network: 'a', endpoint: 'e', sandbox: 'box' }, soon);
    const next = system.send('JoinEndpoint', { network: 'b', endpoint: 'e', sandbox: 'box' });
    await expireDuring(late);
    let veths = 0;
    machine.fail({ when: ({ op, object }) => op === 'create' && object.kind === 'veth' && ++veths === 2 });
    release();
    assert.equal((await next.outcome).status, 'failed');
    await system.check();
    assert.deepEqual(inSandboxes(), []);
    assert.equal((await system.state()).sandboxes.size, 0);
  });

  it('finishes a detach that is queued behind a late attach', async () => {
    const release = machine.hang();
    const late = attach('box', 'a', 'b');
    const detached = system.send('DetachSandbox', { sandbox: 'box' });
    await expireDuring(late);
    release();
    assert.equal((await detached.outcome).status, 'succeeded');
    await system.check();
    assert.deepEqual(inSandboxes(), []);
    assert.equal((await system.state()).sandboxes.size, 0);
    await system.run('AttachSandbox', { sandbox: 'box', networks: [{ network: 'a' }] });
  });

  it('finishes a removal whatever its deadline says', async () => {
    await system.run('AttachSandbox', { sandbox: 'box', networks: [{ network: 'a' }] });
    const release = machine.hang();
    const sent = system.send('DetachSandbox', { sandbox: 'box' }, soon);
    await expireDuring(sent);
    release();
    await system.check();
    assert.deepEqual(inSandboxes(), []);
    assert.equal((await sent.outcome).status, 'timed-out');
  });

  it('takes back a network, and tells those who built on it', async () => {
    const release = machine.hang();
    const late = system.send('CreateNetwork', { name: 'd' }, soon);
    const attached = system.send('AttachSandbox', { sandbox: 'box', networks: [{ network: 'd' }] });
    await attached.first;
    await expireDuring(late);
    release();
    assert.equal((await attached.outcome).fault?.code, 'DEPENDENCY_FAILED');
    await system.check();
    assert.equal(machine.objects().filter(({ kind }) => kind === 'bridge').length, 3);
  });

  it('goes on taking back after a restart', async () => {
    const release = machine.hang();
    const sent = attach('box', 'a', 'b');
    await expireDuring(sent);
    machine.fail({ when: ({ op, object }) => op === 'delete' && object.kind === 'veth' });
    release();
    await waitFor(() => machine.log.some((line) => line.startsWith('delete link')), { what: 'a first try' });
    assert.deepEqual(await outcomes(sent), [], 'what is not taken back is not reported');
    await system.stopWorker();
    machine.heal();
    await system.startWorker();
    await system.check();
    assert.deepEqual(inSandboxes(), []);
  });
});
