/** Ready or not, and why: by progress, not by how much waits. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { HealthWatch, LOOK_MS, type Look } from '../../services/lib/health.ts';
import { FakeClock } from '../support/fake-clock.ts';

const stuck = { code: 'COMMANDS_STUCK', afterMs: 10_000 } as const;

const watched = () => {
  const clock = new FakeClock();
  let look: Look = { position: 0, stages: [] };
  let head: number | Error = 0;
  const watch = new HealthWatch({
    service: 'controller',
    clock,
    look: () => look,
    head: async () => {
      if (head instanceof Error) throw head;
      return head;
    },
  });
  return {
    watch,
    clock,
    is: (next: Partial<Look>) => {
      look = { ...look, ...next };
    },
    endsAt: (next: number | Error) => {
      head = next;
    },
    /** Time goes by as it does, with a look every few seconds. */
    pass: async (ms: number) => {
      for (let left = ms; left > 0; left -= LOOK_MS) {
        await clock.advance(Math.min(left, LOOK_MS));
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
    codes: () => watch.health().reasons.map(({ code }) => code),
  };
};

describe('health', () => {
  it('is ready while it is behind and goes on, and not while it is behind and stands still', async () => {
    const { watch, is, endsAt, pass, codes } = watched();
    endsAt(1_000_000);
    for (let position = 1; position <= 20; position++) {
      is({ position });
      await pass(LOOK_MS);
      assert.deepEqual(codes(), [], `at ${position}`);
    }
    assert.equal(watch.health().lag, 999_980);
    await pass(15_000);
    assert.deepEqual(codes(), ['LOG_STUCK']);
    is({ position: 21 });
    assert.deepEqual(codes(), []);
    watch.close();
  });

  it('counts from when work waits, not from when some was done last', async () => {
    const { watch, is, pass, codes } = watched();
    await pass(3_600_000);
    is({ stages: [{ name: 'commands', waiting: 1, progress: 5, stuck }] });
    assert.deepEqual(codes(), []);
    await pass(9_000);
    assert.deepEqual(codes(), []);
    await pass(6_000);
    assert.deepEqual(codes(), ['COMMANDS_STUCK']);
    is({ stages: [{ name: 'commands', waiting: 0, progress: 5, stuck }] });
    assert.deepEqual(codes(), []);
    // and anew when it waits again
    is({ stages: [{ name: 'commands', waiting: 1, progress: 5, stuck }] });
    assert.deepEqual(codes(), []);
    watch.close();
  });

  it('finds out by itself: whoever asks for the first time is told at once', async () => {
    const { watch, is, pass } = watched();
    is({ stages: [{ name: 'commands', waiting: 3, progress: 5, stuck }] });
    await pass(20_000);
    const [reason] = watch.health().reasons;
    assert.match(reason?.says ?? '', /^3 in stage commands, and none was done for (?:1[0-9]|20) s$/);
    watch.close();
  });

  it('names what a service says of itself, with since when', async () => {
    const { watch, clock, is, pass, codes } = watched();
    const from = new Date(clock.nowMs()).toISOString();
    is({ problems: [{ code: 'LOG_UNREADABLE', says: 'too new' }] });
    watch.health();
    await pass(60_000);
    assert.deepEqual(watch.health().reasons, [{ code: 'LOG_UNREADABLE', says: 'too new', since: from }]);
    is({ problems: [] });
    assert.deepEqual(codes(), []);
    watch.close();
  });

  it('is not ready without a connection, nor from the moment that it is to stop', async () => {
    const { watch, endsAt, pass, codes } = watched();
    endsAt(new Error('nobody answers'));
    watch.connected(false);
    await pass(30_000);
    assert.deepEqual(codes(), ['DISCONNECTED']);
    watch.connected(true);
    assert.deepEqual(codes(), []);
    watch.stopping();
    assert.deepEqual(codes(), ['STOPPING']);
    watch.close();
  });
});
