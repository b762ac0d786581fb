/** Many at once: counts, and the limits of a bridge. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { linuxKernel } from '../../drivers/kernel/kernel.ts';
import type { KernelObject } from '../../drivers/objects.ts';
import type { Kernel, Plan, PlanResult } from '../../drivers/port.ts';
import { create, netns, network, owner, remove, sandbox, veth } from '../support/kernel-objects.ts';
import { inOwnNamespaces, ipLinks, sh, shIn, succeedsIn } from '../support/netns.ts';

const inBatches = async (kernel: Kernel, plans: readonly Plan[]): Promise<readonly PlanResult[]> => {
  const results: PlanResult[] = [];
  for (let at = 0; at < plans.length; at += 32) results.push(...(await kernel.apply(plans.slice(at, at + 32))));
  return results;
};

const failures = (results: readonly PlanResult[]): readonly PlanResult[] => results.filter(({ ok }) => !ok);

const received = (device: string, path: string): number => {
  const [link] = JSON.parse(shIn(path, `ip -j -s link show ${device}`)) as {
    stats64: { rx: { packets: number } };
  }[];
  return link?.stats64.rx.packets ?? -1;
};

const ipv4Only = (object: KernelObject): KernelObject => {
  if (object.kind !== 'veth') return object;
  const addresses = object.peer.addresses.filter((cidr) => !cidr.includes(':'));
  return { ...object, peer: { ...object.peer, addresses } };
};

const withoutIpv6 = (objects: readonly KernelObject[]): readonly KernelObject[] =>
  objects.filter((object) => object.kind !== 'route' || object.destination !== '::/0').map(ipv4Only);

if (inOwnNamespaces(import.meta.filename)) {
  describe('many endpoints', () => {
    const runDir = mkdtempSync('/run/cnm-test-');
    const path = (name: string): string => `${runDir}/${name}`;
    let kernel: Kernel;

    before(async () => {
      kernel = await linuxKernel({ ...owner, runDir });
    });
    after(async () => {
      await kernel.close();
      sh(`umount -R ${runDir}; rmdir ${runDir}`);
    });

    it('are attached to two bridges without flooding them, and all removed', async () => {
      const count = 1000;
      const boxes = Array.from({ length: count }, (_, at): readonly KernelObject[] => {
        const number = Math.floor(at / 2) + 2;
        const box = sandbox(`s${at}`, { network: 1 + (at % 2), number, netns: path(`s${at}`) });
        return at % 2 === 0 ? withoutIpv6(box) : box;
      });
      const nets = [...network(1), ...network(2)];
      await kernel.apply([create('nets', nets)]);
      assert.deepEqual(
        failures(
          await inBatches(
            kernel,
            boxes.map((box) => create('box', box)),
          ),
        ),
        [],
      );
      const { objects, unknown } = await kernel.census();
      assert.deepEqual([objects.length, unknown], [nets.length + boxes.flat().length, []]);
      // A generated address on any end would solicit, and announce itself, to all others.
      const links = ipLinks().filter(({ ifname }) => ifname.startsWith('cv'));
      assert.equal(links.length, count);
      assert.ok(links.every((link) => link.inet6_addr_gen_mode === 'none' && link.operstate === 'UP'));
      // Nothing but what the bridge itself said when it came up.
      assert.ok(received('eth0', path('s0')) < 10);
      // An address of IPv6 joins its multicast group, which the kernel reports twice (MLD robustness): linear, and no more.
      assert.ok(received('eth0', path('s1')) <= count + 10);
      assert.ok(succeedsIn(path('s0'), 'ping -c1 -W1 10.1.1.245'), 'the first and the last of a bridge');
      assert.deepEqual(
        failures(
          await inBatches(
            kernel,
            boxes.map((box) => remove('box', box)),
          ),
        ),
        [],
      );
      assert.deepEqual(
        readdirSync(runDir).filter((name) => name.startsWith('s')),
        [],
      );
      await kernel.settled();
      assert.deepEqual(
        ipLinks()
          .map(({ ifname }) => ifname)
          .sort(),
        ['cb1', 'cb2', 'lo'],
      );
      await kernel.apply([remove('nets', nets)]);
    });

    it('fill a bridge with the 1,023rd; one that leaves makes room at once', async () => {
      const join = (number: number): KernelObject =>
        ipv4Only(veth({ network: 3, number, netns: path('all'), device: `e${number}` }));
      const ends = Array.from({ length: 1023 }, (_, at) => join(at + 2));
      await kernel.apply([create('net', [...network(3), netns(path('all'), 'all')])]);
      assert.deepEqual(
        failures(
          await inBatches(
            kernel,
            ends.map((end) => create('join', [end])),
          ),
        ),
        [],
      );
      const [full] = await kernel.apply([create('one more', [join(2000)])]);
      assert.ok(full && !full.ok);
      assert.deepEqual([full.fault.code, full.fault.errno, full.fault.undoFaults], ['BRIDGE_FULL', 'EXFULL', []]);
      const [box] = await kernel.apply([create('box', sandbox('b', { network: 3, number: 2001, netns: path('b') }))]);
      assert.ok(box && !box.ok);
      assert.equal(box.fault.code, 'BRIDGE_FULL');
      const swap = await kernel.apply([remove('leave', [join(2)]), create('join', [join(2000)])]);
      assert.deepEqual(failures(swap), []);
      const swapWhole = await kernel.apply([
        remove('leave', [join(3)]),
        create('box', sandbox('b', { network: 3, number: 2001, netns: path('b') })),
      ]);
      assert.deepEqual(failures(swapWhole), []);
      await kernel.settled();
      assert.equal(ipLinks().filter(({ master }) => master === 'cb3').length, 1023);
      await kernel.apply([remove('box', [netns(path('all'), 'all'), ...ends, join(2000)])]);
      await kernel.settled();
      assert.equal(ipLinks().filter(({ master }) => master === 'cb3').length, 1);
    });
  });
}
