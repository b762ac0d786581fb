// The controller on streams in memory: order, group commit, answers, refusals.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commandId, subjects } from '../../events/names.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { host, staged } from '../support/stage.ts';
import { fault, until } from '../support/world.ts';

test('commands are decided in the order of publishing, and answered twice', () =>
  staged(async (stage) => {
    await stage.controller();
    const created = await stage.send('CreateNetwork', { name: 'web' });
    await stage.life('a');
    const refused = await stage.send('DeleteEndpoint', { network: 'web', endpoint: 'a' });
    await stage.allDecided();
    await until(() => stage.answers.length === 11, 'all answers are sent');
    assert.deepEqual(
      stage.events().flatMap(({ meta }) => meta.commandseq ?? []),
      [1, 2, 3, 4, 5, 6],
    );
    const [accepted, outcome] = stage.answersTo(created);
    assert.partialDeepStrictEqual(accepted, { kind: 'accepted', commandid: created, network: { name: 'web' } });
    assert.partialDeepStrictEqual(outcome, { kind: 'outcome', status: 'succeeded', network: { name: 'web' } });
    const [refusal, ...more] = stage.answersTo(refused);
    assert.partialDeepStrictEqual(refusal, { kind: 'refused', code: 'ENDPOINT_NOT_FOUND', culprits: [{ id: 'a' }] });
    assert.deepEqual(more, []);
    assert.deepEqual(stage.audit().open(), []);
  }));

test('the log opens with whose it is, once', () =>
  staged(async (stage) => {
    await Promise.all([stage.controller(), stage.controller(), stage.controller()]);
    await until(() => stage.events('RealmOpened').length > 0, 'opened');
    await stage.send('CreateNetwork', { name: 'web' });
    await stage.allDecided();
    assert.equal(stage.events('RealmOpened').length, 1);
    stage.audit();
  }));

test('the opening is tried until it is stored', () =>
  staged(async (stage) => {
    stage.log.injectNext('lost', 'lost', 'unacknowledged');
    await stage.controller();
    await until(() => stage.events('RealmOpened').length > 0, 'opened');
    await stage.send('CreateNetwork', { name: 'web' });
    await stage.allDecided();
    assert.equal(stage.events('RealmOpened').length, 1);
    stage.audit();
  }));

test('commands that wait together are decided in few commits', () =>
  staged(async (stage) => {
    await stage.send('CreateNetwork', { name: 'web' });
    for (let count = 0; count < 12; count++) await stage.life(`e${count}`);
    await stage.controller();
    await stage.allDecided();
    const commits = stage.logged.filter(({ subject }) => subject === subjects.host(host));
    assert.ok(commits.length <= 4, `${commits.length} commits`);
    assert.match(commits[0]?.header('Cnm-Commands') ?? '', /^1-[0-9]+$/);
    assert.match(commits.at(-1)?.header('Cnm-Commands') ?? '', /^[0-9]+-49$/);
    stage.audit();
  }));

test('a commit stays small however much waits, and nothing is left out', () =>
  staged(async (stage) => {
    const labels = Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`label${index}`, 'ä'.repeat(500)]));
    for (let count = 0; count < 60; count++) await stage.send('CreateNetwork', { name: `n${count}`, labels });
    await stage.controller();
    await stage.allDecided();
    assert.equal(stage.events('NetworkCreateRequested').length, 60);
    const sizes = stage.logged.map(({ body }) => body.length);
    assert.ok(Math.max(...sizes) < 256 * 1024, `${Math.max(...sizes)} bytes`);
    stage.audit();
  }));

test('more commands than are kept in memory', () =>
  staged(async (stage) => {
    for (let count = 0; count < 5_000; count++) await stage.send('DeleteNetwork', { network: `n${count}` });
    await stage.controller();
    await stage.allDecided();
    const order = stage.events('CommandRefused').map(({ meta }) => meta.commandseq);
    assert.deepEqual(
      order,
      Array.from({ length: 5_000 }, (_, index) => index + 1),
    );
  }));

