// Holds and shredding in any order, many in a round: nothing is shredded while it is held, and views and state say the same of both.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { CommandInput, CommandType } from '../../events/commands.ts';
import { evolve } from '../../events/evolve.ts';
import { initialState } from '../../events/state.ts';
import { applyCommit, createViews } from '../../projections/views.ts';
import { World } from '../support/world.ts';

const reason = 'r';
const name = fc.constantFrom('h1', 'h2', 'h3');
const subject = fc.constantFrom('s1', 's2', 's3');
const move = fc.oneof(
  fc.record({ kind: fc.constant('set' as const), name, subject: fc.option(subject) }),
  fc.record({ kind: fc.constant('lift' as const), name }),
  fc.record({ kind: fc.constant('shred' as const), subject }),
);
type Move = typeof move extends fc.Arbitrary<infer T> ? T : never;

/** What has to be so, kept without the rules: names of holds with what they cover, and who is shredded. */
class Book {
  readonly holds = new Map<string, string | null>();
  readonly shredded = new Set<string>();

  /** The code that a move must be refused with; null: it happens. */
  take(one: Move): string | null {
    if (one.kind === 'lift') return this.holds.delete(one.name) ? null : 'HOLD_NOT_FOUND';
    if (one.subject !== null && this.shredded.has(one.subject))
      return one.kind === 'set' && this.holds.has(one.name) ? 'HOLD_EXISTS' : 'SUBJECT_SHREDDED';
    if (one.kind === 'set') {
      if (this.holds.has(one.name)) return 'HOLD_EXISTS';
      this.holds.set(one.name, one.subject);
      return null;
    }
    if ([...this.holds.values()].some((covered) => covered === null || covered === one.subject)) return 'LEGAL_HOLD';
    this.shredded.add(one.subject);
    return null;
  }
}

const commandOf = (one: Move): readonly [CommandType, CommandInput<CommandType>] => {
  if (one.kind === 'lift') return ['LiftLegalHold', { name: one.name, reason }];
  if (one.kind === 'shred') return ['ShredSubject', { subject: one.subject, reason }];
  return ['SetLegalHold', { name: one.name, reason, ...(one.subject === null ? {} : { subject: one.subject }) }];
};

test('holds: whatever comes in whatever order, what is held is not shredded', () => {
  fc.assert(
    fc.property(fc.array(move, { maxLength: 40 }), (moves) => {
      const world = new World();
      const book = new Book();
      for (const one of moves) {
        const [type, data] = commandOf(one);
        const wanted = book.take(one);
        const decision = world.decide(type, data);
        assert.equal(decision.ok ? null : decision.code, wanted, JSON.stringify(one));
        if (decision.ok) world.run(type, data);
      }
      const { shared } = world.state;
      const expected = [...book.holds].sort();
      assert.deepEqual([...shared.holds].map(([key, row]) => [key, row.subject]).sort(), expected);
      assert.deepEqual([...shared.shredded].map(([key]) => key).sort(), [...book.shredded].sort());

      const views = createViews();
      for (const [index, event] of world.log.entries()) applyCommit(views, 'cnm.event.realm._', index + 1, [event]);
      assert.deepEqual([...views.rows.holds.values()].map((row) => [row.name, row.subject]).sort(), expected);
      assert.deepEqual([...views.rows.shredded.keys()].sort(), [...book.shredded].sort());
    }),
    { numRuns: 200 },
  );
});

test('holds: what is tried on and taken back leaves no trace', () => {
  const state = initialState();
  const world = new World();
  world.run('SetLegalHold', { name: 'h1', reason });
  for (const event of world.log) evolve(state, event, 1);
  const before = JSON.stringify([[...state.shared.holds], [...state.shared.shredded]]);
  world.run('LiftLegalHold', { name: 'h1', reason });
  world.run('ShredSubject', { subject: 's1', reason });
  state.shared.journal.begin();
  for (const event of world.log.slice(-2)) evolve(state, event, 0);
  assert.notEqual(JSON.stringify([[...state.shared.holds], [...state.shared.shredded]]), before);
  state.shared.journal.rollback();
  assert.equal(JSON.stringify([[...state.shared.holds], [...state.shared.shredded]]), before);
});
