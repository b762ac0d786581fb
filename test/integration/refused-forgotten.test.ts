// What was refused in sums is kept while a controller may read the commands again, and no longer, however many actors there are.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refuse } from '../../events/refusals.ts';
import { openingOf } from '../../services/controller/commits.ts';
import { sumsOf } from '../../services/controller/sums.ts';
import { boundaryOf, foldLog, followRealm } from '../../services/lib/realm.ts';
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
  for (let actor = 0; actor < 300; actor++) await refuseAll(`a${actor}`, 1 + 10 * actor, 1 + 10 * actor);
  assert.deepEqual(
    [...realm.shared.refused].map(([actor, ranges]) => [actor, ranges.length, ranges[0]?.last]),
    [['a299', 1, 3_000]],
  );
  // one command waits: all that came behind it may be read again
  for (let actor = 300; actor < 320; actor++) await refuseAll(`a${actor}`, 1 + 10 * actor, 3_000);
  assert.equal(realm.shared.refused.size, 21);
  // of one who goes on, the old ones stay with the new ones, a bounded number
  for (let round = 0; round < 100; round++) await refuseAll('a319', 3_201 + 10 * round, 3_201 + 10 * round);
  assert.deepEqual([...realm.shared.refused.keys()], ['a319']);
  assert.equal(realm.shared.refused.get('a319')?.length, 64);
  assert.deepEqual([...foldLog(log.stored()).shared.refused], [...realm.shared.refused]);
  await followed.reader.stop();
});
