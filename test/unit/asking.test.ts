import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Asking } from '../../services/up/asking.ts';

test('whoever asks while a question is under way gets its answer, and who asks later another one', async () => {
  let sent = 0;
  const asking = new Asking<string>(() => {
    sent += 1;
  });
  const answers = Array.from({ length: 1_000 }, () => asking.ask());
  assert.equal(sent, 1);
  asking.answer('busy');
  assert.deepEqual(new Set(await Promise.all(answers)), new Set(['busy']));
  asking.answer('for nobody');
  const later = asking.ask();
  assert.equal(sent, 2);
  asking.answer('ready');
  assert.equal(await later, 'ready');
});
