/**
 * Packets between sandboxes on driver macvlan, from the command to the wire. The parent is one end of a veth pair; the other is the port of
 * a switch in a namespace of its own, where 192.0.2.1 is beyond a gateway.
 */
import assert from 'node:assert/strict';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { linuxKernel } from '../../drivers/kernel/kernel.ts';
import type { Kernel } from '../../drivers/port.ts';
import { clearAway } from '../support/linux-lab.ts';
import { inOwnNamespaces, ipLinks, sh, shIn, succeedsIn } from '../support/netns.ts';
import { host, memoryStreams, realm, System } from '../support/system.ts';

if (inOwnNamespaces(import.meta.filename)) {
  describe('macvlan traffic', () => {
    let runDir = '';
    let outside = '';
    let kernel: Kernel;
    let system: System;

    const box = (name: string): string => join(runDir, 'netns', name);
    /** Of four: a first one may wait for an address that could not be resolved a moment ago. */
    const reaches = (from: string, address: string): boolean => succeedsIn(from, `ping -c4 -i0.3 -W1 ${address}`);

    const network = async (
      name: string,
      options: { parent?: string; macvlan_mode?: string },
      subnet = '10.1.0.0/24',
    ): Promise<void> => {
      const gateway = options.parent === undefined ? {} : { gateway: subnet.replace('0/24', '1') };
      await system.run('CreateNetwork', {
        name,
        driver: 'macvlan',
        options,
        ipam: { subnets: [{ subnet, ...gateway }] },
      });
    };
    /** Puts a sandbox on a network; answers its address. */
    const attach = async (sandbox: string, name: string): Promise<string> => {
      const { endpoints } = await system.run('AttachSandbox', { sandbox, networks: [{ network: name }] });
      return endpoints[0]?.ipv4?.split('/')[0] ?? '';
    };
    /** Whether the switch sends frames back to where they came from (802.1Qbg). */
    const reflect = (on: boolean): void => {
      shIn(outside, `bridge link set dev port0 hairpin ${on ? 'on' : 'off'}`);
    };

    beforeEach(async () => {
      runDir = mkdtempSync('/run/cnm-test-');
      outside = `${runDir}.outside`;
      sh(`touch ${outside}; unshare --net=${outside} true`);
      sh(`ip link add up0 type veth peer port0; ip link set up0 up`);
      sh(`ip link set port0 netns ${outside}`);
      shIn(
        outside,
        `ip link add switch type bridge; ip link set port0 master switch; ip link set lo up; ip addr add 192.0.2.1/32 dev lo;
         for net in 1 2; do ip addr add 10.$net.0.1/24 dev switch; done; ip link set port0 up; ip link set switch up`,
      );
      kernel = await linuxKernel({ realm, host, runDir });
      system = await new System({ ...memoryStreams(), kernel, runDir }).start();
    });
    afterEach(async () => {
      await system.stop();
      await clearAway(kernel, { realm, host, runDir });
      sh(`umount ${outside}`);
      sh(`ip link del up0 2>/dev/null || true; rm ${outside}`);
    });

    for (const [mode, within, reflected] of [
      ['bridge', true, true],
      ['vepa', false, true],
      ['private', false, false],
    ] as const) {
      it(`mode ${mode}: neighbours ${within ? 'meet' : reflected ? 'meet at the switch' : 'never meet'}`, async () => {
        await network('lan', { parent: 'up0', macvlan_mode: mode });
        const [one, two] = [await attach('one', 'lan'), await attach('two', 'lan')];
        for (const name of ['one', 'two']) {
          assert.ok(reaches(box(name), '10.1.0.1'), `${name} reaches its gateway`);
          assert.ok(reaches(box(name), '192.0.2.1'), `${name} reaches what is beyond`);
        }
        reflect(false);
        assert.deepEqual([reaches(box('one'), two), reaches(box('two'), one)], [within, within]);
        reflect(true);
        assert.deepEqual([reaches(box('one'), two), reaches(box('two'), one)], [reflected, reflected]);
      });
    }

    it('mode passthru: one sandbox has the parent, the next one when that has gone', async () => {
      await network('lan', { parent: 'up0', macvlan_mode: 'passthru' });
      const mac = (): string => sh('ip -br link show up0').split(/\s+/)[2] ?? '';
      const before = mac();
      await attach('one', 'lan');
      assert.ok(reaches(box('one'), '192.0.2.1'));
      assert.notEqual(mac(), before);
      const second = { sandbox: 'two', networks: [{ network: 'lan' }] };
      assert.equal(await system.refusal('AttachSandbox', second), 'DRIVER_FORBIDS');
      await system.run('DetachSandbox', { sandbox: 'one' });
      assert.equal(mac(), before);
      await attach('two', 'lan');
      assert.ok(reaches(box('two'), '192.0.2.1'));
    });

    it('in the network of the parent itself: an address of the LAN, and what is beyond its router', async () => {
      sh('ip addr add 10.1.0.250/24 dev up0; ip link add up1 type veth peer far1; ip link set up1 up');
      sh('ip addr add 10.3.0.250/24 dev up1');
      const { routes, linkRoutes } = await kernel.facts();
      assert.deepEqual(
        [linkRoutes.up0, linkRoutes.up1, ['10.1.0.0/24', '10.3.0.0/24'].every((route) => routes.includes(route))],
        [['10.1.0.0/24'], ['10.3.0.0/24'], true],
      );
      await system.stop();
      await system.start();
      const elsewhere = { name: 'lan', driver: 'macvlan', options: { parent: 'up0' } };
      const refused = await system.refusal('CreateNetwork', {
        ...elsewhere,
        ipam: { subnets: [{ subnet: '10.3.0.0/24' }] },
      });
      assert.equal(refused, 'SUBNET_OVERLAPS');
      await network('lan', { parent: 'up0' });
      await attach('one', 'lan');
      assert.ok(reaches(box('one'), '10.1.0.1'));
      assert.ok(reaches(box('one'), '192.0.2.1'));
      sh('ip link del up1');
    });

    it('several networks on one parent: each leads out over its gateway', async () => {
      await network('lan', { parent: 'up0' });
      await network('other', { parent: 'up0', macvlan_mode: 'private' }, '10.2.0.0/24');
      await attach('one', 'lan');
      await attach('two', 'other');
      for (const [name, gateway] of [
        ['one', '10.1.0.1'],
        ['two', '10.2.0.1'],
      ] as const) {
        assert.ok(reaches(box(name), gateway));
        assert.ok(reaches(box(name), '192.0.2.1'));
        assert.match(shIn(box(name), 'ip route show default'), new RegExp(`^default via ${gateway} dev eth0`));
      }
      await system.run('DetachSandbox', { sandbox: 'one' });
      await system.run('DeleteNetwork', { network: 'lan' });
      assert.ok(reaches(box('two'), '192.0.2.1'));
    });

    it('without a parent: neighbours meet, and nothing leads out', async () => {
      await network('lan', {});
      const [one, two] = [await attach('one', 'lan'), await attach('two', 'lan')];
      assert.deepEqual([reaches(box('one'), two), reaches(box('two'), one)], [true, true]);
      assert.equal(shIn(box('one'), 'ip route show default'), '');
      for (const name of ['one', 'two']) await system.run('DetachSandbox', { sandbox: name });
      await system.run('DeleteNetwork', { network: 'lan' });
      await kernel.settled();
      assert.deepEqual(
        ipLinks()
          .map(({ ifname }) => ifname)
          .sort(),
        ['lo', 'up0'],
      );
    });

    it('leaves a sandbox that has another network, and its address is free at once', async () => {
      await network('lan', { parent: 'up0' });
      await system.run('CreateNetwork', { name: 'home', driver: 'bridge' });
      const { endpoints } = await system.run('AttachSandbox', {
        sandbox: 'one',
        networks: [
          { network: 'lan', name: 'ep' },
          { network: 'home', name: 'ep' },
        ],
      });
      const address = endpoints[0]?.ipv4?.split('/')[0] ?? '';
      assert.ok(reaches(box('one'), '192.0.2.1'));
      assert.ok(reaches(outside, address));
      await system.run('LeaveEndpoint', { network: 'lan', endpoint: 'ep' });
      assert.ok(!reaches(outside, address));
      assert.equal(shIn(box('one'), 'ip -br link').match(/^eth/gm)?.length, 1);
      await system.run('JoinEndpoint', { network: 'lan', endpoint: 'ep', sandbox: 'two' });
      assert.ok(reaches(outside, address));
      assert.ok(reaches(box('two'), '192.0.2.1'));
      await system.check();
    });

    it('says which parent is missing before anything is made', async () => {
      const options = { parent: 'up9' };
      const outcome = await system.outcomeOf('CreateNetwork', { name: 'lan', driver: 'macvlan', options });
      assert.deepEqual(
        [outcome.status, outcome.fault?.code, outcome.fault?.errno, outcome.fault?.text],
        ['failed', 'KERNEL_ERROR', 'ENODEV', 'no interface up9'],
      );
      await system.check();
      sh('ip link add up9 type veth peer far9');
      await network('lan', options);
      sh('ip link del up9');
    });
  });
}
