// Collectors beside a real controller on streams in memory, by a clock that the test moves.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CommandInput } from '../../events/commands.ts';
import { gcPeriods } from '../../events/garbage.ts';
import { commandId, mintedMs, subjects } from '../../events/names.ts';
import type { Clock } from '../../services/lib/clock.ts';
import { CollectorStage } from '../support/collector-stage.ts';
import { able } from '../support/realm-stage.ts';
import { fault, turn, until } from '../support/world.ts';

const minute = 60_000;
const day = 24 * 60 * minute;

const staged = async (): Promise<CollectorStage> => {
  const stage = new CollectorStage();
  await stage.start();
  await stage.send('CreateNetwork', { name: 'web' });
  return stage;
};

const joinAndLeave = async (
  stage: CollectorStage,
  name: string,
  more: Partial<CommandInput<'CreateEndpoint'>> = {},
) => {
  await stage.send('CreateEndpoint', { network: 'web', name, ...more });
  await stage.send('JoinEndpoint', { network: 'web', endpoint: name, sandbox: 's1' });
  await stage.send('LeaveEndpoint', { network: 'web', endpoint: name });
};

test('an endpoint that left its sandbox is suspected when its grace period is over, and collected if nothing happens', async () => {
  const stage = await staged();
  await stage.collector().start();
  await joinAndLeave(stage, 'a');
  const leftMs = stage.clock.nowMs();
  await stage.wait(gcPeriods.leftMs - 1);
  assert.equal(stage.events('EndpointSuspected').length, 0);
  await stage.wait(1);
  const [suspected] = stage.events('EndpointSuspected');
  assert.deepEqual(suspected?.data, {
    ...(suspected?.data as object),
    reason: 'left its last sandbox',
    lastSandbox: 's1',
    since: new Date(leftMs).toISOString(),
    dueAt: new Date(leftMs + gcPeriods.leftMs).toISOString(),
  });
  await stage.wait(4_999);
  assert.equal(stage.events('EndpointDeleteRequested').length, 0);
  await stage.wait(1);
  const [deleted] = stage.events('EndpointDeleteRequested');
  assert.partialDeepStrictEqual(deleted?.data, { cause: 'garbage', name: 'a', garbage: { lastSandbox: 's1' } });
  assert.equal(deleted?.meta.actor, 'collector');
  assert.equal(stage.events('EndpointDeleted').length, 1);
  for (const id of stage.asked()) assert.ok(mintedMs(id) <= stage.clock.nowMs() && mintedMs(id) > leftMs, id);
  await stage.wait(day);
  assert.equal(stage.asked().length, 2, 'and that was all');
});

test('periods: never joined, of its own, of its network, static, off', async () => {
  const stage = await staged();
  await stage.collector().start();
  await stage.send('CreateNetwork', { name: 'kept', gc: 'off' });
  await stage.send('CreateEndpoint', { network: 'web', name: 'prepared' });
  await stage.send('CreateEndpoint', { network: 'web', name: 'own', gc: 2_000 });
  await stage.send('CreateEndpoint', { network: 'web', name: 'static', interfaces: [{ ipv4: '10.200.0.9' }] });
  await stage.send('CreateEndpoint', { network: 'kept', name: 'held' });
  await stage.send('CreateEndpoint', { network: 'kept', name: 'asked', gc: 1_000 });
  const collected = () => stage.events('EndpointDeleteRequested').map(({ data }) => 'name' in data && data.name);
  // confirmed after its own grace period at most
  await stage.wait(2_000);
  assert.deepEqual(collected(), ['asked']);
  await stage.wait(2_000);
  assert.deepEqual(collected(), ['asked', 'own']);
  await stage.wait(day + 5_000);
  assert.deepEqual(collected(), ['asked', 'own', 'prepared']);
  await stage.wait(40 * day);
  assert.equal(collected().length, 3, 'static and kept endpoints stay');
});

test('a join between the two steps wins', async () => {
  const stage = await staged();
  await stage.collector().start();
  await joinAndLeave(stage, 'a');
  await stage.wait(gcPeriods.leftMs + 2_000);
  assert.equal(stage.events('EndpointSuspected').length, 1);
  await stage.send('JoinEndpoint', { network: 'web', endpoint: 'a', sandbox: 's2' });
  await stage.wait(day);
  assert.equal(stage.events('EndpointDeleteRequested').length, 0);
  await stage.send('LeaveEndpoint', { network: 'web', endpoint: 'a' });
  await stage.wait(gcPeriods.leftMs + 5_000);
  const [deleted] = stage.events('EndpointDeleteRequested');
  assert.partialDeepStrictEqual(deleted?.data, { garbage: { lastSandbox: 's2' } });
});

