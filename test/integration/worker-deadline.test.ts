/** Commands whose deadline passes before, while and after the worker executes them: what came too late is taken back. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { LateStage } from '../support/late-stage.ts';
import { waitFor } from '../support/nats.ts';
import type { Sent } from '../support/system.ts';

describe('a worker and deadlines', () => {
  let stage: LateStage;
  const soon = { deadlineMs: 1 };
  const attach = (sandbox: string, ...names: string[]): Sent => stage.attach(sandbox, names, soon);
  /** The kernel is at work on what is sent, and the deadline passes. */
  const expiredAtWork = async (send: () => Sent): ReturnType<LateStage['atWork']> => {
    const work = await stage.atWork(send);
    await stage.system.expire(work.sent);
    return work;
  };

  /** The first join of a sandbox is late while the kernel is at work on it, and a second one waits. */
  const joinTwice = async () => {
    const { system } = stage;
    for (const network of ['a', 'b']) await system.run('CreateEndpoint', { network, name: 'e' });
    const join = (network: string, more = {}) =>
      system.send('JoinEndpoint', { network, endpoint: 'e', sandbox: 'box' }, more);
    const { sent, release } = await stage.atWork(() => join('a', soon));
    const next = join('b');
    await next.first;
    await system.expire(sent);
    return { next, release };
  };

  beforeEach(async () => {
    stage = await new LateStage().start();
  });
  afterEach(() => stage.system.stop());

  it('does nothing for what expired before it was begun', async () => {
    const { system, machine } = stage;
    await system.stopWorker();
    const sent = attach('box', 'a', 'b');
    await sent.first;
    await system.expire(sent);
    const before = machine.log.length;
    await system.startWorker();
    await system.check();
    assert.equal(machine.log.length, before);
    assert.equal((await sent.outcome).status, 'timed-out');
    assert.deepEqual(await stage.outcomes(sent), [
      'EndpointCreateFailed',
      'EndpointJoinFailed',
      'EndpointCreateFailed',
      'EndpointJoinFailed',
    ]);
    assert.equal((await system.state()).endpoints.size, 0);
  });

  it('takes back what expired while the kernel was at work', async () => {
    const { system, machine } = stage;
    const { sent, release } = await expiredAtWork(() => attach('box', 'a', 'b', 'c'));
    const before = machine.log.length;
    release();
    await system.check();
    assert.ok(machine.log.length > before, 'it was made before it was taken back');
    assert.deepEqual(stage.inSandboxes(), []);
    assert.ok(!(await stage.outcomes(sent)).includes('EndpointJoined'));
    const { endpoints, sandboxes } = await system.state();
    assert.deepEqual([endpoints.size, sandboxes.size], [0, 0]);
  });

  it('takes back what it had reported before it learned of the deadline', async () => {
    const { system, slow } = stage;
    const { sent, release } = await stage.atWork(() => attach('box', 'a', 'b'));
    slow.hold();
    await system.expire(sent);
    release();
    await waitFor(async () => (await stage.outcomes(sent)).includes('EndpointJoined'), { what: 'the report' });
    slow.release();
    await system.check();
    assert.deepEqual(stage.inSandboxes(), []);
    const types = await stage.outcomes(sent);
    assert.deepEqual(
      types.filter((type) => type.startsWith('Sandbox')),
      ['SandboxCreated', 'SandboxRemoved'],
    );
    const { endpoints, sandboxes } = await system.state();
    assert.deepEqual([endpoints.size, sandboxes.size], [0, 0]);
    assert.equal((await sent.outcome).status, 'timed-out');
  });

  it('takes back only what is late: a sandbox lives on with its other endpoints and their routes', async () => {
    const { system } = stage;
    await system.run('AttachSandbox', { sandbox: 'box', networks: [{ network: 'a' }] });
    await system.run('CreateEndpoint', { network: 'b', name: 'e' });
    const before = stage.inSandboxes();
    const join = () => system.send('JoinEndpoint', { network: 'b', endpoint: 'e', sandbox: 'box' }, soon);
    const { release } = await expiredAtWork(join);
    release();
    await system.check();
    assert.deepEqual(stage.inSandboxes(), before);
    await system.run('JoinEndpoint', { network: 'b', endpoint: 'e', sandbox: 'box' });
    await system.check();
  });

  it('leaves to a queued join the sandbox of one that is taken back', async () => {
    const { system } = stage;
    const { next, release } = await joinTwice();
    release();
    assert.equal((await next.outcome).status, 'succeeded');
    await system.check();
    assert.deepEqual(
      stage.inSandboxes().map(({ kind }) => kind),
      ['netns', 'veth', 'route'],
    );
  });

  it('ends a sandbox whose first join is late and whose second one fails', async () => {
    const { system, machine } = stage;
    const { next, release } = await joinTwice();
    let veths = 0;
    machine.fail({ when: ({ op, object }) => op === 'create' && object.kind === 'veth' && ++veths === 2 });
    release();
    assert.equal((await next.outcome).status, 'failed');
    await system.check();
    assert.deepEqual(stage.inSandboxes(), []);
    assert.equal((await system.state()).sandboxes.size, 0);
  });

  it('finishes a detach that is queued behind a late attach', async () => {
    const { system } = stage;
    const { sent: late, release } = await stage.atWork(() => attach('box', 'a', 'b'));
    const detached = system.send('DetachSandbox', { sandbox: 'box' });
    await detached.first;
    await system.expire(late);
    release();
    assert.equal((await detached.outcome).status, 'succeeded');
    await system.check();
    assert.deepEqual(stage.inSandboxes(), []);
    assert.equal((await system.state()).sandboxes.size, 0);
    await system.run('AttachSandbox', { sandbox: 'box', networks: [{ network: 'a' }] });
  });

  it('finishes a removal whatever its deadline says', async () => {
    const { system } = stage;
    await system.run('AttachSandbox', { sandbox: 'box', networks: [{ network: 'a' }] });
    const { sent, release } = await expiredAtWork(() => system.send('DetachSandbox', { sandbox: 'box' }, soon));
    release();
    await system.check();
    assert.deepEqual(stage.inSandboxes(), []);
    assert.equal((await sent.outcome).status, 'timed-out');
  });

  it('takes back a network, and tells those who built on it', async () => {
    const { system, machine } = stage;
    const { sent: late, release } = await stage.atWork(() => system.send('CreateNetwork', { name: 'd' }, soon));
    const attached = stage.attach('box', ['d']);
    await attached.first;
    await system.expire(late);
    release();
    assert.equal((await attached.outcome).fault?.code, 'DEPENDENCY_FAILED');
    await system.check();
    assert.equal(machine.objects().filter(({ kind }) => kind === 'bridge').length, 3);
  });

  it('goes on taking back after a restart', async () => {
    const { system, machine } = stage;
    const { sent, release } = await expiredAtWork(() => attach('box', 'a', 'b'));
    machine.fail({ when: ({ op, object }) => op === 'delete' && object.kind === 'veth' });
    release();
    await waitFor(() => machine.log.some((line) => line.startsWith('delete link')), { what: 'a first try' });
    assert.deepEqual(await stage.outcomes(sent), [], 'what is not taken back is not reported');
    await system.stopWorker();
    machine.heal();
    await system.startWorker();
    await system.check();
    assert.deepEqual(stage.inSandboxes(), []);
  });
});