test('the same id gets the same answer, also from another controller and after it has ended', () =>
  staged(async (stage) => {
    const first = await stage.controller();
    const id = await stage.send('CreateNetwork', { name: 'web' });
    const no = await stage.send('DeleteNetwork', { network: 'none' });
    await until(() => stage.answersTo(id).length === 2, 'answered');
    const [answers, refusal] = [stage.answersTo(id), stage.answersTo(no)];
    await stage.send('CreateNetwork', { name: 'web' }, { id });
    await until(() => stage.answersTo(id).length === 4, 'answered again');
    await first.stop();
    await stage.controller();
    await stage.send('CreateNetwork', { name: 'web' }, { id });
    await stage.send('DeleteNetwork', { network: 'none' }, { id: no });
    await until(() => stage.answersTo(no).length >= 2 && stage.answersTo(id).length >= 6, 'answered by the other');
    const all = stage.answersTo(id);
    for (const [index, answer] of all.entries()) assert.deepEqual(answer, answers[index % 2]);
    for (const answer of stage.answersTo(no)) assert.deepEqual(answer, refusal[0]);
    assert.equal(stage.events('NetworkCreateRequested').length, 1);
    stage.audit();
  }));

test('a repeated id while the command runs is answered with the acceptance, then with its outcome', () =>
  staged(async (stage) => {
    stage.reporter.isPaused = true;
    await stage.controller();
    const id = await stage.send('CreateNetwork', { name: 'web' });
    await stage.send('CreateNetwork', { name: 'web' }, { id });
    await until(() => stage.answersTo(id).length === 2, 'accepted twice');
    assert.deepEqual(stage.answersTo(id)[0], stage.answersTo(id)[1]);
    stage.reporter.isPaused = false;
    stage.reporter.work();
    await until(() => stage.answersTo(id).length === 3, 'ended');
    assert.equal(stage.answersTo(id)[2]?.status, 'succeeded');
  }));

test('an id with other content is refused, and ids of other actors are other ids', () =>
  staged(async (stage) => {
    await stage.controller();
    const id = await stage.send('CreateNetwork', { name: 'web' });
    await stage.send('CreateNetwork', { name: 'other' }, { id });
    await stage.send('CreateNetwork', { name: 'bobs' }, { id, actor: 'bob' });
    await stage.allDecided();
    assert.deepEqual(stage.codes(), ['COMMAND_ID_REUSED']);
    assert.equal(stage.events('NetworkCreateRequested').length, 2);
    await until(() => stage.answersTo(id).some(({ kind }) => kind === 'refused'), 'and answered');
    assert.partialDeepStrictEqual(
      stage.answersTo(id).find(({ kind }) => kind === 'refused'),
      { code: 'COMMAND_ID_REUSED', culprits: [{ id }] },
    );
    stage.audit();
  }));

test('what is no command is refused and recorded, and the stream goes on', () =>
  staged(async (stage) => {
    await stage.controller();
    const poison: readonly (string | Uint8Array)[] = [
      '',
      '{',
      'null',
      Uint8Array.of(0xff, 0, 0xfe),
      'x'.repeat(900_000),
      '['.repeat(60_000),
      '{"type":{"toString":1}}',
      '{"type":"CreateNetwork","version":{"valueOf":1,"toString":1}}',
      '{"type":"__proto__"}',
      JSON.stringify({ id: 'x', type: 'CreateNetwork', data: { name: '../x' } }),
      JSON.stringify({ type: 'CreateNetwork', data: Object.fromEntries([['x'.repeat(60_000), 1]]) }),
    ];
    for (const body of poison) await stage.raw(body);
    for (const subject of ['cnm.command.a.b.c.d', 'cnm.command._.h1', 'cnm.command.alice.nowhere', 'cnm.command.x=.y'])
      await stage.raw('{"type":"CreateNetwork"}', subject);
    const id = await stage.send('CreateNetwork', { name: 'web' });
    await until(() => stage.answersTo(id).length === 2, 'the next one is decided and done');
    assert.equal(stage.codes().length, poison.length + 4);
    assert.deepEqual(
      [...new Set(stage.codes())].sort(),
      ['COMMAND_MALFORMED', 'COMMAND_TOO_LARGE', 'COMMAND_UNKNOWN'].sort(),
    );
    stage.audit();
    await (await stage.controller()).deactivate();
    stage.audit();
  }));

