/** What packets do, seen from outside with ping. */
import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { linuxKernel } from '../../drivers/kernel/kernel.ts';
import { tableName } from '../../drivers/kernel/ruleset.ts';
import type { KernelObject } from '../../drivers/objects.ts';
import type { Kernel, Plan } from '../../drivers/port.ts';
import { create, network, owner, remove, sandbox } from '../support/kernel-objects.ts';
import { inOwnNamespaces, sh, shIn, succeedsIn } from '../support/netns.ts';

if (inOwnNamespaces(import.meta.filename)) {
  describe('traffic', () => {
    const runDir = mkdtempSync('/run/cnm-test-');
    let kernel: Kernel;
    const apply = async (...plans: Plan[]): Promise<void> => {
      assert.deepEqual(
        await kernel.apply(plans),
        plans.map(() => ({ ok: true })),
      );
    };
    const path = (at: number, number: number): string => `${runDir}/s${at}x${number}`;
    const box = (at: number, number: number): readonly KernelObject[] =>
      sandbox(`s${at}x${number}`, { network: at, number, netns: path(at, number) });
    const pings = (from: string, to: string): boolean => succeedsIn(from, `ping -c1 -W1 ${to}`);

    before(async () => {
      kernel = await linuxKernel({ ...owner, runDir });
      // A host that routes, as hosts of containers do.
      writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
      writeFileSync('/proc/sys/net/ipv6/conf/all/forwarding', '1');
      const networks = [...network(1), ...network(2), ...network(3, { internal: true })];
      await apply(
        create('nets', networks),
        ...[2, 3].flatMap((number) => [1, 2, 3].map((at) => create('box', box(at, number)))),
      );
    });
    after(async () => {
      await kernel.close();
      sh(`umount -R ${runDir}; rmdir ${runDir}`);
    });

    it('flows between endpoints of a network', () => {
      assert.ok(pings(path(1, 2), '10.1.0.3'));
      assert.ok(pings(path(1, 2), 'fd00:1::3'));
      assert.ok(pings(path(3, 2), '10.3.0.3'));
    });

    it('flows between an endpoint and its host', () => {
      assert.ok(pings(path(1, 2), '10.1.0.1'));
      assert.ok(pings(path(1, 2), 'fd00:1::1'));
      sh('ping -c1 -W1 10.1.0.2');
    });

    it('never flows from one network to another', () => {
      assert.ok(!pings(path(1, 2), '10.2.0.2'));
      assert.ok(!pings(path(1, 2), 'fd00:2::2'));
      assert.ok(!pings(path(2, 2), '10.3.0.2'));
      assert.ok(!pings(path(3, 2), '10.1.0.2'));
    });

    it('leaves the host for elsewhere, except from an internal network', async () => {
      sh('ip netns list >/dev/null; ip link add up0 type veth peer name up1; ip link set up0 up');
      sh(
        `touch ${runDir}/elsewhere; unshare --net=${runDir}/elsewhere true; ip link set up1 netns ${runDir}/elsewhere`,
      );
      sh('ip addr add 198.51.100.1/24 dev up0');
      shIn(
        `${runDir}/elsewhere`,
        'ip addr add 198.51.100.2/24 dev up1; ip link set up1 up; ip route add default via 198.51.100.1',
      );
      sh('ping -c1 -W3 198.51.100.2');
      assert.ok(pings(path(1, 2), '198.51.100.2'));
      assert.ok(!pings(path(3, 2), '198.51.100.2'), 'from an internal network');
      assert.ok(!pings(`${runDir}/elsewhere`, '10.1.0.2'), 'from elsewhere');
      sh(`ip link del up0; umount ${runDir}/elsewhere`);
    });

    it('is let through at once: the first packet of a fresh pair never waits for a second try', async () => {
      let answered = 0;
      for (let number = 10; number < 30; number += 2) {
        await apply(create('a', box(1, number)), create('b', box(1, number + 1)));
        // An address request that is lost is repeated after one second.
        if (succeedsIn(path(1, number), `ping -c1 -W0.9 10.1.0.${number + 1}`)) answered++;
        await apply(remove('a', box(1, number)), remove('b', box(1, number + 1)));
      }
      assert.equal(answered, 10);
    });

    it('stops at once when an endpoint is removed', async () => {
      await apply(create('a', box(1, 40)));
      assert.ok(pings(path(1, 2), '10.1.0.40'));
      await apply(remove('a', box(1, 40)));
      assert.ok(!pings(path(1, 2), '10.1.0.40'));
    });

    it('is isolated while no process of ours runs', async () => {
      await kernel.close();
      assert.ok(!pings(path(1, 2), '10.2.0.2'));
      kernel = await linuxKernel({ ...owner, runDir });
      assert.ok(!pings(path(1, 2), '10.2.0.2'));
    });

    it('would flow between networks without our table, which shows that the table is what stops it', async () => {
      const table = tableName(owner.realm, owner.host);
      assert.throws(() => sh(`nft delete table inet ${table} 2>/dev/null`), 'nobody else can delete it while we run');
      sh('nft flush ruleset');
      assert.ok(!pings(path(1, 2), '10.2.0.2'), 'nor flush it');
      await kernel.close();
      sh(`nft delete table inet ${table}`);
      assert.ok(pings(path(1, 2), '10.2.0.2'));
      assert.ok(pings(path(1, 2), 'fd00:2::2'));
      kernel = await linuxKernel({ ...owner, runDir });
      const plan = create('nets again', [...network(1), ...network(2), ...network(3, { internal: true })]);
      await apply(plan);
      assert.ok(!pings(path(1, 3), '10.2.0.3'));
    });
  });
}
