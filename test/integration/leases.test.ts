// Leases beside a real controller and collectors: what nobody renews ends, once, whoever was down when it was due.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeCommit } from '../../events/envelope.ts';
import { applyCommit, createViews } from '../../projections/views.ts';
import { Checker } from '../property/model-checks.ts';
import { CollectorStage } from '../support/collector-stage.ts';
import { able } from '../support/realm-stage.ts';
import { turn } from '../support/world.ts';

const minute = 60_000;
const day = 24 * 60 * minute;

const staged = async (): Promise<CollectorStage> => {
  const stage = new CollectorStage();
  stage.reporter.facts = able('h1');
  await stage.start();
  await stage.send('CreateNetwork', { name: 'web' });
  return stage;
};

const attach = (stage: CollectorStage, sandbox: string, leaseMs = 10 * minute): Promise<string> =>
  stage.send('AttachSandbox', { sandbox, leaseMs, owner: 'ci', networks: [{ network: 'web' }] });

/** Types of what has happened, in order. */
const told = (stage: CollectorStage): readonly string[] =>
  stage
    .events('LeaseRenewed', 'LeaseSuspected', 'EndpointLeaveRequested', 'NetworkDeleteRequested', 'CommandRefused')
    .map(({ type, data }) => ('code' in data ? `${type} ${data.code}` : type));

const leases = (stage: CollectorStage) => {
  const views = createViews();
  for (const { subject, position, body } of stage.log.stored())
    applyCommit(views, subject, position, decodeCommit(body, subject));
  return [...views.rows.leases.values()];
};

/** Goes through the whole log. */
const audit = (stage: CollectorStage): void => {
  const checker = new Checker();
  for (const message of stage.log.stored()) checker.take(message);
  assert.deepEqual([checker.open(), checker.impossible], [[], []]);
};

test('a sandbox that is renewed lives on; one that is not is suspected and detached, by an ordinary command', async () => {
  const stage = await staged();
  await stage.collector().start();
  await attach(stage, 's1');
  await attach(stage, 's2');
  for (let count = 0; count < 5; count++) {
    await stage.wait(9 * minute);
    await stage.send('RenewLease', { sandbox: 's1', owner: 'ci' });
  }
  assert.deepEqual(
    leases(stage).map(({ kind, name, owner, actor, renewals }) => [kind, name, owner, actor, renewals]),
    [['sandbox', 's1', 'ci', 'alice', 5]],
  );
  const [left] = stage.events('EndpointLeaveRequested');
  assert.partialDeepStrictEqual(left?.data, { sandbox: { id: 's2' } });
  assert.deepEqual([left?.meta.actor, left?.meta.commandtype], ['collector', 'ExpireLease']);
  await stage.wait(10 * minute + 4_999);
  assert.equal(stage.events('EndpointLeaveRequested').length, 1);
  await stage.wait(1);
  assert.equal(stage.events('EndpointLeaveRequested').length, 2);
  assert.equal(stage.events('SandboxRemoved').length, 2);
  await stage.wait(40 * day);
  assert.equal(stage.asked().length, 4, 'two steps each, and that was all');
  audit(stage);
});

test('a renewal between the two steps wins', async () => {
  const stage = await staged();
  await stage.collector().start();
  await attach(stage, 's1');
  await stage.wait(10 * minute + 2_000);
  await stage.send('RenewLease', { sandbox: 's1' });
  await stage.wait(9 * minute);
  assert.deepEqual(told(stage), ['LeaseSuspected', 'LeaseRenewed']);
  await stage.wait(2 * minute);
  assert.deepEqual(told(stage), ['LeaseSuspected', 'LeaseRenewed', 'LeaseSuspected', 'EndpointLeaveRequested']);
});