test('ids too old or from the future are refused once, also when they are read again', () =>
  staged(async (stage) => {
    const now = systemClock.nowMs();
    for (const minted of [now - 31 * 86_400_000, now + 3_600_000, 4_000_000_000_000])
      await stage.send('CreateNetwork', { name: 'web' }, { id: commandId(minted, 'x') });
    const reused = commandId(now, 'same');
    await stage.send('CreateNetwork', { name: 'web' }, { id: reused });
    await stage.send('CreateNetwork', { name: 'other' }, { id: reused });
    for (let count = 0; count < 3; count++) {
      const controller = await stage.controller();
      await stage.allDecided();
      await stage.send('DeleteNetwork', { network: `none${count}` });
      await stage.allDecided();
      await controller.stop();
    }
    assert.deepEqual(stage.codes().slice(0, 4), [
      'COMMAND_TOO_OLD',
      'COMMAND_FROM_FUTURE',
      'COMMAND_FROM_FUTURE',
      'COMMAND_ID_REUSED',
    ]);
    assert.equal(stage.codes().length, 7);
    stage.audit();
  }));

test('ids may be valid, and remembered, for less time than the most', () =>
  staged(async (stage) => {
    const settings = { memoryMs: 2 * 86_400_000 };
    const now = systemClock.nowMs();
    const old = { id: commandId(now - 3 * 86_400_000, 'x') };
    const young = { id: commandId(now - 86_400_000, 'x') };
    await stage.controller(systemClock, stage, settings);
    await stage.send('CreateNetwork', { name: 'web' }, old);
    await stage.send('CreateNetwork', { name: 'web' }, young);
    await stage.send('CreateNetwork', { name: 'web' }, young);
    await until(
      () => stage.answersTo(young.id).filter(({ kind }) => kind === 'accepted').length === 2,
      'answered twice',
    );
    assert.deepEqual(stage.codes(), ['COMMAND_TOO_OLD']);
    assert.match(JSON.stringify(stage.answersTo(old.id)), /more than 2 days ago/);
    stage.audit();
  }));

test('a command that is not worth starting any more', () =>
  staged(async (stage) => {
    const id = commandId(systemClock.nowMs(), 'late');
    const startBy = new Date(systemClock.nowMs() - 1).toISOString();
    await stage.raw(JSON.stringify({ id, type: 'CreateNetwork', data: { name: 'web' }, startBy }));
    await stage.controller();
    await stage.allDecided();
    assert.deepEqual(stage.codes(), ['COMMAND_NOT_STARTED']);
  }));

test('commands that reach no host are refused on the realm s own subject', () =>
  staged(async (stage) => {
    await stage.controller();
    await stage.send('CreateNetwork', { name: 'n' }, { to: 'h9' });
    await stage.allDecided();
    const [refused] = stage.log
      .stored()
      .filter(({ subject }) => subject === subjects.realm)
      .slice(1);
    assert.match(new TextDecoder().decode(refused?.body), /HOST_NOT_FOUND/);
  }));

test('what the worker reports as failed is the answer', () =>
  staged(async (stage) => {
    stage.reporter.verdict = (intent) => (intent.type === 'EndpointJoinRequested' ? fault() : null);
    await stage.controller();
    await stage.send('CreateNetwork', { name: 'web' });
    const id = await stage.send('AttachSandbox', { sandbox: 's1', networks: [{ network: 'web' }] });
    await until(() => stage.answersTo(id).length === 2, 'answered');
    assert.partialDeepStrictEqual(stage.answersTo(id)[1], {
      status: 'failed',
      fault: { code: 'KERNEL_ERROR', errno: 'EPERM' },
    });
  }));
