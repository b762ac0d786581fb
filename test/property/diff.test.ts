// What differs between two moments, applied to one of them, is the other; and a question about part of it leaves out the rest alone.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Change } from '../../events/past-queries.ts';
import { type ViewName, viewNames } from '../../events/queries.ts';
import { applyChanges, type DiffScope, diffViews, shownViews } from '../../projections/diff.ts';
import { applyCommit, copyViews, createViews, type Views } from '../../projections/views.ts';
import { historyOf, type RandomCommit } from '../support/random-history.ts';
import { rollsOf, unit } from './histories.ts';

const rolls = rollsOf({ minLength: 30, maxLength: 250 });
const all: DiffScope = { views: viewNames };

const fold = (commits: readonly RandomCommit[], until: number): Views => {
  const views = createViews();
  for (const { subject, position, events } of commits.slice(0, until)) applyCommit(views, subject, position, events);
  return views;
};

/** As a caller gets it. */
const plain = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;
const between = (from: Views, to: Views, scope: DiffScope = all): readonly Change[] =>
  plain([...diffViews(from, to, scope)]);
const rowsIn = (views: Views): Record<ViewName, Map<string, unknown>> =>
  Object.fromEntries(
    viewNames.map((view) => [view, new Map([...views.rows[view]].map(([key, row]) => [key, plain(row)]))]),
  ) as Record<ViewName, Map<string, unknown>>;

test('diff: applied to one moment it gives the other, forwards and backwards', () => {
  const counts = { made: 0, gone: 0, changed: 0 };
  fc.assert(
    fc.property(rolls, unit, unit, (list, one, other) => {
      const { commits } = historyOf(list);
      const [from, to] = [fold(commits, one * commits.length), fold(commits, other * commits.length)];
      const changes = between(from, to);
      for (const { change } of changes) counts[change]++;
      const target = copyViews(from);
      applyChanges(target.rows, changes);
      assert.deepEqual(rowsIn(target), rowsIn(to));
      assert.deepEqual(between(to, target), []);
    }),
    { numRuns: 300 },
  );
  assert.ok(counts.made > 1_000 && counts.gone > 1_000 && counts.changed > 1_000, JSON.stringify(counts));
});

test('diff: each change names its row once, and says no more than what has changed', () => {
  fc.assert(
    fc.property(rolls, unit, (list, cut) => {
      const { commits } = historyOf(list);
      const [from, to] = [fold(commits, cut * commits.length), fold(commits, commits.length)];
      const changes = between(from, to);
      const keys = changes.map(({ view, key }) => `${view} ${key}`);
      assert.equal(new Set(keys).size, keys.length);
      for (const { change, row, fields, name } of changes) {
        assert.ok(name !== '');
        assert.equal(row === undefined, change === 'changed');
        assert.equal(fields === undefined, change !== 'changed');
        for (const { before, after } of fields ?? []) assert.notDeepEqual(before, after);
      }
      assert.deepEqual(between(from, from), []);
    }),
    { numRuns: 150 },
  );
});

test('diff: a host and a network are asked for by leaving out what is of others', () => {
  let [ofHosts, ofNetworks] = [0, 0];
  fc.assert(
    fc.property(rolls, unit, (list, cut) => {
      const { commits } = historyOf(list);
      const [from, to] = [fold(commits, cut * commits.length), fold(commits, commits.length)];
      const rowOf = ({ view, key }: Change): Record<string, unknown>[] =>
        [from, to].flatMap((views) => {
          const row = views.rows[view].get(key);
          return row === undefined ? [] : [row as unknown as Record<string, unknown>];
        });
      const whole = between(from, to);
      for (const host of ['h1', 'h2']) {
        const expected = whole.filter((change) => rowOf(change).some((row) => row.host === host));
        assert.deepEqual(between(from, to, { ...all, host }), expected);
        ofHosts += expected.length;
      }
      const networks = [from, to].flatMap((views) => [...views.rows.networks.values()]);
      for (const { id, name, host } of networks.slice(0, 3)) {
        const views = ['networks', 'endpoints', 'addresses', 'names', 'hosts', 'drivers'] as const;
        const isOf = (row: Record<string, unknown>, view: ViewName): boolean =>
          view === 'networks' ? row.id === id : view !== 'hosts' && view !== 'drivers' && row.networkId === id;
        const expected = between(from, to, { views }).filter((change) =>
          rowOf(change).some((row) => isOf(row, change.view)),
        );
        assert.deepEqual(between(from, to, { views, network: id }), expected);
        const sameName = networks.filter((other) => other.name === name && other.host === host && other.id !== id);
        if (sameName.length === 0) {
          assert.deepEqual(between(from, to, { views, network: `${host}/${name.toUpperCase()}` }), expected);
        }
        ofNetworks += expected.length;
      }
    }),
    { numRuns: 150 },
  );
  assert.ok(ofHosts > 1_000 && ofNetworks > 300, JSON.stringify([ofHosts, ofNetworks]));
});

test('diff: fields are named by JSON pointers, lists are wholes, and what is not there is left out', () => {
  const base = fold(historyOf([]).commits, 1);
  const withLabels = (labels: Record<string, string>, ipv4: unknown): Views => {
    const views = copyViews(base);
    views.rows.networks.set('n', { id: 'n', name: 'web', host: 'h1', labels, aliases: ipv4 } as never);
    return views;
  };
  const [from, to] = [
    withLabels({ 'a/b': '1', gone: '2' }, ['x']),
    withLabels({ 'a/b': '3', '~new': '4' }, ['x', 'y']),
  ];
  const [change] = between(from, to, { views: shownViews });
  assert.deepEqual(change, {
    ...{ view: 'networks', key: 'n', name: 'web', change: 'changed' },
    fields: [
      { path: '/labels/a~1b', before: '1', after: '3' },
      { path: '/labels/gone', before: '2' },
      { path: '/labels/~0new', after: '4' },
      { path: '/aliases', before: ['x'], after: ['x', 'y'] },
    ],
  });
  assert.throws(() => applyChanges(to.rows, [{ ...(change as Change), change: 'made', row: {} }]), RangeError);
});
