// A client waits for so many answers at once, and says so when there are more.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClientBusy } from '../../services/client/errors.ts';
import { Pending } from '../../services/client/pending.ts';
import { FakeClock } from '../support/fake-clock.ts';

test('commands beyond the limit are refused before they are sent, and taken once others have their answer', () => {
  const pending = new Pending({ clock: new FakeClock(), ask: async () => null, pendingMax: 2 });
  const first = pending.wait('one');
  pending.wait('two');
  assert.throws(() => pending.wait('three'), ClientBusy);
  first.release();
  pending.wait('three');
  assert.throws(() => pending.wait('four'), /2 commands wait for their answers already/);
});
