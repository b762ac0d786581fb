// What one actor asks for keeps no other waiting, and ends nothing: commands that are too much, refusals of very many, answers repeated.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { refuse } from '../../events/refusals.ts';
import { Refusals } from '../../services/controller/refusals.ts';
import { Repeats } from '../../services/controller/repeating.ts';
import { systemClock } from '../../services/lib/clock.ts';
import { inFrontOf } from '../../services/lib/stream.ts';
import { staged } from '../support/stage.ts';
import { until } from '../support/world.ts';

/** recordedBytesMax */
test('what is too much for a commit is refused, and the next one decided', () =>
  staged(async (stage) => {
    await stage.reporter.start();
    await stage.controller();
    const networks = Array.from({ length: 32 }, (_, n) => ({ network: `n${n}` }));
    for (const { network } of networks) await stage.send('CreateNetwork', { name: network, internal: true });
    await stage.allDecided();
    const extraHosts = Array.from({ length: 230 }, (_, n) => ({
      name: `h${n}.${'abcdefgh.'.repeat(22)}x`,
      address: '10.9.8.7',
    }));
    const id = await stage.send('AttachSandbox', { sandbox: 's1', networks, extraHosts }, { actor: 'mallory' });
    const other = await stage.send('AttachSandbox', { sandbox: 's2', networks }, { actor: 'bob' });
    await until(() => stage.answersTo(other, 'bob').length > 0, 'bob has an answer');
    await stage.allDecided();
    assert.deepEqual(stage.codes(), ['COMMAND_TOO_LARGE']);
    assert.partialDeepStrictEqual(stage.answersTo(id, 'mallory'), [{ kind: 'refused', code: 'COMMAND_TOO_LARGE' }]);
    assert.partialDeepStrictEqual(stage.answersTo(other, 'bob'), [{ kind: 'accepted' }]);
  }));

test('so many sums are recorded at once, and the others next: sumsAtOnceMax', () => {
  const refusals = new Refusals();
  const refusal = refuse('RATE_LIMITED', 'too many');
  for (let sequence = 1; sequence <= 300; sequence++)
    refusals.add({ actor: `a${sequence}`, id: 'x', correlationid: 'x', type: 'CreateNetwork', sequence }, refusal);
  const first = refusals.due(0);
  assert.equal(first.length, 256);
  for (const sum of first) refusals.recorded(sum, 1, 0);
  assert.equal(refusals.due(0).length, 44);
});

test('so many answers wait to be repeated, and no more: repeatsMax', async () => {
  const repeats = new Repeats();
  const held = Promise.withResolvers<void>();
  let count = 0;
  repeats.add(() => held.promise);
  for (let n = 0; n < 2_000; n++)
    repeats.add(async () => {
      count += 1;
    });
  held.resolve();
  await until(() => count >= 1_024, 'those that wait are repeated');
  await turn();
  assert.equal(count, 1_024);
});

test('an answer that takes long to repeat is repeated beside what is decided', () =>
  staged(async (stage) => {
    let [isSlow, gets] = [false, 0];
    const held = Promise.withResolvers<void>();
    const log = inFrontOf(stage.log, {
      get: async (position) => {
        gets += 1;
        if (isSlow) await held.promise;
        return stage.log.get(position);
      },
    });
    await stage.controller(systemClock, { commands: stage.commands, log });
    const id = await stage.send('CreateNetwork', { name: 'web' }, { actor: 'mallory' });
    await stage.allDecided();
    const sent = stage.sent.at(-1);
    assert.ok(sent);
    const before = stage.answersTo(id, 'mallory').length;
    isSlow = true;
    for (let count = 0; count < 10; count++) await stage.raw(sent.body, sent.subject);
    await until(() => gets > 0, 'the log is read for it');
    const other = await stage.send('CreateNetwork', { name: 'other' }, { actor: 'bob' });
    await until(() => stage.answersTo(other, 'bob').length > 0, 'bob has an answer');
    assert.equal(gets, 1, 'one at a time');
    assert.equal(stage.answersTo(id, 'mallory').length, before);
    held.resolve();
    await until(() => stage.answersTo(id, 'mallory').length >= before + 10, 'each repetition has its answer');
  }));
