/** Somebody else's link has the interface index that was to be the next of ours. */
import assert from 'node:assert/strict';
import { mkdtempSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { linuxKernel } from '../../drivers/kernel/kernel.ts';
import type { KernelObject } from '../../drivers/objects.ts';
import type { Kernel } from '../../drivers/port.ts';
import { create, network, owner, sandbox, tag, veth } from '../support/kernel-objects.ts';
import { inOwnNamespaces, ipLinks, sh } from '../support/netns.ts';

if (inOwnNamespaces(import.meta.filename)) {
  describe('an index that is in use', () => {
    const runDir = mkdtempSync('/run/cnm-test-');
    let kernel: Kernel;
    let others = 0;

    const indexOf = (name: string): number => Number(ipLinks().find(({ ifname }) => ifname === name)?.ifindex);
    const made = async (name: string, objects: readonly KernelObject[]): Promise<void> => {
      const [result] = await kernel.apply([create(name, objects)]);
      assert.ok(result?.ok, JSON.stringify(result));
    };
    const box = (number: number): readonly KernelObject[] =>
      sandbox(`s${number}`, { network: 1, number, netns: `${runDir}/s${number}` });
    /** Puts a link where the next of ours would be, or one behind it. */
    const obstruct = (ahead = 1): void => {
      const next = Math.max(...ipLinks().map(({ ifindex }) => Number(ifindex))) + ahead;
      sh(`ip link add other${++others} index ${next} type bridge`);
    };

    before(async () => {
      kernel = await linuxKernel({ ...owner, runDir });
      await made('net', network(1));
    });
    after(async () => {
      await kernel.close();
      sh(`umount -R ${runDir}; rmdir ${runDir}`);
    });

    it('of a bridge, a sandbox and a pair: each is made with one further on', async () => {
      obstruct();
      await made('net', network(2));
      assert.ok(indexOf('cb2') > indexOf('other1') + 1_000_000);
      obstruct();
      await made('box', box(2));
      assert.ok(indexOf('cv1x2') > indexOf('other2') + 1_000_000);
      obstruct();
      await made('more', [veth({ network: 2, number: 9, netns: `${runDir}/s2`, device: 'eth1' })]);
      assert.ok(indexOf('cv2x9') > indexOf('other3') + 1_000_000);
    });

    it('of either end of a stub', async () => {
      for (const [end, name] of ['cp3', 'cp4'].entries()) {
        obstruct(end + 1);
        await made(name, [{ kind: 'stub', name, mtu: 1500, tag: tag('network', name) }]);
        const [near, far] = [indexOf(name), indexOf(name.replace('p', 'q'))];
        assert.ok(Math.max(near, far) > indexOf(`other${others}`) + 1_000_000);
        assert.ok(near > 0 && far > 0);
      }
    });
  });
}
