// Specifications of legal holds: what they cover is not shredded, what is shredded cannot be held, and each is said of the realm.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drivers } from '../../drivers/registry.ts';
import { Command } from '../../events/commands.ts';
import { routeCommand } from '../../events/route.ts';
import { sharedState } from '../../events/state.ts';
import { did, given } from '../support/specification.ts';
import { World } from '../support/world.ts';

const reason = 'case 17';
const held = (name: string, subject?: string) =>
  did('SetLegalHold', { name, reason, ...(subject === undefined ? {} : { subject }) });

test('SetLegalHold: on a subject, or on everything', () => {
  const { when } = given();
  when('SetLegalHold', { name: 'a', subject: 's1', reason }).records({
    type: 'LegalHoldSet',
    data: { name: 'a', subject: 's1', reason },
  });
  when('SetLegalHold', { name: 'b', reason }).records({
    type: 'LegalHoldSet',
    data: { name: 'b', subject: null, reason },
  });
});

test('SetLegalHold: one name, one hold; free again once it is lifted', () => {
  const { world, when } = given(held('a', 's1'));
  when('SetLegalHold', { name: 'a', reason: 'another' }).refuses('HOLD_EXISTS', { kind: 'hold', id: 'a' });
  world.run('LiftLegalHold', { name: 'a', reason });
  when('SetLegalHold', { name: 'a', reason: 'another' }).records({ type: 'LegalHoldSet' });
});

test('LiftLegalHold: says what was covered; of no hold there is nothing to lift', () => {
  const { when } = given(held('a', 's1'));
  when('LiftLegalHold', { name: 'A', reason }).refuses('HOLD_NOT_FOUND', { kind: 'hold', id: 'A' });
  when('LiftLegalHold', { name: 'a', reason: 'closed' }).records({
    type: 'LegalHoldLifted',
    data: { name: 'a', subject: 's1', reason: 'closed' },
  });
  when('LiftLegalHold', { name: 'a', reason }).refuses('HOLD_NOT_FOUND');
});

test('ShredSubject: not while any hold covers it, whoever else is not held', () => {
  const { world, when } = given(held('b', 's1'), held('a'), held('c', 's2'));
  const culprits = when('ShredSubject', { subject: 's1', reason }).refuses('LEGAL_HOLD', { id: 'b', detail: reason });
  assert.deepEqual(
    culprits.map(({ id }) => id),
    ['a', 'b'],
  );
  world.run('LiftLegalHold', { name: 'b', reason });
  when('ShredSubject', { subject: 's1', reason }).refuses('LEGAL_HOLD', { id: 'a' });
  world.run('LiftLegalHold', { name: 'a', reason });
  when('ShredSubject', { subject: 's1', reason }).records({ type: 'SubjectShredded', data: { subject: 's1', reason } });
  when('ShredSubject', { subject: 's2', reason }).refuses('LEGAL_HOLD', { id: 'c' });
});

test('ShredSubject: once, and what is shredded cannot be held any more', () => {
  const { when } = given(did('ShredSubject', { subject: 's1', reason }));
  when('ShredSubject', { subject: 's1', reason }).refuses('SUBJECT_SHREDDED', { kind: 'subject', id: 's1' });
  when('SetLegalHold', { name: 'a', subject: 's1', reason }).refuses('SUBJECT_SHREDDED');
  when('SetLegalHold', { name: 'a', reason }).records({ type: 'LegalHoldSet' });
});

test('holds and shredding are decided for the realm, whichever host the subject names', () => {
  const hosts = new Map([['h1', new World().state]]);
  for (const [type, data] of [
    ['SetLegalHold', { name: 'a', reason }],
    ['LiftLegalHold', { name: 'a', reason }],
    ['ShredSubject', { subject: 's1', reason }],
  ] as const) {
    const command = Command.parse({ id: 'mwppn7f2-hold', type, data });
    for (const host of ['h1', 'h9', null])
      assert.deepEqual(routeCommand({ hosts, shared: sharedState(), drivers }, command, host), {
        ok: true,
        place: { kind: 'realm' },
      });
    assert.throws(() => Command.parse({ ...command, data: { ...data, reason: '' } }));
  }
});
