/** Addresses that are used again at once, by somebody with another hardware address. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { KernelObject } from '../../drivers/objects.ts';
import { create, netns, network, remove, sandbox, veth } from '../support/kernel-objects.ts';
import { LinuxLab } from '../support/linux-lab.ts';
import { inOwnNamespaces, shIn, succeedsIn } from '../support/netns.ts';

if (inOwnNamespaces(import.meta.filename)) {
  describe('neighbours', () => {
    let lab: LinuxLab;
    const path = (name: string): string => lab.path(name);
    const box = (number: number, name: string, mac?: string): readonly KernelObject[] =>
      sandbox(name, { network: 1, number, netns: path(name) }).map((object) =>
        object.kind === 'veth' && mac ? { ...object, peer: { ...object.peer, mac } } : object,
      );
    const targets = ['10.1.0.3', 'fd00:1::3'];
    // Long enough for a second try, and far from the half minute that a wrong entry lasts.
    const reaches = (where: string): readonly boolean[] =>
      targets.map((target) => succeedsIn(where, `ping -c1 -W3 ${target}`));
    const macs = (where: string): readonly string[] =>
      targets.map((target) => {
        const [entry] = JSON.parse(shIn(where, `ip -j neigh show ${target}`)) as { lladdr?: string }[];
        return entry?.lladdr ?? '';
      });
    const [self, first] = ['/proc/self/ns/net', '02:42:0a:01:00:03'];

    beforeEach(async () => {
      lab = await LinuxLab.open();
      await lab.apply(create('net', network(1)), create('a', box(2, 'a')), create('b', box(3, 'b')));
      for (const where of [path('a'), self]) {
        assert.deepEqual(reaches(where), [true, true]);
        assert.deepEqual(macs(where), [first, first]);
      }
    });
    afterEach(async () => {
      await lab.close();
    });

    /** They know the new hardware address before they have sent anything. */
    const know = (mac: string): void => {
      for (const where of [path('a'), self]) {
        assert.deepEqual(macs(where), [mac, mac]);
        assert.deepEqual(reaches(where), [true, true]);
      }
    };

    it('learn at once where an address is now', async () => {
      await lab.apply(remove('b', box(3, 'b')), create('c', box(3, 'c', '02:00:00:00:00:0c')));
      know('02:00:00:00:00:0c');
      await lab.apply(remove('c', box(3, 'c')));
      await lab.apply(create('d', box(3, 'd')));
      know(first);
    });

    it('learn it in a namespace that was there already', async () => {
      const { peer, ...rest } = veth({ network: 1, number: 3, netns: path('c') });
      await lab.apply(create('c', [netns(path('c'), 'c')]), remove('b', box(3, 'b')));
      await lab.apply(create('join', [{ ...rest, peer: { ...peer, mac: '02:00:00:00:00:0d' } }]));
      know('02:00:00:00:00:0d');
    });

    it('learn it from a process that does not know who had the address before', async () => {
      await lab.apply(remove('b', box(3, 'b')));
      await lab.kernel.close();
      await lab.start();
      await lab.apply(create('c', box(3, 'c', '02:00:00:00:00:0e')));
      know('02:00:00:00:00:0e');
    });

    it('learn it when an interface gets another hardware address', async () => {
      const from = veth({ network: 1, number: 3, netns: path('b') });
      const object = { ...from, peer: { ...from.peer, mac: '02:00:00:00:00:0f' } };
      await lab.apply({ id: 'change', operations: [{ op: 'update', from, object }] });
      know('02:00:00:00:00:0f');
    });

    it('are told nothing of what was undone', async () => {
      const bad = veth({ network: 9, number: 4, netns: path('nowhere') });
      const plan = create('x', [...box(3, 'c', '02:00:00:00:00:0c').map(rename), bad]);
      const [result] = await lab.kernel.apply([plan]);
      assert.ok(result && !result.ok);
      know(first);
    });
    const rename = (object: KernelObject): KernelObject =>
      object.kind === 'veth' ? { ...object, name: 'cv1x9' } : object;
  });
}
