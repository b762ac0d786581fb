// Places in turns: limits in all and per key, who is next, what is turned away.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTurns, type Turns } from '../../services/dns/turns.ts';

/** Takes, and notes who was started; ends the first of a key that is under way. */
const players = (turns: Turns) => {
  const started: string[] = [];
  const ends = new Map<string, (() => void)[]>();
  return {
    started,
    take: (key: string): boolean =>
      turns.take(key, (done) => {
        started.push(key);
        ends.set(key, [...(ends.get(key) ?? []), done]);
      }),
    end: (key: string): void => ends.get(key)?.shift()?.(),
    /** Who has a place, in the order of their keys. */
    places: (): string =>
      [...ends]
        .flatMap(([key, open]) => open.map(() => key))
        .sort()
        .join(''),
  };
};

/** All are shared. */
const shared = (count: number) => ({ placesMax: count, sharedPlaces: count, ownPlaces: 0 });

test('places are taken at once while there are any', () => {
  const turns = createTurns({ ...shared(2), placesPerKeyMax: 2, perKeyMax: 9 });
  const { take, started, end } = players(turns);
  assert.deepEqual([take('a'), take('a'), take('a')], [true, true, true]);
  assert.equal(started.join(''), 'aa');
  end('a');
  assert.equal(started.join(''), 'aaa');
  assert.equal(turns.taken, 2);
});

test('who has many waiting gets no more than who has one', () => {
  const turns = createTurns({ ...shared(1), placesPerKeyMax: 9, perKeyMax: 99 });
  const { take, started, end } = players(turns);
  for (let count = 0; count < 50; count++) take('n');
  take('a');
  take('b');
  take('a');
  while (started.length < 8) end(started.at(-1) ?? '');
  assert.equal(started.join(''), 'nnabnann');
});

test('a key keeps to its own limits, and others go past it', () => {
  const turns = createTurns({ ...shared(3), placesPerKeyMax: 2, perKeyMax: 4 });
  const { take, started, places, end } = players(turns);
  assert.deepEqual(['n', 'n', 'n', 'n', 'n', 'a'].map(take), [true, true, true, true, false, true]);
  assert.equal(places(), 'ann');
  end('a');
  assert.equal(places(), 'nn', 'the third place stays free for others');
  take('b');
  assert.equal(started.join(''), 'nnab');
  end('n');
  assert.equal(started.join(''), 'nnabn');
  assert.equal(take('n'), true, 'one has ended, so one more may come');
  assert.equal(take('n'), false);
});

test('what waits of a key is dropped, and what has a place keeps it', () => {
  const turns = createTurns({ ...shared(1), placesPerKeyMax: 1, perKeyMax: 9 });
  const { take, started, end } = players(turns);
  for (const key of ['a', 'a', 'b', 'a']) take(key);
  turns.forget('a');
  turns.forget('unknown');
  end('a');
  assert.equal(started.join(''), 'ab');
  end('b');
  assert.equal(started.join(''), 'ab');
  assert.equal(turns.taken, 0);
});

test('a place is given back once', () => {
  const turns = createTurns({ ...shared(1), placesPerKeyMax: 1, perKeyMax: 9 });
  let giveBack: () => void = () => undefined;
  turns.take('a', (done) => {
    giveBack = done;
  });
  giveBack();
  giveBack();
  assert.equal(turns.taken, 0);
});

test('some places are for those who have few, whoever holds the others', () => {
  const turns = createTurns({ placesMax: 16, sharedPlaces: 8, ownPlaces: 2, placesPerKeyMax: 8, perKeyMax: 20 });
  const { take, places: held, end } = players(turns);
  for (const key of ['a', 'b', 'c']) for (let count = 0; count < 20; count++) take(key);
  assert.equal(held(), `${'a'.repeat(8)}bbcc`);
  for (const key of ['d', 'e']) take(key);
  assert.equal(held(), `${'a'.repeat(8)}bbccde`);
  // What is given back goes to whoever is next, as far as it is shared, and to whoever has few again.
  for (let count = 0; count < 7; count++) end('a');
  assert.equal(held(), 'aabbbccde');
  assert.equal(turns.taken, 9);
});