test('a renewal that is stored before the second step is decided wins, although the step was asked for already', async () => {
  const stage = await staged();
  await stage.collector().start();
  await attach(stage, 's1');
  await stage.wait(10 * minute);
  await stage.controller?.stop();
  await stage.send('RenewLease', { sandbox: 's1' });
  await stage.wait(minute);
  assert.equal(stage.asked().length, 2, 'both steps are on their way');
  await stage.activate();
  await turn();
  assert.deepEqual(told(stage), ['LeaseSuspected', 'LeaseRenewed', 'CommandRefused LEASE_RUNNING']);
  await stage.wait(day);
  assert.deepEqual(told(stage).slice(3), ['LeaseSuspected', 'EndpointLeaveRequested']);
});

test('every process was down when leases and a deadline were due, and two collectors start: each once, at once', async () => {
  const stage = await staged();
  await attach(stage, 's1');
  await stage.send('CreateNetwork', { name: 'trial', leaseMs: minute });
  await stage.send('CreateNetwork', { name: 'wide', driver: 'overlay', leaseMs: minute });
  stage.reporter.isPaused = true;
  const late = await stage.send('CreateEndpoint', { network: 'web', name: 'late' });
  await stage.controller?.stop();
  await stage.wait(45 * day);
  await stage.activate();
  await Promise.all([stage.collector().start(), stage.collector().start()]);
  await stage.wait(0);
  assert.deepEqual(
    stage
      .events('NetworkDeleteRequested')
      .map(({ data }) => 'name' in data && data.name)
      .sort(),
    ['trial', 'wide'],
  );
  const cut = stage.events('CommandTimedOut').map(({ data }) => 'commandId' in data && data.commandId);
  assert.deepEqual(cut, [late]);
  stage.reporter.isPaused = false;
  stage.reporter.work();
  await stage.wait(5_000);
  assert.deepEqual(
    ['LeaseSuspected', 'EndpointLeaveRequested', 'SandboxRemoved'].map((type) => stage.events(type).length),
    [1, 1, 1],
  );
  assert.deepEqual(leases(stage), []);
  const asked = stage.asked();
  assert.equal(new Set(asked).size, 5, 'the ids are the same whoever asks');
  await stage.wait(day);
  assert.equal(new Set(stage.asked()).size, 5);
  assert.equal(stage.events('CommandRefused').length, 0);
  audit(stage);
});

test('a network whose lease is over and that is in use is asked for again, more and more seldom, until nobody is in it', async () => {
  const stage = await staged();
  await stage.collector().start();
  await stage.send('CreateNetwork', { name: 'trial', leaseMs: minute, gc: 'off' });
  await stage.send('CreateEndpoint', { network: 'trial', name: 'a' });
  await stage.wait(minute);
  await stage.wait(day);
  const refused = stage.events('CommandRefused');
  assert.ok(refused.every(({ data }) => 'code' in data && data.code === 'NETWORK_HAS_ENDPOINTS'));
  // 1 s, 2 s, 4 s and so on up to ten minutes.
  assert.ok(refused.length > 140 && refused.length < 160, `${refused.length} in a day`);
  await stage.send('DeleteEndpoint', { network: 'trial', endpoint: 'a' });
  await stage.wait(10 * minute);
  assert.equal(stage.events('NetworkDeleted').length, 1);
  const asked = stage.asked().length;
  await stage.wait(day);
  assert.equal(stage.asked().length, asked, 'and that was all');
  audit(stage);
});

test('a network that is renewed in time lives on', async () => {
  const stage = await staged();
  await stage.collector().start();
  await stage.send('CreateNetwork', { name: 'trial', leaseMs: minute });
  for (let count = 0; count < 3; count++) {
    await stage.wait(minute - 1);
    await stage.send('RenewLease', { network: 'trial' });
  }
  assert.equal(stage.asked().length, 0);
  await stage.send('RenewLease', { network: 'trial', leaseMs: day });
  await stage.wait(day - 1);
  assert.equal(stage.asked().length, 0);
  await stage.wait(1);
  assert.equal(stage.events('NetworkDeleted').length, 1);
});
