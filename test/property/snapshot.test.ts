// A snapshot is the views, and folding goes on from it as if it had never stopped.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeCommit } from '../../events/envelope.ts';
import { compareViews } from '../../projections/compare.ts';
import type { RowChange } from '../../projections/observer.ts';
import { SnapshotInvalid, snapshotLines, viewsOf } from '../../projections/snapshot.ts';
import { createViews } from '../../projections/views.ts';
import { historyOf } from '../support/random-history.ts';
import { fold, rolls, textOf } from './histories.ts';
import { Model } from './model.ts';
import { moves } from './model-moves.ts';
import { play } from './model-play.ts';

test('snapshots: lines of views are the views again, byte for byte', () => {
  fc.assert(
    fc.property(rolls, (list) => {
      const views = fold(historyOf(list).commits);
      const again = viewsOf(snapshotLines(views, 'all'));
      assert.deepEqual(compareViews(again, views), []);
      assert.deepEqual([again.position, again.day], [views.position, views.day]);
      assert.deepEqual([...snapshotLines(again, 'all')], [...snapshotLines(views, 'all')]);
    }),
    { numRuns: 300 },
  );
});

test('snapshots: folding goes on from one at any position as from the opening', () => {
  let left = 0;
  fc.assert(
    fc.property(rolls, fc.nat(), (list, cut) => {
      const { commits } = historyOf(list);
      const at = cut % (commits.length + 1);
      const first = fold(commits.slice(0, at));
      const kept = [...snapshotLines(first, 'needed')];
      left += [...snapshotLines(first, 'all')].length - kept.length;
      const second = fold(commits.slice(at), viewsOf(kept));
      const others = compareViews(second, fold(commits)).filter(({ view }) => view !== 'commands');
      assert.deepEqual(others, []);
    }),
    { numRuns: 1_000 },
  );
  assert.ok(left > 1_000, `only ${left} commands were left out`);
});

test('snapshots: nor does it matter in histories that the deciders have made', () => {
  fc.assert(
    fc.property(moves, fc.nat(), (steps, cut) => {
      const model = new Model(2, ['h1', 'h2']);
      play(model, steps);
      const commits = model.log.map((message) => ({
        subject: message.subject,
        position: message.position,
        events: decodeCommit(message.body, message.subject),
      }));
      const at = cut % (commits.length + 1);
      const second = fold(commits.slice(at), viewsOf(snapshotLines(fold(commits.slice(0, at)), 'needed')));
      const others = compareViews(second, fold(commits)).filter(({ view }) => view !== 'commands');
      assert.deepEqual(others, []);
    }),
    { numRuns: 100 },
  );
});

test('snapshots: what is no snapshot is refused', () => {
  const start = '{"position":1,"day":"2026-11-20"}';
  const broken = [
    [],
    ['{"position":1}'],
    ['null'],
    [start, '{"a":1}'],
    [start, '["rooms","k",{}]'],
    [start, '["hosts","k",1]'],
    [start, '["ho'],
  ];
  for (const lines of broken) assert.throws(() => viewsOf(lines), SnapshotInvalid, lines.join());
  assert.equal(viewsOf([start]).position, 1);
});

test('observer: the changes that it is told of add up to the views, and are told at their events', () => {
  fc.assert(
    fc.property(rolls, (list) => {
      const { commits } = historyOf(list);
      const told = new Map<string, unknown>();
      let moment = '';
      const moments = new Set<string>();
      const changed = ({ view, key, before, after }: RowChange): void => {
        assert.equal(told.get(`${view} ${key}`), before);
        moments.add(moment);
        if (after === undefined) told.delete(`${view} ${key}`);
        else told.set(`${view} ${key}`, after);
      };
      const at = (position: number, index: number): void => {
        moment = `${position}.${index}`;
      };
      const views = fold(commits, createViews({ at, changed }));
      const expected = (['endpoints', 'addresses', 'names', 'ports'] as const).flatMap((view) =>
        [...views.rows[view]].map(([key, row]) => [`${view} ${key}`, row] as const),
      );
      assert.deepEqual(new Map([...told].sort()), new Map(expected.sort(([a], [b]) => (a < b ? -1 : 1))));
      const events = commits.flatMap(({ position, events: own }) => own.map((_, index) => `${position}.${index}`));
      assert.ok([...moments].every((one) => events.includes(one)));
      assert.equal(textOf(views), textOf(fold(commits)));
    }),
    { numRuns: 300 },
  );
});