test('three collectors do what one does', async () => {
  const stage = await staged();
  for (let count = 0; count < 3; count++) await stage.collector().start();
  await joinAndLeave(stage, 'a');
  await joinAndLeave(stage, 'b');
  await stage.wait(gcPeriods.leftMs + 10_000);
  assert.equal(stage.events('EndpointSuspected').length, 2);
  assert.equal(stage.events('EndpointDeleteRequested').length, 2);
  assert.equal(stage.events('CommandRefused').length, 0);
  assert.equal(new Set(stage.asked()).size, 4, 'the ids are the same whoever asks');
});

test('what fell due while every collector was down is asked for once, however long ago', async () => {
  const stage = await staged();
  await joinAndLeave(stage, 'a');
  await stage.wait(45 * day);
  await stage.collector().start();
  await stage.collector().start();
  await stage.wait(5_000);
  assert.equal(stage.events('EndpointSuspected').length, 1);
  assert.equal(stage.events('EndpointDeleteRequested').length, 1);
  assert.equal(stage.events('CommandRefused').length, 0, 'no id was too old');
});

test('a collector that starts between the steps goes on with the second', async () => {
  const stage = await staged();
  await joinAndLeave(stage, 'a');
  const first = stage.collector();
  await first.start();
  await stage.wait(gcPeriods.leftMs + 1_000);
  await first.stop();
  await stage.wait(day);
  assert.equal(stage.events('EndpointDeleteRequested').length, 0);
  await stage.collector().start();
  await stage.wait(0);
  assert.equal(stage.events('EndpointDeleteRequested').length, 1);
});

test('what is not acknowledged is sent again, and counts once', async () => {
  const stage = await staged();
  await stage.collector().start();
  await joinAndLeave(stage, 'a');
  stage.commands.injectNext('lost', 'unacknowledged');
  await stage.wait(gcPeriods.leftMs);
  assert.equal(stage.events('EndpointSuspected').length, 0);
  await stage.wait(1_000);
  assert.equal(stage.events('EndpointSuspected').length, 1, 'the second one was stored');
  await stage.wait(10_000);
  assert.equal(stage.events('EndpointDeleteRequested').length, 1);
  assert.equal(stage.events('CommandRefused').length, 0);
});

test('while nobody decides, it asks once', async () => {
  const stage = await staged();
  await joinAndLeave(stage, 'a');
  await stage.controller?.stop();
  await stage.collector().start();
  await stage.wait(gcPeriods.leftMs + 60 * minute);
  assert.equal(stage.asked().length, 1);
  await stage.activate();
  await stage.wait(5_000);
  assert.equal(stage.events('EndpointDeleteRequested').length, 1);
});

test('a command ends at its deadline when no worker reports', async () => {
  const stage = await staged();
  await stage.collector().start();
  stage.reporter.isPaused = true;
  const id = await stage.send('CreateEndpoint', { network: 'web', name: 'a' }, { deadlineMs: 10_000 });
  const longId = commandId(stage.clock.nowMs(), 'x'.repeat(150));
  const body = JSON.stringify({ id: longId, type: 'CreateEndpoint', data: { network: 'web', name: 'b' } });
  const actor = `alice-${'a'.repeat(50)}`;
  await stage.commands.append({ subject: subjects.command(actor, 'h1'), body, id: longId });
  await stage.wait(9_999);
  assert.equal(stage.events('CommandTimedOut').length, 0);
  await stage.wait(1);
  assert.partialDeepStrictEqual(stage.events('CommandTimedOut')[0]?.data, { actor: 'alice', commandId: id });
  await stage.wait(30_000);
  assert.partialDeepStrictEqual(stage.events('CommandTimedOut')[1]?.data, { actor, commandId: longId });
  const outcomes = stage.answers.filter(({ body: answer }) => answer.status === 'timed-out');
  assert.deepEqual(
    outcomes.map(({ body: answer }) => answer.commandid),
    [id, longId],
  );
  stage.reporter.isPaused = false;
  stage.reporter.work();
  await turn();
  assert.equal(stage.events('EndpointCreateFailed').length, 2, 'what came too late is undone');
});

