/** What tunnels know of other hosts, against what `bridge` and `ip` see and do. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { linuxKernel } from '../../drivers/kernel/kernel.ts';
import type { Kernel, Peer, PeerResult } from '../../drivers/port.ts';
import { create, overlay, owner, peer } from '../support/kernel-objects.ts';
import { inOwnNamespaces, sh } from '../support/netns.ts';
import { addPeer, entriesFor, entriesOf, losePeer } from '../support/tunnels.ts';

/** A generator of its own (mulberry32), so that a failure can be had again. */
const random = (seed: number) => {
  let state = seed;
  return (below: number): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
};

if (inOwnNamespaces(import.meta.filename)) {
  describe('peers in the kernel', () => {
    const runDir = mkdtempSync('/run/cnm-test-');
    let kernel: Kernel;
    const table = Array.from({ length: 40 }, (_, at) => peer(1, 2 + at, 2 + (at % 5)));
    const corrected = (result: PeerResult | undefined): number => {
      assert.ok(result?.ok, JSON.stringify(result));
      return result.corrected;
    };
    const set = async (peers: readonly Peer[]): Promise<number> => {
      const [result] = await kernel.setPeers([{ tunnel: 'cx1', bridge: 'cb1', peers }]);
      return corrected(result);
    };
    const check = async (): Promise<number> => {
      const [result] = await kernel.checkPeers();
      return corrected(result);
    };

    before(async () => {
      kernel = await linuxKernel({ ...owner, runDir });
      const [result] = await kernel.apply([create('net', overlay(1))]);
      assert.deepEqual(result, { ok: true });
    });
    after(async () => {
      await kernel.close();
      sh(`umount ${runDir}; rmdir ${runDir}`);
    });

    it('are the table, entry by entry', async () => {
      assert.equal(await set(table), 40 * 4);
      assert.deepEqual(entriesOf('cx1'), entriesFor(table));
      assert.equal(await check(), 0);
      // A whole table elsewhere: every way is another one, and nothing else is.
      const elsewhere = table.map((each) => ({ ...each, vtep: '10.99.0.200' }));
      assert.equal(await set(elsewhere), 40);
      assert.deepEqual(entriesOf('cx1'), entriesFor(elsewhere));
      assert.equal(await set(table), 40);
    });

    it('are repaired, whichever entries are lost', async () => {
      const seed = Date.now() % 100_000;
      const pick = random(seed);
      for (let round = 0; round < 8; round++) {
        const lost = new Set(Array.from({ length: 1 + pick(6) }, () => 4 * pick(table.length) + pick(4)));
        for (const each of lost) {
          const victim = table[each >> 2];
          assert.ok(victim);
          losePeer('cx1', victim, each & 3);
        }
        assert.equal(await check(), lost.size, `seed ${seed}, round ${round}`);
        assert.deepEqual(entriesOf('cx1'), entriesFor(table), `seed ${seed}, round ${round}`);
      }
    });

    it('are repaired where somebody has changed them', async () => {
      const [first, second, third] = table;
      assert.ok(first && second && third);
      const [address = ''] = second.addresses;
      sh(`bridge fdb replace ${first.mac} dev cx1 self dst 10.99.0.66
        bridge fdb replace ${second.mac} dev cx1 self dst ${second.vtep} port 9999
        bridge fdb replace ${third.mac} dev cx1 master local
        ip neigh replace ${address} dev cx1 lladdr 02:00:00:00:00:66 nud reachable`);
      assert.equal(await check(), 4);
      assert.deepEqual(entriesOf('cx1'), entriesFor(table));
      assert.equal(await check(), 0);
    });

    it('are alone: what others add to a tunnel of ours goes, and what they have elsewhere stays', async () => {
      sh(`ip link add theirs type vxlan id 9 dstport 4790; ip link set theirs up
        ip link add port type dummy 2>/dev/null || ip link add port type veth peer name port-end
        ip link set port up master cb1`);
      addTheirs();
      const elsewhere = [...entriesOf('theirs'), ...entriesOf('port')];
      assert.ok(elsewhere.length >= 4);
      addPeer('cx1', peer(1, 200, 66));
      sh('bridge fdb append 00:00:00:00:00:00 dev cx1 self dst 10.99.0.66');
      sh('bridge fdb append 00:00:00:00:00:00 dev cx1 self dst 10.99.0.67');
      sh(
        'bridge fdb add 02:42:0a:01:99:01 dev cx1 master local; ip neigh add 10.1.200.1 dev cx1 lladdr 02:42:0a:01:99:01',
      );
      assert.equal(await check(), 4 + 1 + 1 + 1);
      assert.deepEqual(entriesOf('cx1'), entriesFor(table));
      assert.doesNotMatch(sh('bridge fdb show dev cx1'), /02:42:0a:01:99:01/);
      assert.deepEqual([...entriesOf('theirs'), ...entriesOf('port')], elsewhere);
      assert.equal(await check(), 0);
    });
    const addTheirs = (): void => {
      sh(`bridge fdb add 02:42:0a:01:00:02 dev theirs self dst 10.98.0.1
        ip neigh add 10.1.0.2 dev theirs lladdr 02:42:0a:01:00:02
        bridge fdb add 02:42:0a:01:98:01 dev port master static
        ip neigh add 10.1.0.9 dev port lladdr 02:42:0a:01:98:01`);
    };

    it('stay beside what is dropped and put in one change', async () => {
      const [first, second, ...rest] = table;
      assert.ok(first && second);
      // The addresses of the first come again with the second's hardware address, at a third host.
      const again = { mac: second.mac, addresses: first.addresses, vtep: '10.99.0.77' };
      const [result] = await kernel.changePeers([{ tunnel: 'cx1', put: [again], drop: [first, second] }]);
      assert.deepEqual(result, { ok: true, corrected: 0 });
      assert.deepEqual(entriesOf('cx1'), entriesFor([again, ...rest]));
      assert.equal(await check(), 0);
    });

    it('fit in any number', async () => {
      const many = Array.from({ length: 3000 }, (_, at) => peer(1, 2 + at, 2 + (at % 200)));
      await set([]);
      assert.equal(await set(many), 12_000);
      assert.deepEqual(entriesOf('cx1'), entriesFor(many));
      assert.equal(await set([]), 12_000);
      assert.deepEqual(entriesOf('cx1'), []);
    });

    it('need what the kernel is said to have', async () => {
      const { capabilities } = await kernel.facts();
      sh('ip link add up0 type veth peer name up1');
      const kinds = {
        vxlan: 'type vxlan id 77 dstport 4791',
        macvlan: 'link up0 type macvlan mode bridge',
        ipvlan: 'link up0 type ipvlan mode l2',
        vlan: 'link up0 type vlan id 7',
      } as const;
      for (const name of ['vxlan', 'macvlan', 'ipvlan', 'vlan'] as const) {
        const works = spawnSync('sh', ['-c', `ip link add probe ${kinds[name]} && ip link del probe`]).status === 0;
        assert.equal(capabilities[name], works, name);
      }
      const esp = spawnSync('ip', [
        ...'xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x100 mode transport aead'.split(' '),
        ...['rfc4106(gcm(aes))', `0x${'00'.repeat(20)}`, '128'],
      ]);
      assert.equal(capabilities.esp, esp.status === 0);
    });
  });
}
