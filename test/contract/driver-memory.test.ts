/** Every driver, on the kernel in memory. */
import { objectKey } from '../../drivers/objects.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { host, realm } from '../support/system.ts';
import { driverSuite, refusalSuite } from './driver.suite.ts';

const open = async (machine = new MemoryMachine()) => {
  const kernel = memoryKernel(machine, { realm, host });
  return {
    kernel,
    runDir: '/run/cnm',
    machine: {
      addLink: (name: string) => machine.addForeign(`link ${name}`),
      removeLink: (name: string) => machine.removeForeign(`link ${name}`),
    },
    traces: async () => machine.objects().map(objectKey),
    close: () => kernel.close(),
  };
};

driverSuite('the kernel in memory', () => open());

for (const capability of ['macvlan', 'ipvlan']) {
  const openWithout = async () => {
    const machine = new MemoryMachine();
    machine.facts = { ...machine.facts, capabilities: { ...machine.facts.capabilities, [capability]: false } };
    return open(machine);
  };
  refusalSuite(`a kernel in memory without ${capability}`, openWithout, capability);
}
