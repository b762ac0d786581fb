/** Commands that are cancelled before, while and after the worker executes them, and what is asked for behind a join that is under way. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { LateStage } from '../support/late-stage.ts';
import { waitFor } from '../support/nats.ts';
import type { Sent } from '../support/system.ts';

describe('a worker and cancelled commands', () => {
  let stage: LateStage;
  const attach = (sandbox: string, ...names: string[]): Sent => stage.attach(sandbox, names);
  const cancel = async ({ id: commandId }: Sent): Promise<string> => {
    const first = await stage.system.send('CancelCommand', { commandId }).first;
    return first.kind === 'refused' ? first.code : first.kind;
  };

  beforeEach(async () => {
    stage = await new LateStage().start();
  });
  afterEach(() => stage.system.stop());

  it('does nothing for what was cancelled before it was begun', async () => {
    const { system, machine } = stage;
    await system.stopWorker();
    const sent = attach('box', 'a', 'b');
    await sent.first;
    assert.equal(await cancel(sent), 'accepted');
    assert.equal((await sent.outcome).status, 'cancelled');
    const before = machine.log.length;
    await system.startWorker();
    await stage.nothingLeft();
    assert.equal(machine.log.length, before);
    const failures = (await system.events()).flatMap(({ data }) =>
      'fault' in data && data.fault ? [data.fault.code] : [],
    );
    assert.deepEqual(failures, ['CANCELLED', 'CANCELLED', 'CANCELLED', 'CANCELLED']);
  });

  it('takes back what was cancelled while the kernel was at work', async () => {
    const { sent, release } = await stage.atWork(() => attach('box', 'a', 'b'));
    assert.equal(await cancel(sent), 'accepted');
    release();
    await stage.nothingLeft();
    assert.ok(!(await stage.outcomes(sent)).includes('EndpointJoined'));
  });

  it('takes back what it had reported before it learned of it', async () => {
    const { slow } = stage;
    const { sent, release } = await stage.atWork(() => attach('box', 'a'));
    slow.hold();
    assert.equal(await cancel(sent), 'accepted');
    release();
    await waitFor(async () => (await stage.outcomes(sent)).includes('EndpointJoined'), { what: 'the report' });
    slow.release();
    await stage.nothingLeft();
    assert.equal((await sent.outcome).status, 'cancelled');
  });

  it('the first end in the log counts: what has succeeded is not cancelled', async () => {
    const sent = attach('box', 'a');
    assert.equal((await sent.outcome).status, 'succeeded');
    assert.equal(await cancel(sent), 'COMMAND_ENDED');
    await stage.system.check();
    assert.equal(stage.inSandboxes().length, 3);
  });

  it('a cancelled command is taken back after a restart, and its names are free', async () => {
    const { system } = stage;
    const { sent, release } = await stage.atWork(() => attach('box', 'a', 'b'));
    await cancel(sent);
    const stopping = system.stopWorker();
    release();
    await stopping;
    await system.startWorker();
    await stage.nothingLeft();
    await system.run('AttachSandbox', { sandbox: 'box', networks: [{ network: 'a' }, { network: 'b' }] });
    await system.check();
  });

  for (const isCancelled of [false, true]) {
    const how = isCancelled ? ' that is cancelled' : '';
    it(`a leave and a delete behind a join${how} are done when the worker comes to them`, async () => {
      const ref = { network: 'a', endpoint: 'e' };
      const { system } = stage;
      await system.run('CreateEndpoint', { network: 'a', name: 'e' });
      const join = () => system.send('JoinEndpoint', { ...ref, sandbox: 'box' });
      const { sent: joined, release } = await stage.atWork(join);
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
      await stage.nothingLeft();
    });

    it(`a detach behind an attach${how} leaves nothing`, async () => {
      const { system } = stage;
      const { sent: attached, release } = await stage.atWork(() => attach('box', 'a', 'b'));
      const detached = system.send('DetachSandbox', { sandbox: 'box' });
      const again = attach('box', 'b');
      await again.first;
      if (isCancelled) await cancel(attached);
      release();
      assert.equal((await detached.outcome).status, 'succeeded');
      assert.equal((await again.outcome).status, 'succeeded');
      await system.check();
      await system.run('DetachSandbox', { sandbox: 'box' });
      await stage.nothingLeft();
    });
  }

  it('a network that is cancelled is taken back, and who built on it is told', async () => {
    const { system } = stage;
    const { sent: network, release } = await stage.atWork(() => system.send('CreateNetwork', { name: 'd' }));
    const attached = attach('box', 'd');
    await attached.first;
    await cancel(network);
    release();
    assert.equal((await attached.outcome).fault?.code, 'DEPENDENCY_FAILED');
    await stage.nothingLeft();
    await system.run('CreateNetwork', { name: 'd' });
  });
});
