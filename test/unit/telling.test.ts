// Answers that are due at once go out a few at a time, in order, each once; and all of them when whoever tells them ends.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unansweredMax } from '../../services/controller/refusals.ts';
import { Telling } from '../../services/controller/telling.ts';
import { FakeClock } from '../support/fake-clock.ts';

const told = () => {
  const list: number[] = [];
  const answers = (from: number, count: number) =>
    Array.from({ length: count }, (_, index) => () => void list.push(from + index));
  return { list, answers };
};
const noFault = (error: unknown): void => assert.fail(String(error));

const upTo = (count: number): readonly number[] => Array.from({ length: count }, (_, index) => index);

test('a thousand answers go out in slices, and what comes meanwhile goes behind them', async () => {
  const clock = new FakeClock();
  const telling = new Telling(clock, () => assert.fail('there was room all the time'), noFault);
  const { list, answers } = told();
  telling.tell(answers(0, 1_000));
  const first = list.length;
  assert.ok(first > 0 && first <= 100, `${first} at once`);
  telling.tell(answers(1_000, 10));
  assert.equal(list.length, first);
  assert.equal(telling.length, 1_010 - first);
  let slices = 1;
  for (; telling.length > 0; slices++) await clock.advance(2);
  assert.ok(slices >= 10, `${slices} slices`);
  assert.deepEqual(list, upTo(1_010));
});

test('of very many more are told at once, and whoever has stopped reading goes on before all of them are', async () => {
  const clock = new FakeClock();
  const left: number[] = [];
  const telling: Telling = new Telling(clock, () => left.push(telling.length), noFault);
  const { list, answers } = told();
  const count = 2 * unansweredMax;
  telling.tell(answers(0, count));
  let slices = 1;
  for (; telling.length > 0; slices++) await clock.advance(2);
  assert.ok(slices < count / 64, `${slices} slices`);
  assert.equal(left.length, 1);
  assert.ok((left[0] ?? 0) < unansweredMax && (left[0] ?? 0) > unansweredMax / 4);
  assert.deepEqual(list, upTo(count));
});

test('a few are told at once, and all that are left at the end, none twice', async () => {
  const clock = new FakeClock();
  const telling = new Telling(clock, () => undefined, noFault);
  const { list, answers } = told();
  telling.tell(answers(0, 3));
  assert.deepEqual(list, upTo(3));
  telling.tell(answers(3, 500));
  telling.finish();
  assert.deepEqual(list, upTo(503));
  await clock.advance(1_000);
  assert.deepEqual(list, upTo(503));
  telling.tell(answers(503, 1));
  assert.deepEqual(list, upTo(504));
});

test('an answer that cannot be given is told to whoever can end the controller, wherever it is met', async () => {
  for (const at of ['first', 'later', 'last'] as const) {
    const clock = new FakeClock();
    const faults: unknown[] = [];
    const telling = new Telling(
      clock,
      () => undefined,
      (error) => faults.push(error),
    );
    const { list, answers } = told();
    const bad = () => {
      throw new Error('closed');
    };
    telling.tell(at === 'first' ? [bad, ...answers(0, 100)] : [...answers(0, 100), bad, ...answers(100, 100)]);
    if (at === 'later') await clock.advance(1_000);
    if (at === 'last') telling.finish();
    assert.equal(faults.length, 1, at);
    assert.equal(telling.length, 0);
    assert.deepEqual(list, upTo(at === 'first' ? 0 : 100));
  }
});
