// Answers in turns of the loop: who asks much is answered no more often than who asks little, and dropped beyond his line.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { Questions } from '../../services/dns/questions.ts';

const players = () => {
  const questions = new Questions();
  const answered: string[] = [];
  const player = (name: string) => {
    const line = questions.line();
    let asked = 0;
    const ask = (times: number): number => {
      let taken = 0;
      for (let time = 0; time < times; time++) {
        const number = asked++;
        if (line.isFull) continue;
        line.ask(() => answered.push(`${name}${number}`));
        taken += 1;
      }
      return taken;
    };
    return { ask, close: () => line.close() };
  };
  return { answered, player, of: (name: string) => answered.filter((each) => each.startsWith(name)) };
};

test('who asks little is answered at once', async () => {
  const { answered, player } = players();
  const a = player('a');
  for (let turn = 0; turn < 20; turn++) {
    a.ask(2);
    assert.equal(answered.length, 2 * turn + 2);
    await setImmediate();
  }
});

test('who asks much is answered in order, and what does not fit into his line is dropped', async () => {
  const { answered, player } = players();
  const a = player('a');
  const taken = a.ask(1_000);
  assert.ok(taken > 200 && taken < 300, `${taken}`);
  while (answered.length < taken) await setImmediate();
  for (let turn = 0; turn < 50; turn++) await setImmediate();
  assert.deepEqual(
    answered,
    Array.from({ length: taken }, (_, index) => `a${index}`),
  );
});

test('a turn of the loop answers few, however many ask much', async () => {
  const { answered, player } = players();
  const many = Array.from({ length: 40 }, (_, index) => player(`p${index}-`));
  for (let turn = 0; turn < 20; turn++) {
    const before = answered.length;
    for (const one of many) one.ask(32);
    await setImmediate();
    assert.ok(answered.length - before <= 16, `${answered.length - before} in one turn`);
  }
  assert.ok(answered.length >= 100);
});

test('beside many who ask much, who asks little waits for one question of each', async () => {
  const { player, of } = players();
  const many = Array.from({ length: 40 }, (_, index) => player(`p${index}-`));
  for (const one of many) one.ask(300);
  const polite = player('polite');
  assert.equal(polite.ask(1), 1);
  let turns = 0;
  for (; of('polite').length === 0; turns++) {
    for (const one of many) one.ask(32);
    await setImmediate();
  }
  assert.ok(turns <= 8, `${turns} turns`);
  const counts = many.map((_, index) => of(`p${index}-`).length);
  assert.ok(Math.max(...counts) - Math.min(...counts) <= 6, counts.join());
});

test('nobody is answered who has closed his line', async () => {
  const { answered, player } = players();
  const [a, b] = [player('a'), player('b')];
  a.ask(100);
  b.ask(100);
  const before = answered.filter((each) => each.startsWith('a')).length;
  a.close();
  for (let turn = 0; turn < 50; turn++) await setImmediate();
  assert.equal(answered.filter((each) => each.startsWith('a')).length, before);
  assert.equal(answered.filter((each) => each.startsWith('b')).length, 100);
});

// perTurnMax
test('eight are answered in one turn, whoever they are of', async () => {
  const questions = new Questions();
  let answered = 0;
  for (let asked = 0; asked < 20; asked++) questions.line().ask(() => answered++);
  assert.equal(answered, 8);
  await setImmediate();
  assert.equal(answered, 16);
});

// waitingMax
test('256 of one sandbox wait, and no more until some are answered', async () => {
  const line = new Questions().line();
  let answered = 0;
  let asked = 0;
  for (; !line.isFull; asked++) line.ask(() => answered++);
  assert.equal(asked - answered, 256);
  await setImmediate();
  assert.equal(line.isFull, false);
});
