import { owner } from '../support/kernel-objects.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { kernelSuite } from './kernel.suite.ts';

kernelSuite('memory', async () => {
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
    bringNamespace: async (name) => {
      machine.addNamespace(`/run/guests/${name}`);
      return `/run/guests/${name}`;
    },
    hasNamespace: async (path) => machine.hasNamespace(path),
    close: () => kernel.close(),
  };
});
