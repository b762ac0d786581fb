/** The kernel in memory, behind the port of drivers/kernel, on a machine that may have several one after the other. */
import { SOCK } from '../../drivers/kernel/constants.ts';
import { openListener } from '../../drivers/kernel/listener.ts';
import type { Kernel, Plan, PlanResult } from '../../drivers/port.ts';
import type { MemoryMachine } from './memory-machine.ts';
import { partOf } from './memory-notices.ts';
import { MemoryPeers } from './memory-peers.ts';

export { MemoryMachine } from './memory-machine.ts';

export interface MemoryKernelOptions {
  readonly realm: string;
  readonly host: string;
}

/** Tables go with the tunnels that their kernel removes. */
const applyTo = (machine: MemoryMachine, peers: MemoryPeers, plan: Plan): PlanResult => {
  const result = machine.apply(structuredClone(plan));
  if (!result.ok) return result;
  for (const { op, object } of plan.operations) {
    if (object.kind !== 'vxlan') continue;
    if (op === 'delete') peers.forget(object.name);
    else peers.restore(object.name);
  }
  return result;
};

/** A kernel on a machine. Closing it leaves the machine as it is. */
export const memoryKernel = (machine: MemoryMachine, { realm, host }: MemoryKernelOptions): Kernel => {
  let closed = false;
  const peers = new MemoryPeers(machine.tunnels);
  const ask = async <T>(answer: () => T): Promise<T> => {
    await machine.gate;
    if (closed) throw new Error('kernel is closed');
    return structuredClone(answer());
  };
  return {
    apply: (plans) => {
      machine.begun += 1;
      return ask(() => plans.map((plan) => applyTo(machine, peers, plan)));
    },
    census: (extent) => ask(() => partOf(machine.census(realm, host), machine.notices, extent)),
    watch: (tell) => machine.notices.listen(tell),
    listeners: () => ask(() => []),
    facts: () => ask(() => machine.facts),
    capacity: () => ask(() => machine.uses),
    setPeers: (tables) => ask(() => tables.map((table) => peers.set(structuredClone(table)))),
    changePeers: (changes) => ask(() => changes.map((change) => peers.change(structuredClone(change)))),
    checkPeers: (left) => ask(() => peers.check(left)),
    associations: () => ask(() => ({ ok: true as const, found: machine.associations.found })),
    changeAssociations: (change) => ask(() => machine.changeAssociations(structuredClone(change))),
    findPorts: (searches) => ask(() => searches.map((search) => machine.findPort(search))),
    openResolver: (netns) =>
      ask(() => {
        if (!machine.hasNamespace(netns)) {
          const fault = { code: 'NETNS_UNUSABLE', errno: '', text: `no file ${netns}`, retryable: false } as const;
          return { ok: false, fault: { ...fault, step: `open resolver in ${netns}`, undoFaults: [] } };
        }
        // One machine has one loopback: a port of each sandbox's own stands in for a namespace of its own.
        return { ok: true, udp: openListener(SOCK.DGRAM, 0), tcp: openListener(SOCK.STREAM, 0) };
      }),
    settled: () => ask(() => undefined),
    close: async () => {
      closed = true;
    },
  };
};
