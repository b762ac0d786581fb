/** Segments that somebody has already: the kernel gives each to one tunnel at a port, and keeps it until the tunnel is gone for good. */
import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { diff } from '../../drivers/plan.ts';
import { create, overlay, owner, remove, vxlan } from '../support/kernel-objects.ts';
import { LinuxLab } from '../support/linux-lab.ts';
import { inOwnNamespaces, ipLinks, sh } from '../support/netns.ts';

if (inOwnNamespaces(import.meta.filename)) {
  describe('the segment of a tunnel', () => {
    let lab: LinuxLab;
    const tunnels = (): readonly string[] =>
      ipLinks().flatMap(({ ifname, ifalias }) => (ifalias?.startsWith('cnm:') ? [ifname] : []));

    beforeEach(async () => {
      lab = await LinuxLab.open();
    });
    afterEach(async () => {
      await lab.close();
    });

    it('is not taken from a foreign tunnel, which is named', async () => {
      sh('ip link add flannel.1 index 7 type vxlan id 4097 dstport 4789');
      const fault = await lab.faultOf(create('net', overlay(1)));
      assert.deepEqual(
        [fault.code, fault.errno, fault.step, fault.text],
        ['FOREIGN_OBJECT', 'EEXIST', 'create vxlan cx1', 'vxlan flannel.1 (index 7) has VNI 4097 at port 4789'],
      );
      assert.deepEqual(tunnels(), []);
      assert.ok(ipLinks().some(({ ifname }) => ifname === 'flannel.1'));
      // At another port it is another segment.
      await lab.apply(create('net', overlay(1, { port: 4790 })));
      sh('ip link del flannel.1');
      await lab.apply({ id: 'move', operations: [{ op: 'update', from: vxlan(1, { port: 4790 }), object: vxlan(1) }] });
    });

    it('is not taken from a tunnel that was moved to another namespace', async () => {
      sh(`touch ${lab.runDir}/far; unshare --net=${lab.runDir}/far true`);
      sh(`ip link add away type vxlan id 4097 dstport 4789; ip link set away netns ${lab.runDir}/far`);
      const fault = await lab.faultOf(create('net', overlay(1)));
      assert.deepEqual(
        [fault.code, fault.text],
        ['FOREIGN_OBJECT', 'a vxlan device in another namespace has VNI 4097 at port 4789'],
      );
      assert.deepEqual(tunnels(), []);
      sh(`nsenter --net=${lab.runDir}/far ip link del away; umount ${lab.runDir}/far; rm ${lab.runDir}/far`);
      await lab.apply(create('net', overlay(1)));
    });

    it('leaves other tunnels of ours as they are when something foreign is among those in the way', async () => {
      await lab.apply(create('net', overlay(1)));
      sh('ip link add flannel.2 type vxlan id 4098 dstport 4789');
      await lab.faultOf(create('nets', [...overlay(3), ...overlay(2)]));
      const { objects } = await lab.kernel.census();
      assert.deepEqual(diff(overlay(1), objects), []);
      sh('ip link del flannel.2');
    });

    it('is free for the next tunnel at once, whatever the reaper has done by then', async () => {
      for (let round = 0; round < 120; round++) {
        // Together, one after the other, and some milliseconds apart: before, while and after the reaper is at it.
        if (round % 3 === 0) await lab.apply(create('net', overlay(1)), remove('net', overlay(1)));
        else {
          await lab.apply(create('net', overlay(1)));
          await lab.apply(remove('net', overlay(1)));
          if (round % 3 === 2) await new Promise((resolve) => setTimeout(resolve, round % 8));
        }
      }
      await lab.apply(create('net', overlay(1)));
      await lab.kernel.settled();
      const { objects, unknown } = await lab.kernel.census();
      assert.deepEqual([diff(overlay(1), objects), unknown], [[], []]);
      assert.deepEqual(tunnels().toSorted(), ['cb1', 'cx1']);
      assert.equal(ipLinks().filter(({ ifalias }) => ifalias?.startsWith('cnm-dead')).length, 0);
    });

    it('goes on to the tunnel of a later process, when an earlier one ended between silencing and reaping', async () => {
      await lab.apply(create('net', overlay(1)));
      // As it stands then: silenced, and nobody to reap it.
      sh(`ip link set cx1 down; ip link set cx1 alias cnm-dead:${owner.realm}:${owner.host}`);
      await lab.apply(create('net', overlay(1)));
      assert.deepEqual(tunnels().toSorted(), ['cb1', 'cx1']);
      sh(
        `ip link set cx1 down; ip link set cx1 name other; ip link set other alias cnm-dead:${owner.realm}:${owner.host}`,
      );
      await lab.apply(create('net', overlay(1)));
      assert.deepEqual(tunnels().toSorted(), ['cb1', 'cx1']);
    });

    it('cannot be used where a program has the UDP port', async () => {
      const socket = dgram.createSocket('udp4').bind(4789);
      await once(socket, 'listening');
      const fault = await lab.faultOf(create('net', overlay(1)));
      assert.deepEqual([fault.code, fault.errno], ['PORT_IN_USE', 'EADDRINUSE']);
      assert.match(fault.text, /^UDP port 4789 /);
      assert.deepEqual(tunnels(), []);
      socket.close();
      await once(socket, 'close');
      await lab.apply(create('net', overlay(1)));
    });
  });
}
