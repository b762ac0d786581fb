// Answers that are due at once go out a few at a time, in order, each once; and all of them when whoever tells them ends.
import assert from 'node:assert/strict';
import { test } from 'node:test';
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
  let rests = 0;
  const telling = new Telling(
    clock,
    () => {
      rests += 1;
    },
    noFault,
  );
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
  assert.equal(rests, 1);
  assert.deepEqual(list, upTo(1_010));
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
