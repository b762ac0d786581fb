/** Every driver, on the kernel in memory. */
import { objectKey } from '../../drivers/objects.ts';
import { MemoryMachine, memoryKernel } from '../support/memory-kernel.ts';
import { host, realm } from '../support/system.ts';
import { driverSuite } from './driver.suite.ts';

driverSuite('the kernel in memory', async () => {
  const machine = new MemoryMachine();
  const kernel = memoryKernel(machine, { realm, host });
  return {
    kernel,
    runDir: '/run/cnm',
    traces: async () => machine.objects().map(objectKey),
    close: () => kernel.close(),
  };
});
