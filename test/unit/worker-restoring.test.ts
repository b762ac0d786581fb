/** Whom a link that was lost is asked of, and when; on a clock that is moved by hand. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Operation } from '../../drivers/port.ts';
import { Restoring } from '../../services/worker/restoring.ts';
import { FakeClock, turn } from '../support/world.ts';

const lost = {
  op: 'create',
  object: {
    kind: 'device',
    netns: '/run/cnm/netns/box',
    name: 'eth0',
    source: { type: 'moved', link: 'pv1' },
    tag: { entity: 'endpoint', id: 'e1' },
  },
} as unknown as Operation;

const stage = () => {
  const clock = new FakeClock();
  const seen = { asks: [] as number[], repairs: 0, isThere: false, joinId: 'j1' as string | null };
  const restoring = new Restoring({
    lend: (endpointId) => {
      assert.equal(endpointId, 'e1');
      seen.asks.push(clock.monotonicMs());
      return Promise.resolve(seen.isThere);
    },
    joinOf: () => seen.joinId,
    later: (delayMs, run) => void clock.after(delayMs, run),
    repair: () => {
      seen.repairs += 1;
    },
    onFault: (error) => {
      throw error;
    },
  });
  return { clock, seen, restoring };
};

describe('a link of a plugin that was lost', () => {
  it('is asked for again and again, ever less often, and has nobody look at everything for it', async () => {
    const { clock, restoring, seen } = stage();
    assert.deepEqual(restoring.possible([lost]), []);
    await turn();
    await clock.advance(100_000, turn);
    assert.deepEqual(seen.asks, [0, 1_000, 3_000, 7_000, 15_000, 31_000, 61_000, 91_000]);
    assert.equal(seen.repairs, 0);
    // Whoever looks at everything for another reason finds it lost: that is known.
    assert.deepEqual(restoring.possible([lost]), []);
    await turn();
    assert.equal(seen.asks.length, 8);
    seen.isThere = true;
    await clock.advance(100_000, turn);
    assert.deepEqual([seen.asks.length, seen.repairs], [9, 1]);
    assert.deepEqual(restoring.possible([lost]), [lost]);
  });

  it('is asked for at once when a plugin is there again', async () => {
    const { clock, restoring, seen } = stage();
    restoring.possible([lost]);
    await turn();
    await clock.advance(20_000, turn);
    const asks = seen.asks.length;
    seen.isThere = true;
    restoring.activated();
    await turn();
    assert.deepEqual([seen.asks.length, seen.repairs], [asks + 1, 1]);
    restoring.activated();
    await clock.advance(100_000, turn);
    assert.deepEqual([seen.asks.length, seen.repairs], [asks + 1, 1]);
  });

  it('is not asked for when its endpoint has left, or has joined anew', async () => {
    for (const joinId of [null, 'j2']) {
      const { clock, restoring, seen } = stage();
      restoring.possible([lost]);
      await turn();
      seen.joinId = joinId;
      restoring.activated();
      await clock.advance(100_000, turn);
      assert.deepEqual([seen.asks, seen.repairs], [[0], 0]);
    }
  });
});
