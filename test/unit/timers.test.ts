// Timers that end together with whoever set them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Timers } from '../../services/lib/timers.ts';
import { FakeClock } from '../support/fake-clock.ts';

test('timers run once each, and none behind the end, whenever it was set', async () => {
  const clock = new FakeClock();
  const timers = new Timers(clock);
  const ran: string[] = [];
  timers.after(10, () => ran.push('first'));
  timers.after(20, () => {
    ran.push('second');
    timers.after(5, () => ran.push('third'));
  });
  timers.after(50, () => ran.push('too late'));
  await clock.advance(40);
  timers.close();
  timers.after(1, () => ran.push('never set'));
  await clock.advance(100);
  assert.deepEqual(ran, ['first', 'second', 'third']);
});
