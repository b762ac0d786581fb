// What was tried on a queue is taken back whole, and what is shifted for good leaves no room behind, under a journal too.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Journal, Queue, Table } from '../../events/table.ts';

const filled = (journal: Journal, count: number): Queue<number> => {
  const queue = new Queue<number>(journal);
  for (let n = 0; n < count; n++) queue.push(n);
  return queue;
};
const all = (queue: Queue<number>): readonly (number | undefined)[] =>
  Array.from({ length: queue.length }, (_, n) => queue.at(n));

test('table: a queue and a table are as before after a rollback, however much was shifted', () => {
  const journal = new Journal();
  const [queue, table] = [filled(journal, 500), new Table<string, number>(journal)];
  table.set('a', 1);
  const before = all(queue);
  journal.begin();
  for (let n = 0; n < 400; n++) assert.equal(queue.shift(), n);
  queue.push(7);
  table.delete('a');
  table.set('b', 2);
  journal.rollback();
  assert.deepEqual([all(queue), [...table]], [before, [['a', 1]]]);
});

test('table: what is shifted commit by commit is in order, and what waits for the end of a commit is run then alone', () => {
  const journal = new Journal();
  const queue = filled(journal, 1_000);
  for (let n = 0; n < 1_000; n += 100) {
    journal.begin();
    for (let m = 0; m < 100; m++) assert.equal(queue.shift(), n + m);
    queue.push(10_000 + n);
    journal.commit();
    assert.equal(queue.at(0), n + 100 < 1_000 ? n + 100 : 10_000);
  }
  assert.deepEqual(
    all(queue),
    Array.from({ length: 10 }, (_, n) => 10_000 + 100 * n),
  );
  const ran: string[] = [];
  journal.later(() => ran.push('at once'));
  journal.begin();
  journal.later(() => ran.push('never'));
  journal.rollback();
  journal.begin();
  journal.later(() => ran.push('at the end'));
  assert.deepEqual(ran, ['at once']);
  journal.commit();
  assert.deepEqual(ran, ['at once', 'at the end']);
});