test('a controller whose clock is behind is asked again until it agrees', async () => {
  const stage = new CollectorStage();
  const behind: Clock = {
    nowMs: () => stage.clock.nowMs() - 2_500,
    monotonicMs: () => stage.clock.monotonicMs(),
    after: (delayMs, run) => stage.clock.after(delayMs, run),
    randomId: (length) => stage.clock.randomId(length),
  };
  await stage.start(behind);
  await stage.collector().start();
  await stage.collector().start();
  await stage.send('CreateNetwork', { name: 'web' });
  await joinAndLeave(stage, 'a');
  stage.reporter.isPaused = true;
  await stage.send('CreateEndpoint', { network: 'web', name: 'b' }, { deadlineMs: 10_000 });
  // the deadline is by the controller's clock, so that the collector is early
  await stage.wait(minute);
  assert.equal(stage.events('CommandTimedOut').length, 1);
  stage.reporter.isPaused = false;
  await stage.wait(gcPeriods.leftMs + minute);
  assert.equal(stage.events('EndpointSuspected').length, 1);
  assert.equal(stage.events('EndpointDeleteRequested').length, 1);
  const refusals = stage.events('CommandRefused');
  assert.ok(refusals.length > 0, 'it was too early at first');
  assert.equal(new Set(refusals.map(({ meta }) => meta.commandid)).size, refusals.length, 'under an id of its own');
});

test('a sandbox that a failure has left without its way out gets it, once and by whichever collector', async () => {
  const stage = new CollectorStage();
  stage.reporter.facts = able('h1');
  await stage.start();
  for (const name of ['span', 'wide']) await stage.send('CreateNetwork', { name, driver: 'overlay' });
  await Promise.all([stage.collector().start(), stage.collector().start()]);
  stage.reporter.isPaused = true;
  const failing = await stage.send('AttachSandbox', { sandbox: 's1', networks: [{ network: 'span' }] });
  await stage.send('AttachSandbox', { sandbox: 's1', networks: [{ network: 'wide' }] });
  stage.reporter.verdict = ({ meta }) => (meta.commandid === failing ? fault() : null);
  stage.reporter.isPaused = false;
  stage.reporter.work();
  await turn();
  assert.equal(stage.events('EndpointCreateFailed').length, 2, 'the way out went with the command that it came with');
  await stage.wait(10);
  assert.deepEqual(
    stage.asked().map((id) => /-(mend)\//.exec(id)?.[1]),
    ['mend'],
  );
  const last = stage.events('EndpointJoined').at(-1);
  assert.equal(last?.meta.actor, 'collector');
  assert.equal(stage.events('NetworkCreateRequested').length, 3, 'in the network that was there');
  await stage.wait(day);
  assert.equal(stage.asked().length, 1, 'and that was all');
});

test('an endpoint whose network is undone is forgotten', async () => {
  const stage = await staged();
  await stage.collector().start();
  stage.reporter.isPaused = true;
  await stage.send('CreateNetwork', { name: 'late' }, { deadlineMs: 1_000 });
  stage.reporter.isPaused = false;
  await stage.wait(1_000);
  stage.reporter.work();
  await turn();
  await stage.wait(day);
  assert.deepEqual(
    stage.events('CommandTimedOut', 'NetworkCreateFailed').map(({ type }) => type),
    ['CommandTimedOut', 'NetworkCreateFailed'],
  );
  assert.equal(stage.asked().length, 1);
});

test('a burst of a thousand attaches sets a handful of timers', async () => {
  const stage = new CollectorStage();
  await stage.start();
  await stage.send('CreateNetwork', { name: 'big', ipam: { subnets: [{ subnet: '10.1.0.0/16' }] } });
  await stage.collector().start();
  const before = stage.clock.started;
  for (let count = 0; count < 1_000; count++) {
    const id = commandId(stage.clock.nowMs(), `b${count}`);
    const body = JSON.stringify({
      id,
      type: 'AttachSandbox',
      data: { sandbox: `s${count}`, networks: [{ network: 'big' }] },
    });
    await stage.commands.append({ subject: subjects.command('alice', 'h1'), body, id });
  }
  await until(() => stage.events('EndpointJoined').length === 1_000, 'all are joined');
  assert.ok(stage.clock.started - before < 20, `${stage.clock.started - before} timers`);
  await stage.wait(minute);
  assert.equal(stage.asked().length, 0, 'all ended before their deadline');
});

test('a log that cannot be read is loud', async () => {
  const stage = await staged();
  const collector = stage.collector();
  await collector.start();
  await stage.reporter.stop();
  // of somebody else it would just not count
  const body = '[{"type":"cnm.Nonsense.v1","source":"/cnm/test/worker/h9"}]';
  await stage.log.append({ subject: subjects.outcome('h9'), body: '[{"type":"cnm.Nonsense.v1"}]', id: 'y' });
  await stage.log.append({ subject: subjects.outcome('h9'), body, id: 'x' });
  await assert.rejects(collector.failed, { code: 'LOG_UNREADABLE' });
});
