/** Two hosts with a tunnel between them, by objects and peers alone: what gets through, and what never leaves. */
import assert from 'node:assert/strict';
import { mkdtempSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { linuxKernel } from '../../drivers/kernel/kernel.ts';
import type { KernelObject } from '../../drivers/objects.ts';
import type { Kernel, Peer } from '../../drivers/port.ts';
import { farKernel } from '../support/far-kernel.ts';
import { create, netns, overlay, owner, peer, veth } from '../support/kernel-objects.ts';
import { inOwnNamespaces, sh, shIn, succeedsIn } from '../support/netns.ts';

if (inOwnNamespaces(import.meta.filename)) {
  describe('an overlay of two hosts', () => {
    const runDir = mkdtempSync('/run/cnm-test-');
    const far = `${runDir}-far`;
    let near: Kernel;
    let other: ReturnType<typeof farKernel>;
    const path = (number: number): string => `${number < 10 ? runDir : far}/s${number}`;
    const box = (number: number): readonly KernelObject[] => [
      netns(path(number), `s${number}`),
      veth({ network: 1, number, netns: path(number), mtu: 1450 }),
    ];
    const table = (...peers: readonly Peer[]) => [{ tunnel: 'cx1', bridge: 'cb1', peers }];
    const ok = async (results: Promise<readonly { readonly ok: boolean }[]>): Promise<void> => {
      for (const result of await results) assert.ok(result.ok, JSON.stringify(result));
    };
    /** One of three that is answered is enough: where a machine is busy, one may come too late. */
    const pings = (from: number, to: string, options = ''): boolean =>
      succeedsIn(path(from), `ping -c3 -i0.2 -W2 ${options} ${to}`);
    const isSilent = (from: number, to: string, options = ''): boolean =>
      !succeedsIn(path(from), `ping -c1 -W1 ${options} ${to}`);
    /** Packets of the tunnel that have left this host. */
    const sent = (): number => Number(/packets (\d+)/.exec(sh('nft list chain ip watch out'))?.[1]);

    before(async () => {
      sh(`mkdir ${far}; touch ${far}.net; unshare --net=${far}.net true
        ip link add up0 type veth peer name up0 netns ${far}.net
        ip addr add 10.99.0.1/24 dev up0; ip link set up0 up; ip link set lo up
        nft add table ip watch; nft add chain ip watch out '{ type filter hook output priority 0; }'
        nft add rule ip watch out udp dport 4789 counter`);
      shIn(`${far}.net`, 'ip addr add 10.99.0.2/24 dev up0; ip link set up0 up; ip link set lo up');
      near = await linuxKernel({ ...owner, runDir });
      other = farKernel(`${far}.net`, { ...owner, host: 'h-2', runDir: far });
      await ok(near.apply([create('net', overlay(1)), create('a', box(2)), create('b', box(3))]));
      await ok(other.apply([create('net', overlay(1, { local: '10.99.0.2' })), create('c', box(12))]));
      await ok(near.setPeers(table(peer(1, 12, 2))));
      await ok(other.setPeers(table(peer(1, 2, 1), peer(1, 3, 1))));
    });
    after(async () => {
      await near.close();
      await other.close();
      sh(`umount -R ${runDir}; umount -R ${far}; umount ${far}.net; rm ${far}.net; rmdir ${runDir} ${far}`);
    });

    it('carries packets both ways, of both families', () => {
      assert.ok(pings(2, '10.1.0.12'));
      assert.ok(pings(12, '10.1.0.3'));
      assert.ok(pings(3, 'fd00:1::c'));
      assert.ok(pings(12, 'fd00:1::2'));
    });

    it('carries packets as large as its MTU, and none that are larger', () => {
      // 28 bytes are the headers of IPv4 and ICMP; what is larger is refused by the sandbox's own interface.
      assert.ok(pings(2, '10.1.0.12', '-M do -s 1422'));
      assert.ok(pings(12, '10.1.0.2', '-M do -s 1422'));
      assert.ok(isSilent(2, '10.1.0.12', '-M do -s 1423'));
      assert.ok(pings(2, '10.1.0.12', '-s 4000'));
    });

    it('sends nothing to other hosts for addresses that nobody has', () => {
      assert.ok(pings(2, '10.1.0.12'));
      const before = sent();
      assert.ok(before > 0);
      assert.ok(isSilent(2, '10.1.0.99'));
      assert.ok(isSilent(2, 'fd00:1::99'));
      // One that is sent all the same, to a hardware address that nobody has.
      shIn(path(2), 'ip neigh replace 10.1.0.98 dev eth0 lladdr 02:42:0a:01:00:98');
      assert.ok(isSilent(2, '10.1.0.98'));
      assert.ok(!succeedsIn(path(2), 'ping -c1 -W1 -b 10.1.255.255'));
      assert.equal(sent(), before);
    });

    it('leads to an address at its new host as soon as that is told, and to its new hardware address', async () => {
      await ok(other.apply([create('d', box(13))]));
      assert.ok(isSilent(2, '10.1.0.13'));
      const moved: Peer = { ...peer(1, 13, 2) };
      await ok(near.changePeers([{ tunnel: 'cx1', put: [moved], drop: [] }]));
      assert.ok(pings(2, '10.1.0.13'));
      // The one who asks knows the address at the other's hardware address by now.
      const mac = '02:42:0a:01:00:77';
      const [, join] = box(13);
      assert.ok(join?.kind === 'veth');
      const object = { ...join, peer: { ...join.peer, mac } };
      await ok(other.apply([{ id: 'mac', operations: [{ op: 'update', from: join, object }] }]));
      await ok(near.changePeers([{ tunnel: 'cx1', put: [{ ...moved, mac }], drop: [moved] }]));
      assert.match(shIn(path(2), 'ip neigh show 10.1.0.13'), new RegExp(mac));
      assert.ok(pings(2, '10.1.0.13'));
    });

    it('leads nowhere when there is nobody any more', async () => {
      await ok(near.setPeers(table()));
      assert.ok(isSilent(3, '10.1.0.12'));
      assert.ok(pings(3, '10.1.0.2'));
    });
  });
}
