import { owner } from '../support/kernel-objects.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { kernelSuite } from './kernel.suite.ts';
import { associationsSuite } from './kernel-associations.suite.ts';
import { devicesSuite } from './kernel-devices.suite.ts';
import type { KernelHarness } from './kernel-harness.ts';
import { peersSuite } from './kernel-peers.suite.ts';
import { sandboxSuite } from './kernel-sandbox.suite.ts';

const open = async (): Promise<KernelHarness> => {
  const machine = new MemoryMachine();
  let kernel = memoryKernel(machine, owner);
  return {
    get kernel() {
      return kernel;
    },
    path: (name) => `/run/cnm/${name}`,
    restart: async () => {
      await kernel.close();
      kernel = memoryKernel(machine, owner);
    },
    addForeignBridge: async (name) => machine.addForeign(`link ${name}`),
    foreignBridges: async () => machine.foreign.map((key) => key.replace('link ', '')),
    addLink: async (name) => machine.addForeign(`link ${name}`),
    linksIn: async (path) =>
      path === null ? machine.foreign.map((key) => key.replace('link ', '')) : machine.linksIn(path),
    has: async () => true,
    bringNamespace: async (name) => {
      machine.addNamespace(`/run/guests/${name}`);
      return `/run/guests/${name}`;
    },
    hasNamespace: async (path) => machine.hasNamespace(path),
    readFile: async (path) => machine.fileContent(path),
    editFile: async (path, content) => machine.editFile(path, content),
    listen: async () => {
      machine.addListener({ protocol: 'tcp', address: '127.0.0.1', port: 40_123, holder: 'pid 77 (nginx)' });
      return 40_123;
    },
    peersOf: async (tunnel) => machine.tunnels.of(tunnel),
    losePeer: async (tunnel, { mac }) => machine.tunnels.tamper(tunnel, mac, null),
    addStranger: async (tunnel, peer) => machine.tunnels.tamper(tunnel, peer.mac, peer),
    encrypts: async () => true,
    flushAssociations: async () => {
      machine.associations.lose();
      machine.associations.guarded = false;
    },
    loseLink: async (name) => machine.tamper(`link ${name}`, null),
    close: () => kernel.close(),
  };
};

kernelSuite('memory', open);
sandboxSuite('memory', open);
devicesSuite('memory', open);
peersSuite('memory', open);
associationsSuite('memory', open);
