/** Tunnels and what they know of other hosts, behind the port: in memory or on Linux. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { KernelObject } from '../../drivers/objects.ts';
import { diff } from '../../drivers/plan.ts';
import type { Peer, PeerResult } from '../../drivers/port.ts';
import { create, netns, overlay, peer, remove, tag, veth, vxlan } from '../support/kernel-objects.ts';
import { type KernelHarness, setUp } from './kernel-harness.ts';

const corrected = (result: PeerResult | undefined): number => {
  assert.ok(result?.ok, JSON.stringify(result));
  return result.corrected;
};

const errnoOf = (result: PeerResult | undefined): string => {
  assert.ok(result && !result.ok);
  assert.equal(result.fault.code, 'KERNEL_ERROR');
  return result.fault.errno;
};

export const peersSuite = (name: string, open: () => Promise<KernelHarness>): void => {
  describe(`kernel contract, tunnels: ${name}`, () => {
    const { use, kernel, apply, faultOf, holds } = setUp(open);
    const set = async (at: number, peers: readonly Peer[]): Promise<number> => {
      const [result] = await kernel().setPeers([{ tunnel: `cx${at}`, bridge: `cb${at}`, peers }]);
      return corrected(result);
    };
    const change = async (at: number, put: readonly Peer[], drop: readonly Peer[]): Promise<PeerResult | undefined> => {
      const [result] = await kernel().changePeers([{ tunnel: `cx${at}`, put, drop }]);
      return result;
    };
    const leadsTo = async (at: number, ...peers: readonly Peer[]): Promise<void> => {
      const wanted = peers.toSorted((a, b) => (a.mac < b.mac ? -1 : 1));
      assert.deepEqual(await use().peersOf(`cx${at}`), wanted);
    };
    const box = (number: number): readonly KernelObject[] => {
      const join = { network: 1, number, netns: use().path(`s${number}`), mtu: 1450 };
      return [netns(join.netns, `s${number}`), veth(join)];
    };
    /** Fails when everything before it is done. */
    const failing = (): KernelObject => veth({ network: 7, number: 2, netns: use().path('nowhere') });

    it('holds a tunnel, whether it was there or not, and nothing of it afterwards', async () => {
      await apply(create('net', overlay(1)), create('box', box(2)), create('again', overlay(1)));
      await holds(...overlay(1), ...box(2));
      await use().restart();
      await apply(create('again', overlay(1)));
      await holds(...overlay(1), ...box(2));
      await apply(remove('box', box(2)), remove('net', overlay(1)), remove('again', overlay(1)));
      await holds();
      await kernel().settled();
      await holds();
    });

    it('makes a tunnel again that was just removed', async () => {
      for (let round = 0; round < 5; round++) {
        await apply(create('net', overlay(1)));
        await holds(...overlay(1));
        await apply(remove('net', overlay(1)));
      }
      await apply(create('net', overlay(1)), remove('net', overlay(1)), create('net', overlay(1)));
      await holds(...overlay(1));
    });

    it('changes what can be changed of a tunnel, and makes it anew for the rest', async () => {
      await apply(create('net', overlay(1)));
      await set(1, [peer(1, 2, 2)]);
      for (const changes of [{ mtu: 1400 }, { local: '10.99.0.9' }, { vni: 77, mtu: 1300 }, { port: 4790 }]) {
        const { objects } = await kernel().census();
        await apply({ id: 'change', operations: diff(overlay(1, changes), objects) });
        await holds(...overlay(1, changes));
        await leadsTo(1, peer(1, 2, 2));
      }
    });

    it('undoes making, changing and removing', async () => {
      await faultOf(create('net', [...overlay(1), failing()]));
      await holds();
      await apply(create('net', overlay(1)));
      await set(1, [peer(1, 2, 2), peer(1, 3, 3)]);
      for (const changes of [{ mtu: 1400 }, { local: '10.99.0.9' }]) {
        const update = { op: 'update', from: vxlan(1), object: vxlan(1, changes) } as const;
        await faultOf({ id: 'change', operations: [update, ...create('', [failing()]).operations] });
        await holds(...overlay(1));
        await leadsTo(1, peer(1, 2, 2), peer(1, 3, 3));
      }
      const left = remove('net', overlay(1)).operations;
      await faultOf({ id: 'remove', operations: [...left, ...create('', [failing()]).operations] });
      await holds(...overlay(1));
      await leadsTo(1, peer(1, 2, 2), peer(1, 3, 3));
      // Another network took the segment, for a moment.
      const other = overlay(2, { vni: vxlan(1).vni });
      await faultOf({ id: 'swap', operations: [...left, ...create('', [...other, failing()]).operations] });
      await holds(...overlay(1));
      await leadsTo(1, peer(1, 2, 2), peer(1, 3, 3));
    });

    it('gives a segment that a left-over of ours has to the network that wants it', async () => {
      await apply(create('old', overlay(1)), create('new', overlay(2, { vni: vxlan(1).vni })));
      await holds(...overlay(1).filter(({ kind }) => kind !== 'vxlan'), ...overlay(2, { vni: vxlan(1).vni }));
    });

    it('refuses a tunnel without its bridge, or under a name that is not its own', async () => {
      assert.equal((await faultOf(create('tunnel', [vxlan(1)]))).errno, 'ENODEV');
      await apply(create('net', overlay(1)));
      const other = vxlan(1, { tag: tag('network', 'n1b') });
      assert.equal((await faultOf(create('other', [other]))).code, 'FOREIGN_OBJECT');
      await apply(remove('other', [other]));
      await holds(...overlay(1));
      await use().addForeignBridge('cx2');
      assert.equal((await faultOf(create('foreign', overlay(2)))).code, 'FOREIGN_OBJECT');
      await holds(...overlay(1));
    });

    it('leads to the peers of a table, and to nobody else', async () => {
      await apply(create('nets', [...overlay(1), ...overlay(2)]));
      const table = [peer(1, 2, 2), peer(1, 3, 2), peer(1, 4, 3)];
      assert.ok((await set(1, table)) > 0);
      await leadsTo(1, ...table);
      assert.equal(await set(1, table), 0);
      const others = [peer(1, 3, 3), peer(1, 9, 2)];
      assert.ok((await set(1, others)) > 0);
      await leadsTo(1, ...others);
      await leadsTo(2);
      assert.ok((await set(1, [])) > 0);
      await leadsTo(1);
    });

    it('changes a table, and lets an address come again at another host', async () => {
      await apply(create('net', overlay(1)));
      await set(1, [peer(1, 2, 2), peer(1, 3, 2)]);
      assert.deepEqual(await change(1, [peer(1, 4, 3), peer(1, 2, 3)], [peer(1, 3, 2), peer(1, 2, 2)]), {
        ok: true,
        corrected: 0,
      });
      await leadsTo(1, peer(1, 2, 3), peer(1, 4, 3));
      const poorer = { ...peer(1, 4, 3), addresses: peer(1, 4, 3).addresses.slice(0, 1) };
      const moved = { ...peer(1, 2, 2), mac: '02:42:0a:01:00:77' };
      assert.equal(corrected(await change(1, [poorer, moved], [peer(1, 2, 3), peer(1, 88, 8)])), 0);
      await leadsTo(1, poorer, moved);
      assert.deepEqual(await kernel().checkPeers(), [{ ok: true, corrected: 0, tunnel: 'cx1' }]);
    });

    it('repairs what is lost and removes what is strange', async () => {
      await apply(create('nets', [...overlay(1), ...overlay(2)]));
      const table = [peer(1, 2, 2), peer(1, 3, 2), peer(1, 4, 3)];
      await set(1, table);
      await set(2, [peer(2, 2, 2)]);
      await use().losePeer('cx1', peer(1, 3, 2));
      await use().addStranger('cx1', peer(1, 66, 6));
      const [first, second] = await kernel().checkPeers();
      assert.ok(corrected(first) > 0);
      assert.deepEqual(second, { ok: true, corrected: 0, tunnel: 'cx2' });
      await leadsTo(1, ...table);
      await leadsTo(2, peer(2, 2, 2));
    });

    it('says when there is no tunnel, and fills it when it is back', async () => {
      await apply(create('net', overlay(1)));
      const tables = [1, 2].map((at) => ({ tunnel: `cx${at}`, bridge: `cb${at}`, peers: [peer(at, 2, 2)] }));
      const [there, missing] = await kernel().setPeers(tables);
      assert.ok(corrected(there) > 0);
      assert.equal(errnoOf(missing), 'ENODEV');
      await use().loseLink('cx1');
      assert.equal(errnoOf(await change(1, [peer(1, 4, 3)], [])), 'ENODEV');
      assert.deepEqual((await kernel().checkPeers()).map(errnoOf), ['ENODEV', 'ENODEV']);
      assert.equal(errnoOf(await change(1, [peer(1, 3, 3)], [])), 'ENODEV');
      await apply(create('net', overlay(1)));
      await leadsTo(1, peer(1, 2, 2), peer(1, 3, 3), peer(1, 4, 3));
      assert.equal(corrected(await change(1, [peer(1, 5, 3)], [peer(1, 2, 2)])), 0);
      await leadsTo(1, peer(1, 3, 3), peer(1, 4, 3), peer(1, 5, 3));
    });

    it('forgets the table of a tunnel that it removes, and all with its process', async () => {
      await apply(create('nets', [...overlay(1), ...overlay(2)]));
      await set(1, [peer(1, 2, 2)]);
      await set(2, [peer(2, 2, 2)]);
      await apply(remove('net', overlay(1)), create('net', overlay(1)));
      assert.deepEqual(await kernel().checkPeers(), [{ ok: true, corrected: 0, tunnel: 'cx2' }]);
      assert.equal(errnoOf(await change(1, [peer(1, 3, 3)], [])), 'ENODEV');
      await leadsTo(1);
      await use().restart();
      assert.deepEqual(await kernel().checkPeers(), []);
      await leadsTo(2, peer(2, 2, 2));
      assert.equal(await set(2, [peer(2, 2, 2)]), 0);
    });
  });
};
