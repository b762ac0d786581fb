/** A container in a sandbox, dressed with its files: names, ports and several networks as it sees them, in real runtimes. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { linuxKernel } from '../../drivers/kernel/kernel.ts';
import { tableName } from '../../drivers/kernel/ruleset.ts';
import type { Kernel } from '../../drivers/port.ts';
import { RESOLVER_PORT } from '../../services/dns/address.ts';
import { type Bundles, bundles, runtimes, whyNoContainers } from '../support/container.ts';
import { waitFor } from '../support/nats.ts';
import { inOwnNamespaces, sh } from '../support/netns.ts';
import { host, memoryStreams, realm, System } from '../support/system.ts';

/** What is served on a port of this host; empty when nobody answers. */
const fromPort = async (port: number): Promise<string> => {
  const socket = connect({ host: '127.0.0.1', port }).setEncoding('utf8');
  let said = '';
  try {
    for await (const text of socket) said += text;
  } catch {
    // Refused: nobody listens yet.
  }
  return said;
};

/** What a container prints until it ends. It is waited for without blocking: this process answers its questions for names. */
const output = async (container: ChildProcess): Promise<string> => {
  let said = '';
  container.stdout?.setEncoding('utf8').on('data', (text) => {
    said += text;
  });
  const [code] = await once(container, 'close');
  assert.equal(code, 0, said);
  return said;
};

if (inOwnNamespaces(import.meta.filename)) {
  describe('a container in a sandbox', () => {
    const runDir = mkdtempSync('/run/cnm-test-');
    let kernel: Kernel;
    let system: System;
    let containers: Bundles;
    const filesOf = async (sandbox: string): Promise<string> => {
      const state = await system.state();
      const row = state.sandboxes.get(state.sandboxIds.get(sandbox) ?? '');
      return row?.facts.files ?? '';
    };

    before(async () => {
      sh('ip link set lo up');
      kernel = await linuxKernel({ realm, host, runDir, resolverPort: RESOLVER_PORT });
      system = await new System({ ...memoryStreams(), kernel, runDir }).start();
      await system.run('CreateNetwork', { name: 'front', ipv6: true });
      await system.run('CreateNetwork', { name: 'back' });
      containers = bundles();
    });
    after(async () => {
      containers.remove();
      for (const network of ['front', 'back']) await system.run('DeleteNetwork', { network });
      await system.stop();
      await kernel.settled();
      await kernel.close();
      sh(`nft delete table inet ${tableName(realm, host)}; umount ${runDir}`);
      rmSync(runDir, { recursive: true });
    });

    for (const runtime of runtimes) {
      const skip = whyNoContainers(runtime) ?? false;

      it(`has names, files and ports in ${runtime}, and keeps what its user wrote`, { skip }, async () => {
        const box = await system.run('AttachSandbox', {
          sandbox: 'box',
          hostname: 'boxy',
          domainname: 'example.test',
          dns: { search: ['example.test'] },
          extraHosts: [
            { name: 'elsewhere', address: '192.0.2.9' },
            { name: 'thehost', address: 'host-gateway' },
          ],
          networks: [{ network: 'front' }, { network: 'back', interface: 'db0' }],
          ports: [{ hostPort: 8080, port: 8000 }],
        });
        const peer = await system.run('AttachSandbox', {
          sandbox: 'peer',
          networks: [{ network: 'back', aliases: ['database'] }],
        });
        const files = await filesOf('box');
        const dress = { files, hostname: 'boxy' };
        const key = box.sandbox?.key ?? '';
        const peerAddress = peer.endpoints[0]?.ipv4?.replace(/\/.*/, '') ?? '';
        const inside = containers.start(
          runtime,
          key,
          'hostname; cat /etc/hostname /etc/hosts /etc/resolv.conf; nslookup database.back; ip -o link',
          dress,
        );
        const said = await output(inside);
        assert.match(said, /^boxy\nboxy\n/);
        assert.match(said, /boxy\.example\.test boxy/);
        assert.match(said, /192\.0\.2\.9\selsewhere/);
        assert.match(said, /nameserver 127\.0\.0\.11/);
        assert.match(said, /search example\.test/);
        assert.ok(said.includes(peerAddress), `the alias is resolved:\n${said}`);
        assert.match(said, /: db0@/);

        const server = containers.start(runtime, key, 'nc -l -p 8000 -e echo served; echo ended', dress);
        const served = output(server);
        let answer = '';
        await waitFor(
          async () => {
            answer = await fromPort(8080);
            return answer !== '';
          },
          { what: 'the published port to answer' },
        );
        assert.equal(answer, 'served\n');
        assert.match(await served, /ended/);

        await output(containers.start(runtime, key, 'echo "192.0.2.7 mine" >> /etc/hosts', dress));
        await system.run('MoveSandbox', { sandbox: 'peer', from: 'back', to: { network: 'front' } });
        assert.match(readFileSync(`${files}/hosts`, 'utf8'), /mine/);
        for (const sandbox of ['box', 'peer']) await system.run('DetachSandbox', { sandbox });
        assert.ok(!existsSync(files), 'files go with their sandbox');
      });
    }
  });
}
