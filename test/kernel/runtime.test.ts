/** The sandbox key in real container runtimes: a container that is given it finds its interface and its neighbours. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { linuxKernel } from '../../drivers/kernel/kernel.ts';
import { tableName } from '../../drivers/kernel/ruleset.ts';
import type { Kernel } from '../../drivers/port.ts';
import { type Bundles, bundles, runtimes, whyNoContainers } from '../support/container.ts';
import { waitFor } from '../support/nats.ts';
import { inOwnNamespaces, ipLinks, sh, shIn, succeedsIn } from '../support/netns.ts';
import { host, memoryStreams, realm, System } from '../support/system.ts';

if (inOwnNamespaces(import.meta.filename)) {
  describe('a sandbox key', () => {
    const runDir = mkdtempSync('/run/cnm-test-');
    let kernel: Kernel;
    let system: System;
    let containers: Bundles;
    const attach = async (sandbox: string): Promise<{ readonly key: string; readonly address: string }> => {
      const outcome = await system.run('AttachSandbox', { sandbox, networks: [{ network: 'net' }] });
      return { key: outcome.sandbox?.key ?? '', address: outcome.endpoints[0]?.ipv4?.replace(/\/.*/, '') ?? '' };
    };
    const interfaces = (): number => ipLinks().filter(({ ifname }) => ifname.startsWith('cv')).length;

    before(async () => {
      kernel = await linuxKernel({ realm, host, runDir });
      system = await new System({ ...memoryStreams(), kernel, runDir }).start();
      await system.run('CreateNetwork', { name: 'net', ipv6: true });
      containers = bundles();
    });
    after(async () => {
      containers.remove();
      await system.run('DeleteNetwork', { network: 'net' });
      await system.stop();
      await kernel.settled();
      await kernel.close();
      sh(`nft delete table inet ${tableName(realm, host)}; umount ${runDir}`);
      rmSync(runDir, { recursive: true });
    });

    for (const runtime of runtimes) {
      const skip = whyNoContainers(runtime) ?? false;

      it(`works in ${runtime}: the container sees its interface and reaches its neighbour`, { skip }, async () => {
        const box = await attach(`${runtime}-box`);
        const neighbour = await attach(`${runtime}-neighbour`);
        const command = `ip -o addr show eth0; ip route; ping -c1 -W2 ${neighbour.address}`;
        const said = containers.run(runtime, box.key, command);
        assert.match(said, new RegExp(`inet ${box.address}/24 `));
        assert.match(said, /inet6 fd/);
        assert.match(said, /default via .* dev eth0/);
        assert.match(said, / 0% packet loss/);
        assert.ok(succeedsIn(box.key, `ping -c1 -W2 ${neighbour.address}`), 'the sandbox outlives its container');
        assert.equal(containers.run(runtime, box.key, 'echo again'), 'again\n', 'and takes the next one');
        for (const name of ['box', 'neighbour']) await system.run('DetachSandbox', { sandbox: `${runtime}-${name}` });
        assert.ok(!existsSync(box.key));
        await waitFor(() => interfaces() === 0, { what: 'all interfaces to be gone' });
      });

      it(`ends under a container of ${runtime} that still runs: no interface is left to it`, { skip }, async () => {
        const { key } = await attach(`${runtime}-late`);
        const command = 'echo up; while ip link show eth0 >/dev/null 2>&1; do sleep 0.05; done; echo alone';
        const container = containers.start(runtime, key, command);
        let said = '';
        container.stdout?.setEncoding('utf8').on('data', (text) => {
          said += text;
        });
        await waitFor(() => said.includes('up'), { what: 'the container to run' });
        await system.run('DetachSandbox', { sandbox: `${runtime}-late` });
        await waitFor(() => said.includes('alone'), { what: 'the interface to be gone' });
        await new Promise((resolve) => (container.exitCode === null ? container.once('exit', resolve) : resolve(null)));
        assert.equal(interfaces(), 0);
        await attach(`${runtime}-late`);
        await system.run('DetachSandbox', { sandbox: `${runtime}-late` });
      });
    }

    it('is seen, and goes, in a mount namespace that was there before it', async () => {
      const other: ChildProcess = spawn('unshare', ['--mount', '--propagation', 'slave', 'sleep', '60']);
      const there = `/proc/${other.pid}/ns/mnt`;
      await waitFor(() => sh(`readlink ${there}`) !== sh('readlink /proc/self/ns/mnt'), { what: 'the namespace' });
      const { key } = await attach('seen');
      const inside = `nsenter --mount=${there} nsenter --net=${key} ip -br addr show eth0`;
      assert.equal(sh(inside), shIn(key, 'ip -br addr show eth0'));
      await system.run('DetachSandbox', { sandbox: 'seen' });
      assert.throws(() => sh(`nsenter --mount=${there} test -e ${key}`));
      await waitFor(() => interfaces() === 0, { what: 'the namespace not to be held' });
      other.kill('SIGKILL');
      await new Promise((resolve) => other.once('exit', resolve));
    });
  });
}
