// What was refused in sums is kept while a controller may read the commands again, and no longer, however many actors there are.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refuse } from '../../events/refusals.ts';
import { openingOf } from '../../services/controller/commits.ts';
import { sumsOf } from '../../services/controller/sums.ts';
import { boundaryOf, foldLog, followRealm, REFUSED_ACTORS_MAX } from '../../services/lib/realm.ts';
import { memoryStream } from '../support/memory-stream.ts';

const refusal = refuse('RATE_LIMITED', 'too many', []);

test('refused sums: those before the oldest command that is not decided are forgotten', async () => {
  const log = memoryStream('CNM_LOG');
  await log.append(openingOf('test', 'opening00000', 0));
  const followed = followRealm(log);
  await followed.reader.caughtUp;
  const { realm } = followed;
  let serial = 0;
  const context = { realmName: 'test', nowMs: 0, actorProof: 'claim' as const, newId: () => `sum${++serial}` };
  /** Ten commands of an actor, refused together. */
  const refuseAll = async (actor: string, first: number, from: number): Promise<void> => {
    const senders = Array.from({ length: 10 }, (_, n) => {
      const id = `${actor}-${n}`;
      return { sequence: first + n, actor, id, correlationid: id, type: 'CreateNetwork' };
    });
    const appended = await log.append(
      sumsOf(boundaryOf(realm, null), [{ sum: { actor, refusal, senders }, senders }], from, context),
    );
    assert.ok(appended.kind === 'appended');
    await followed.reached(appended.position);
  };
  const most = REFUSED_ACTORS_MAX;
  const firstOf = (actor: number): number => 1 + 10 * actor;
  for (let actor = 0; actor < most; actor++) await refuseAll(`a${actor}`, firstOf(actor), firstOf(actor));
  assert.equal(realm.shared.refused.size, most);
  await refuseAll('next', firstOf(most), firstOf(most));
  assert.deepEqual(
    [...realm.shared.refused].map(([actor, ranges]) => [actor, ranges.length, ranges[0]?.last]),
    [['next', 1, firstOf(most) + 9]],
  );
  // one command waits: all that came behind it may be read again
  for (let actor = most + 1; actor < 2 * most + 20; actor++)
    await refuseAll(`b${actor}`, firstOf(actor), firstOf(most + 1));
  assert.equal(realm.shared.refused.size, most + 19);
  // and is decided: of one who goes on, the old ones stay with the new ones, a bounded number
  const last = 2 * most + 20;
  for (let round = 0; round < 100; round++) await refuseAll('eager', firstOf(last + round), firstOf(last + round));
  assert.deepEqual([...realm.shared.refused.keys()], ['eager']);
  assert.equal(realm.shared.refused.get('eager')?.length, 64);
  assert.deepEqual([...foldLog(log.stored()).shared.refused], [...realm.shared.refused]);
  await followed.reader.stop();
});
