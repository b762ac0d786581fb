/** Devices as the machine's own tools see them: what a dead process left, what somebody broke, what a neighbour's name is. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { linuxKernel } from '../../drivers/kernel/kernel.ts';
import type { Device, KernelObject, Stub } from '../../drivers/objects.ts';
import { diff } from '../../drivers/plan.ts';
import type { Kernel } from '../../drivers/port.ts';
import { byKey, create, netns, owner, remove, tag } from '../support/kernel-objects.ts';
import { clearKernel } from '../support/linux-lab.ts';
import { inOwnNamespaces, ipLinks, sh, shIn } from '../support/netns.ts';

if (inOwnNamespaces(import.meta.filename)) {
  describe('devices on Linux', () => {
    let runDir = '';
    let kernel: Kernel;
    const path = (): string => `${runDir}/box`;
    const stub: Stub = { kind: 'stub', name: 'cpn7', mtu: 1500, tag: tag('network', 'n7') };
    const device = (change: Partial<Device> = {}): Device => ({
      kind: 'device',
      netns: path(),
      name: 'eth0',
      source: { type: 'macvlan', parent: stub.name, mode: 'bridge' },
      mac: '02:42:0a:07:00:02',
      mtu: 1500,
      addresses: ['10.7.0.2/16', 'fd00:7::2/64'],
      birth: { sysctls: {}, link: '' },
      tag: tag('endpoint', 'e7'),
      ...change,
    });
    const all = (): readonly KernelObject[] => [stub, netns(path(), 's'), device()];
    const apply = async (...plans: Parameters<Kernel['apply']>[0]): Promise<void> => {
      assert.deepEqual(
        await kernel.apply(plans),
        plans.map(() => ({ ok: true })),
      );
    };
    const repair = async (): Promise<readonly string[]> => {
      const operations = diff(all(), (await kernel.census()).objects);
      await apply({ id: 'repair', operations });
      assert.deepEqual(byKey((await kernel.census()).objects), byKey(all()));
      return operations.map(({ op, object }) => `${op} ${object.kind}`);
    };
    const inner = (): readonly string[] => ipLinks(path()).map(({ ifname }) => ifname);

    beforeEach(async () => {
      runDir = mkdtempSync('/run/cnm-test-');
      kernel = await linuxKernel({ ...owner, runDir });
      await apply(create('all', all()));
    });
    afterEach(async () => {
      await clearKernel(kernel);
      assert.deepEqual(
        ipLinks().map(({ ifname }) => ifname),
        ['lo'],
      );
      sh(`umount ${runDir}`);
      rmSync(runDir, { recursive: true });
    });

    it('removes at the start what an earlier process had silenced inside a sandbox that lives on', async () => {
      shIn(path(), `ip link set eth0 down; ip link set eth0 name cdx alias cnm-dead:${owner.realm}:${owner.host}`);
      assert.deepEqual(inner(), ['lo', 'cdx']);
      await kernel.close();
      kernel = await linuxKernel({ ...owner, runDir });
      await kernel.settled();
      assert.deepEqual(inner(), ['lo']);
      assert.deepEqual(await repair(), ['create device']);
    });

    it('deletes one for good when its sandbox lives on, and touches nobody else’s', async () => {
      shIn(path(), 'ip link add mine type veth peer other');
      await apply(remove('leave', [device()]));
      await kernel.settled();
      assert.deepEqual([...inner()].sort(), ['lo', 'mine', 'other']);
      assert.deepEqual(await repair(), ['create device']);
    });

    it('repairs what was set down, changed or removed', async () => {
      for (const [command, repaired] of [
        ['ip link set eth0 down', ['update device']],
        ['ip addr flush dev eth0', ['update device']],
        ['ip link set eth0 address 02:00:00:00:00:01', ['update device']],
        ['ip link set eth0 mtu 1300', ['update device']],
        ['ip link set eth0 type macvlan mode private', ['update device']],
        ['ip link del eth0', ['create device']],
        ['ip link set eth0 down; ip link set eth0 name lan0', ['delete device', 'create device']],
      ] as const) {
        shIn(path(), command);
        assert.deepEqual(await repair(), repaired, command);
      }
      for (const [command, repaired] of [
        ['ip link set cpn7 down', ['update stub']],
        ['ip link set cqn7 down', ['update stub']],
        ['ip link del cpn7', ['create stub', 'create device']],
      ] as const) {
        sh(command);
        assert.deepEqual(await repair(), repaired, command);
      }
    });

    it('takes an interface of whatever kind for what somebody gave us, repairs it, and gives it back', async () => {
      const given = device({
        ...{ name: 'eth1', source: { type: 'moved' }, birth: { sysctls: {}, link: 'pv0' } },
        ...{ mac: null, mtu: null, addresses: ['10.8.0.2/24'], tag: tag('endpoint', 'e9') },
      });
      const wanted = [...all(), given];
      const difference = async (): Promise<readonly string[]> => {
        const operations = diff(wanted, (await kernel.census()).objects);
        await apply({ id: 'repair', operations });
        return operations.map(({ op, object }) => `${op} ${object.kind}`);
      };
      sh('ip link add pv0 link cpn7 address 02:00:00:00:00:09 type macvlan mode private');
      assert.deepEqual(await difference(), ['create device']);
      assert.deepEqual(await difference(), []);
      for (const command of ['ip link set eth1 down', 'ip addr flush dev eth1']) {
        shIn(path(), command);
        assert.deepEqual([command, await difference(), await difference()], [command, ['update device'], []]);
      }
      await kernel.close();
      kernel = await linuxKernel({ ...owner, runDir });
      assert.deepEqual(await difference(), []);
      const { objects } = await kernel.census();
      await apply({ id: 'gone', operations: diff(all(), objects) });
      const [back] = ipLinks().filter(({ ifname }) => ifname === 'pv0');
      assert.deepEqual([back?.address, back?.ifalias], ['02:00:00:00:00:09', undefined]);
      assert.deepEqual(inner(), ['lo', 'eth0']);
      sh('ip link del pv0');
    });

    it('has no generated address, and no interface of the host by its name is in the way', async () => {
      assert.doesNotMatch(shIn(path(), 'ip -6 addr show dev eth0 scope link'), /inet6/);
      sh('ip link add eth5 type veth peer far5');
      const other = device({ name: 'eth5', mac: null, addresses: [], tag: tag('endpoint', 'e8') });
      await apply(create('more', [other]), remove('more', [other]));
      sh('ip link del eth5');
    });
  });
}
