/** Encrypted tunnels on a real kernel, as far as one without ESP goes: what their guard drops, and whose states are seen. */
import assert from 'node:assert/strict';
import { mkdtempSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { reqidOf } from '../../drivers/kernel/associations.ts';
import { linuxKernel } from '../../drivers/kernel/kernel.ts';
import { encryptedPort } from '../../drivers/objects.ts';
import type { Kernel } from '../../drivers/port.ts';
import { create, overlay, owner, remove } from '../support/kernel-objects.ts';
import { inOwnNamespaces, sh, shIn } from '../support/netns.ts';

if (inOwnNamespaces(import.meta.filename)) {
  describe('encrypted tunnels in the kernel', () => {
    const runDir = mkdtempSync('/run/cnm-test-');
    const far = `${runDir}-far`;
    const encrypted = overlay(1, { port: encryptedPort });
    let kernel: Kernel;

    before(async () => {
      kernel = await linuxKernel({ ...owner, runDir });
      sh(`touch ${far}; unshare --net=${far} true
        ip link add up0 type veth peer up1 netns ${far}
        ip addr add 10.99.0.1/24 dev up0; ip link set up0 up`);
      shIn(far, 'ip addr add 10.99.0.2/24 dev up1; ip link set up1 up');
      sh('ping -qc1 -w5 10.99.0.2');
    });
    after(async () => {
      await kernel.close();
      sh(`umount ${far}; rm ${far}; umount ${runDir}; rmdir ${runDir}`);
    });

    /** Counters of what was dropped for want of encryption (Documentation/networking/xfrm_proc.rst). */
    const dropped = (): { readonly in: number; readonly out: number } => {
      const counters = new Map(
        sh('cat /proc/net/xfrm_stat')
          .trim()
          .split('\n')
          .map((line) => line.split(/\s+/) as [string, string]),
      );
      return { in: Number(counters.get('XfrmInTmplMismatch')), out: Number(counters.get('XfrmOutNoStates')) };
    };
    /** Datagrams that reached the other host, where nobody listens. */
    const arrived = (): number => {
      const [, values = ''] = shIn(far, 'cat /proc/net/snmp').match(/^Udp: (\d.*)$/m) ?? [];
      return Number(values.split(' ')[1]);
    };
    /** Five datagrams; what the sender's kernel says of them is not asked. */
    const datagrams = (to: string, port: number): string =>
      `for i in 1 2 3 4 5; do bash -c 'echo plain > /dev/udp/${to}/${port}' 2>/dev/null || true; done`;

    it('lets nothing out or in that is not encrypted, and leaves every other port alone', async () => {
      assert.deepEqual(await kernel.apply([create('net', encrypted)]), [{ ok: true }]);
      const before = { dropped: dropped(), arrived: arrived() };
      sh(datagrams('10.99.0.2', encryptedPort));
      assert.equal(arrived(), before.arrived);
      // Each is tried at connect(2) and more than once at write(2).
      assert.ok(dropped().out >= before.dropped.out + 5);
      sh(datagrams('10.99.0.2', 4789));
      assert.equal(arrived(), before.arrived + 5);
      shIn(far, datagrams('10.99.0.1', encryptedPort));
      sh('ping -qc1 -w5 10.99.0.2');
      assert.equal(dropped().in, before.dropped.in + 5);
    });

    it('guards no longer than it is asked to', async () => {
      assert.deepEqual(await kernel.apply([remove('net', encrypted)]), [{ ok: true }]);
      await kernel.settled();
      assert.deepEqual(await kernel.changeAssociations({ guard: false, add: [], remove: [] }), { ok: true });
      const before = arrived();
      sh(datagrams('10.99.0.2', encryptedPort));
      assert.equal(arrived(), before + 5);
    });

    it('sees the states of its realm in the order in which they came, and removes those', async () => {
      // A kernel without ESP takes states that wait for a key daemon; they are told and removed like any.
      const reserve = (spi: number, reqid: number): string =>
        `ip xfrm state allocspi src 10.99.0.1 dst 10.99.0.2 proto esp reqid ${reqid} mode transport min ${spi} max ${spi}`;
      const ours = reqidOf(owner);
      assert.notEqual(ours, reqidOf({ realm: 'another' }));
      sh([reserve(0x3000, ours), reserve(0x1000, ours), reserve(0x9000, ours + 1), reserve(0x2000, ours)].join('; '));
      const present = async (): Promise<readonly number[]> => {
        const answer = await kernel.associations();
        assert.ok(answer.ok);
        return answer.found.present.map(({ source, destination, spi }) => {
          assert.deepEqual([source, destination], ['10.99.0.1', '10.99.0.2']);
          return spi;
        });
      };
      assert.deepEqual(await present(), [0x3000, 0x1000, 0x2000]);
      const ends = { source: '10.99.0.1', destination: '10.99.0.2' };
      const removal = [0x3000, 0x4000].map((spi) => ({ ...ends, spi }));
      assert.deepEqual(await kernel.changeAssociations({ guard: false, add: [], remove: removal }), { ok: true });
      assert.deepEqual(await present(), [0x1000, 0x2000]);
      assert.match(sh('ip xfrm state'), /spi 0x00009000/);
    });

    it("does not touch somebody else's policy for the port, and says so", async () => {
      sh(`ip xfrm policy add src 0.0.0.0/0 dst 0.0.0.0/0 proto udp dport ${encryptedPort} dir in action block`);
      const [result] = await kernel.apply([create('net', encrypted)]);
      assert.ok(result && !result.ok);
      assert.equal(result.fault.code, 'FOREIGN_OBJECT');
      assert.equal(result.fault.text, 'an IPsec policy for UDP port 4790 is there and not ours');
      assert.deepEqual(result.fault.undoFaults, []);
      assert.match(sh('ip xfrm policy'), /action block/);
      sh('ip xfrm policy flush');
      assert.deepEqual(await kernel.apply([create('net', encrypted)]), [{ ok: true }]);
    });
  });
}
