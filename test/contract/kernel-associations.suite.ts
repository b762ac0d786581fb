/** What encrypts packets between hosts, behind the port: in memory or on Linux. A kernel without ESP refuses to add any, which is tested too. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { encryptedPort } from '../../drivers/objects.ts';
import type { Association, AssociationChange, Associations, KeyedAssociation } from '../../drivers/port.ts';
import { create, overlay, remove } from '../support/kernel-objects.ts';
import { type KernelHarness, setUp } from './kernel-harness.ts';

const keyed = (spi: number, more: Partial<KeyedAssociation> = {}): KeyedAssociation => ({
  source: '10.99.0.1',
  destination: '10.99.0.2',
  spi,
  key: spi.toString(16).padStart(72, '0'),
  ...more,
});

const bare = ({ source, destination, spi }: Association): Association => ({ source, destination, spi });

export const associationsSuite = (name: string, open: () => Promise<KernelHarness>): void => {
  describe(`kernel contract, associations: ${name}`, () => {
    const { use, kernel, apply } = setUp(open);
    const found = async (): Promise<Associations> => {
      const answer = await kernel().associations();
      assert.ok(answer.ok, JSON.stringify(answer));
      return answer.found;
    };
    const change = (more: Partial<AssociationChange>) =>
      kernel().changeAssociations({ guard: true, add: [], remove: [], ...more });
    const changed = async (more: Partial<AssociationChange>): Promise<void> =>
      assert.deepEqual(await change(more), { ok: true });
    const encrypted = overlay(1, { port: encryptedPort });
    /** Where nothing can be added, that is what is tested. */
    const needsEsp = async (t: TestContext): Promise<boolean> => {
      if (await use().encrypts()) return true;
      const refused = await change({ add: [keyed(0x1000)] });
      assert.ok(!refused.ok && refused.fault.code === 'KERNEL_ERROR' && refused.fault.errno !== '');
      assert.deepEqual((await found()).present, []);
      t.skip('this kernel has no ESP: it refuses to add any');
      return false;
    };

    it('guards an encrypted tunnel from its first moment to its last', async () => {
      assert.deepEqual(await found(), { present: [], guarded: false });
      await apply(create('plain', overlay(2)));
      assert.equal((await found()).guarded, false);
      await apply(create('net', encrypted));
      assert.equal((await found()).guarded, true);
      // Not while it is there.
      await changed({ guard: false });
      assert.equal((await found()).guarded, true);
      await apply(remove('net', encrypted));
      await kernel().settled();
      assert.equal((await found()).guarded, true);
      await changed({ guard: false });
      assert.equal((await found()).guarded, false);
      await changed({ guard: false });
    });

    it('guards again what somebody has stripped, as often as it is said', async () => {
      await apply(create('net', encrypted));
      await use().flushAssociations();
      assert.equal((await found()).guarded, false);
      await changed({ guard: true });
      await changed({ guard: true });
      assert.equal((await found()).guarded, true);
    });

    it('knows what an earlier process has left', async () => {
      await apply(create('net', encrypted));
      await use().restart();
      assert.equal((await found()).guarded, true);
      await apply(create('again', encrypted));
      assert.equal((await found()).guarded, true);
    });

    it('adds, then removes, and tells in the order in which they came', async (t) => {
      if (!(await needsEsp(t))) return;
      const back = keyed(0x1001, { source: '10.99.0.2', destination: '10.99.0.1' });
      await changed({ add: [keyed(0x1000), back] });
      assert.deepEqual((await found()).present, [bare(keyed(0x1000)), bare(back)]);
      await changed({ add: [keyed(0x1002)], remove: [keyed(0x1000)] });
      assert.deepEqual((await found()).present, [bare(back), bare(keyed(0x1002))]);
      await use().restart();
      assert.deepEqual((await found()).present, [bare(back), bare(keyed(0x1002))]);
      await changed({ remove: [keyed(0x1000), back, keyed(0x1002)] });
      assert.deepEqual((await found()).present, []);
    });

    it('refuses what is there, and finds nothing wrong with removing what is not', async (t) => {
      await changed({ remove: [keyed(0x1000)] });
      if (!(await needsEsp(t))) return;
      await changed({ add: [keyed(0x1000)] });
      const again = await change({ add: [keyed(0x1000)] });
      assert.ok(!again.ok);
      assert.deepEqual([again.fault.code, again.fault.errno], ['KERNEL_ERROR', 'EEXIST']);
      assert.doesNotMatch(JSON.stringify(again), new RegExp(keyed(0x1000).key));
    });
  });
};
