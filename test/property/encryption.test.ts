// Encrypted hosts whatever becomes of them: no key is added twice (EncryptedHost checks each), and in the end all reach all.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cutOff, type EncryptedHost, encryptedHosts } from '../support/encrypted-hosts.ts';

const hostCount = 3;
const host = fc.nat(hostCount - 1);

const move = fc.oneof(
  fc.record({ kind: fc.constant('rotate' as const) }),
  fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 100, max: 15_000 }) }),
  fc.record({ kind: fc.constantFrom('follow', 'restart', 'reboot', 'flush', 'leave', 'come'), host }),
  fc.record({ kind: fc.constant('lose' as const), host, at: fc.nat(5) }),
);
type Move = typeof move extends fc.Arbitrary<infer T> ? T : never;

const perform = async (one: EncryptedHost, each: Extract<Move, { host: number }>): Promise<void> => {
  switch (each.kind) {
    case 'follow':
      return one.follow();
    case 'restart':
      return one.start();
    case 'reboot':
      return one.reboot();
    case 'flush':
      one.kernel.lose();
      one.kernel.guarded = false;
      return;
    case 'lose': {
      const { present } = one.kernel.found;
      const lost = present[(each as { readonly at: number }).at % Math.max(present.length, 1)];
      if (lost) one.kernel.lose(lost);
      return;
    }
    default:
      return one.use(each.kind === 'come');
  }
};

test('keys are never used twice, nothing piles up, and all reach all in the end', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(move, { maxLength: 25 }), async (moves) => {
      const { hosts, clock, rotate, turn } = await encryptedHosts(hostCount);
      for (const each of moves) {
        const one = hosts['host' in each ? each.host : 0];
        if (each.kind === 'rotate') rotate();
        else if (each.kind === 'wait') await clock.advance(each.ms);
        else if (one && 'host' in each) await perform(one, each);
      }
      for (const one of hosts) await one.use(true);
      await turn();
      await clock.advance(60_000, turn);
      assert.deepEqual(cutOff(hosts), []);
      for (const one of hosts) {
        const { present, guarded } = one.kernel.found;
        assert.equal(guarded, true);
        // In each direction one with each host, and the one before where packets come in.
        assert.ok(present.length <= 3 * (hostCount - 1), `${one.name} has ${present.length}`);
        one.close();
      }
    }),
    { numRuns: 150 },
  );
});
