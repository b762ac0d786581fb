/** The contract of the kernel port, held against Linux. */
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { linuxKernel } from '../../drivers/kernel/kernel.ts';
import { kernelSuite } from '../contract/kernel.suite.ts';
import { associationsSuite } from '../contract/kernel-associations.suite.ts';
import { devicesSuite } from '../contract/kernel-devices.suite.ts';
import type { KernelHarness } from '../contract/kernel-harness.ts';
import { peersSuite } from '../contract/kernel-peers.suite.ts';
import { sandboxSuite } from '../contract/kernel-sandbox.suite.ts';
import { owner } from '../support/kernel-objects.ts';
import { clearKernel } from '../support/linux-lab.ts';
import { hasKind, inOwnNamespaces, ipLinks, sh, shIn } from '../support/netns.ts';
import { addPeer, losePeer, peersOf } from '../support/tunnels.ts';

if (inOwnNamespaces(import.meta.filename)) {
  const open = async (): Promise<KernelHarness> => {
    const runDir = mkdtempSync('/run/cnm-test-');
    const guests = mkdtempSync('/run/cnm-guests-');
    const brought: string[] = [];
    const links: string[] = [];
    const servers: Server[] = [];
    // Ports are published at it.
    sh('ip link set lo up; ip addr replace fd00:9::1/128 dev lo');
    let kernel = await linuxKernel({ ...owner, runDir, resolverPort: 15353 });
    return {
      get kernel() {
        return kernel;
      },
      path: (name) => join(runDir, 'sandboxes', name),
      restart: async () => {
        await kernel.close();
        kernel = await linuxKernel({ ...owner, runDir, resolverPort: 15353 });
      },
      addForeignBridge: async (name) => {
        sh(`ip link add ${name} type bridge; ip link set ${name} up alias somebody`);
      },
      foreignBridges: async () => ipLinks().flatMap(({ ifname, ifalias }) => (ifalias === 'somebody' ? [ifname] : [])),
      addLink: async (name) => {
        sh(`ip link add ${name} type veth peer far-${name}; ip link set ${name} up; ip link set far-${name} up`);
        links.push(name);
      },
      linksIn: async (path) => {
        const others = ipLinks(path ?? undefined).filter(
          ({ ifname, ifalias }) =>
            ifname !== 'lo' && (path !== null || !(ifname.startsWith('far-') || ifalias?.startsWith('cnm'))),
        );
        return others.map(({ ifname }) => ifname).sort();
      },
      has: async (kind) => hasKind(kind),
      bringNamespace: async (name) => {
        const path = join(guests, name);
        sh(`touch ${path}; unshare --net=${path} true`);
        brought.push(path);
        return path;
      },
      hasNamespace: async (path) => shIn(path, 'ip -br link').startsWith('lo'),
      readFile: async (path) => (existsSync(path) ? readFileSync(path, 'utf8') : null),
      editFile: async (path, content) => writeFileSync(path, content),
      listen: async () => {
        sh('ip link set lo up');
        const server = createServer().listen(0, '127.0.0.1');
        servers.push(server);
        await once(server, 'listening');
        return (server.address() as AddressInfo).port;
      },
      peersOf: async (tunnel) => peersOf(tunnel),
      losePeer: async (tunnel, peer) => losePeer(tunnel, peer),
      addStranger: async (tunnel, peer) => addPeer(tunnel, peer),
      encrypts: async () => (await kernel.facts()).capabilities.esp,
      flushAssociations: async () => {
        sh('ip xfrm state flush; ip xfrm policy flush');
      },
      loseLink: async (name) => {
        sh(`ip link del ${name}`);
      },
      close: async () => {
        for (const server of servers) server.close();
        // What a test left behind goes as anything else of ours goes.
        await clearKernel(kernel);
        sh('ip xfrm state flush; ip xfrm policy flush');
        for (const { ifname, ifalias } of ipLinks()) if (ifalias === 'somebody') sh(`ip link del ${ifname}`);
        for (const name of links) sh(`ip link del far-${name}`);
        for (const path of brought) sh(`umount ${path}`);
        sh(`umount ${runDir}`);
        for (const directory of [runDir, guests]) rmSync(directory, { recursive: true });
      },
    };
  };
  kernelSuite('linux', open);
  sandboxSuite('linux', open);
  devicesSuite('linux', open);
  peersSuite('linux', open);
  associationsSuite('linux', open);
}
