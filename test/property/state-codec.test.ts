// States that were written and read again, anywhere in histories of the model: the same, and they decide the same from there on.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { pino } from 'pino';
import { drivers } from '../../drivers/registry.ts';
import { remoteDriver } from '../../drivers/remote.ts';
import { DEFAULT_REALM_POOLS } from '../../events/ipam.ts';
import { takeIn } from '../../services/controller/intake.ts';
import { decideRound } from '../../services/controller/round.ts';
import { applyMessage, emptyRealm, networkBoundary, type Realm } from '../../services/lib/realm.ts';
import { RealmReader, realmLines } from '../../services/lib/realm-lines.ts';
import { Model } from './model.ts';
import { dump } from './model-checks.ts';
import { moves, realmMoves } from './model-moves.ts';
import { play, playTogether } from './model-play.ts';

const logger = pino({ level: 'silent' });
const text = (realm: Realm): unknown => JSON.parse(JSON.stringify(dump(realm)));

/** A realm made of another's lines as text, with the heads and the position that a log would give it. */
const copied = (realm: Realm): Realm => {
  const copy = emptyRealm();
  const reader = new RealmReader(copy);
  for (const line of realmLines(realm)) reader.take(JSON.parse(JSON.stringify(line)));
  copy.position = realm.position;
  for (const [subject, boundary] of realm.boundaries) {
    const own = copy.boundaries.get(subject) ?? assert.fail(`${subject} is not there`);
    own.head = boundary.head;
    own.outcomeHead = boundary.outcomeHead;
  }
  for (const [id, { head, decidedThrough }] of realm.networks) {
    const own = networkBoundary(copy, id);
    own.head = head;
    // Those that are gone are not carried over.
    if (!realm.shared.networks.has(id)) own.decidedThrough = decidedThrough;
  }
  return copy;
};

/** Of everything that is there: a controller begins a term on no other subject. */
const termsOf = (realm: Realm): readonly string[] =>
  [...realm.boundaries.values(), ...[...realm.shared.networks.keys()].map((id) => networkBoundary(realm, id))]
    .map(({ subject, term }) => `${subject} ${term}`)
    .sort();

/** What a controller would append for these commands. */
const decidedOn = (realm: Realm, model: Model): unknown => {
  let serial = 0;
  const newId = (): string => String(++serial).padStart(12, '0');
  // Under ids of their own: those of the model are decided.
  const again = model.commands.slice(-12).map((message) => {
    const intake = takeIn(message);
    return { ...intake, id: `${intake.id}x` };
  });
  const round = decideRound(realm, again, {
    realmName: 'model',
    nowMs: model.nowMs,
    drivers,
    plugin: remoteDriver,
    quarantineMs: 60_000,
    realmPools: DEFAULT_REALM_POOLS,
    realmUla: 'fdaa:bbbb:cccc::/48',
    actorProof: 'claim',
    newId,
    log: logger,
  });
  return round.batches.map(({ boundary, head, events }) => [boundary.subject, head?.position, events]);
};

/** At a few positions, and at the end; the copies go on with the rest of the log. */
const check = (model: Model, cuts: readonly number[]): void => {
  const { log } = model;
  const wanted = new Set(cuts.map((cut) => cut % Math.max(1, log.length)));
  const realm = emptyRealm();
  const copies: Realm[] = [];
  let due = false;
  for (const [index, message] of log.entries()) {
    applyMessage(realm, message);
    for (const copy of copies) applyMessage(copy, message);
    due ||= wanted.has(index);
    if (!due || realm.isTorn || realm.awaited.size > 0) continue;
    due = false;
    const copy = copied(realm);
    assert.deepEqual(text(copy), text(realm), `at ${message.position}`);
    assert.deepEqual(termsOf(copy), termsOf(realm), `terms at ${message.position}`);
    assert.deepEqual(decidedOn(copy, model), decidedOn(realm, model), `decided at ${message.position}`);
    copies.push(copy);
  }
  if (realm.isTorn) return;
  const [last, decided] = [text(realm), decidedOn(realm, model)];
  for (const copy of copies) {
    assert.deepEqual(text(copy), last);
    assert.deepEqual(decidedOn(copy, model), decided);
  }
};

const cuts = fc.array(fc.nat(200), { minLength: 1, maxLength: 4 });

test('state codec: on a host alone', () => {
  fc.assert(
    fc.property(moves, cuts, (steps, at) => {
      const model = new Model(2, ['h1', 'h2']);
      play(model, steps);
      check(model, at);
    }),
    { numRuns: 60 },
  );
});

test('state codec: on hosts with networks between them', () => {
  fc.assert(
    fc.property(realmMoves, cuts, (steps, at) => {
      const model = new Model(2, ['h1', 'h2', 'h3'], 'together');
      playTogether(model, steps);
      check(model, at);
    }),
    { numRuns: 60 },
  );
});
