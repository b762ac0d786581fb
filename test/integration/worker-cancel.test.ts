/** Commands that are cancelled before, while and after the worker executes them, and what is asked for behind a join that is under way. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { delayed } from '../support/delayed.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { waitFor } from '../support/nats.ts';
import { host, memoryStreams, realm, type Sent, System } from '../support/system.ts';

describe('a worker and cancelled commands', () => {
  let machine = new MemoryMachine();
  let system: System;
  let slow: ReturnType<typeof delayed>;
  const kernel = () => memoryKernel(machine, { realm, host });
  const attach = (sandbox: string, ...names: string[]): Sent =>
    system.send('AttachSandbox', { sandbox, networks: names.map((network) => ({ network })) });
  const cancel = async ({ id: commandId }: Sent): Promise<string> => {
    const first = await system.send('CancelCommand', { commandId }).first;
    return first.kind === 'refused' ? first.code : first.kind;
  };
  const outcomes = async (sent: Sent): Promise<readonly string[]> =>
    (await system.events())
      .filter(({ meta }) => meta.commandid === sent.id && meta.commandseq === undefined)
      .map(({ type }) => type);
  const inSandboxes = () =>
    machine.objects().filter(({ kind }) => kind === 'netns' || kind === 'veth' || kind === 'route');
  const nothingLeft = async (): Promise<void> => {
    await system.check();
    assert.deepEqual(inSandboxes(), []);
    const { endpoints, sandboxes, progress, intents } = await system.state();
    assert.equal(endpoints.size + sandboxes.size + progress.size + intents.size, 0);
  };

  beforeEach(async () => {
    machine = new MemoryMachine();
    const streams = memoryStreams();
    slow = delayed(streams.log);
    system = new System({ ...streams, kernel: kernel(), runDir: '/run/cnm' });
    await system.startWorker({ log: slow.log });
    await system.startController();
    for (const [index, name] of ['a', 'b'].entries())
      await system.run('CreateNetwork', { name, ipam: { subnets: [{ subnet: `10.${index + 1}.0.0/24` }] } });
  });
  afterEach(() => system.stop());

  it('does nothing for what was cancelled before it was begun', async () => {
    await system.stopWorker();
    const sent = attach('box', 'a', 'b');
    await sent.first;
    assert.equal(await cancel(sent), 'accepted');
    assert.equal((await sent.outcome).status, 'cancelled');
    const before = machine.log.length;
    await system.startWorker();
    await nothingLeft();
    assert.equal(machine.log.length, before);
    const failures = (await system.events()).flatMap(({ data }) =>
      'fault' in data && data.fault ? [data.fault.code] : [],
    );
    assert.deepEqual(failures, ['CANCELLED', 'CANCELLED', 'CANCELLED', 'CANCELLED']);
  });

  it('takes back what was cancelled while the kernel was at work', async () => {
    const release = machine.hang();
    const sent = attach('box', 'a', 'b');
    await sent.first;
    assert.equal(await cancel(sent), 'accepted');
    release();
    await nothingLeft();
    assert.ok(!(await outcomes(sent)).includes('EndpointJoined'));
  });

  it('takes back what it had reported before it learned of it', async () => {
    const release = machine.hang();
    const sent = attach('box', 'a');
    await sent.first;
    slow.hold();
    assert.equal(await cancel(sent), 'accepted');
    release();
    await waitFor(async () => (await outcomes(sent)).includes('EndpointJoined'), { what: 'the report' });
    slow.release();
    await nothingLeft();
    assert.equal((await sent.outcome).status, 'cancelled');
  });

  it('the first end in the log counts: what has succeeded is not cancelled', async () => {
    const sent = attach('box', 'a');
    assert.equal((await sent.outcome).status, 'succeeded');
    assert.equal(await cancel(sent), 'COMMAND_ENDED');
    await system.check();
    assert.equal(inSandboxes().length, 3);
  });

  it('a cancelled command is taken back after a restart, and its names are free', async () => {
    const release = machine.hang();
    const sent = attach('box', 'a', 'b');
    await sent.first;
    await cancel(sent);
    const stopping = system.stopWorker();
    release();
    await stopping;
    await system.startWorker();
    await nothingLeft();
    await system.run('AttachSandbox', { sandbox: 'box', networks: [{ network: 'a' }, { network: 'b' }] });
    await system.check();
  });

  for (const isCancelled of [false, true]) {
    const how = isCancelled ? ' that is cancelled' : '';
    it(`a leave and a delete behind a join${how} are done when the worker comes to them`, async () => {
      const ref = { network: 'a', endpoint: 'e' };
      await system.run('CreateEndpoint', { network: 'a', name: 'e' });
      const release = machine.hang();
      const joined = system.send('JoinEndpoint', { ...ref, sandbox: 'box' });
      const refused = system.send('DeleteEndpoint', ref);
      const left = system.send('LeaveEndpoint', ref);
      const deleted = system.send('DeleteEndpoint', ref);
      await deleted.first;
      assert.equal((await refused.first).kind, 'refused');
      if (isCancelled) await cancel(joined);
      release();
      assert.equal((await joined.outcome).status, isCancelled ? 'cancelled' : 'succeeded');
      assert.equal((await left.outcome).status, 'succeeded');
      assert.equal((await deleted.outcome).status, 'succeeded');
      await nothingLeft();
    });

    it(`a detach behind an attach${how} leaves nothing`, async () => {
      const release = machine.hang();
      const attached = attach('box', 'a', 'b');
      const detached = system.send('DetachSandbox', { sandbox: 'box' });
      const again = attach('box', 'b');
      await again.first;
      if (isCancelled) await cancel(attached);
      release();
      assert.equal((await detached.outcome).status, 'succeeded');
      assert.equal((await again.outcome).status, 'succeeded');
      await system.check();
      await system.run('DetachSandbox', { sandbox: 'box' });
      await nothingLeft();
    });
  }

  it('a network that is cancelled is taken back, and who built on it is told', async () => {
    const release = machine.hang();
    const network = system.send('CreateNetwork', { name: 'd' });
    const attached = attach('box', 'd');
    await attached.first;
    await cancel(network);
    release();
    assert.equal((await attached.outcome).fault?.code, 'DEPENDENCY_FAILED');
    await nothingLeft();
    await system.run('CreateNetwork', { name: 'd' });
  });
});
