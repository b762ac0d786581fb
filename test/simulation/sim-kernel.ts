/**
 * A kernel for one life of a worker, on a machine that outlives it. Its thread does one thing after the other, and takes its time. A
 * worker that is killed takes its thread along: what it was at may be done by half, and nobody undoes it.
 */
import type { Kernel, Plan } from '../../drivers/port.ts';
import type { MemoryMachine } from '../support/memory-kernel.ts';
import { memoryKernel } from '../support/memory-kernel.ts';
import type { Life } from './life.ts';

interface Call {
  readonly what: string;
  readonly run: () => Promise<unknown>;
  readonly plans: readonly Plan[];
  readonly answered: (answer: unknown) => void;
  readonly failed: (error: unknown) => void;
}

export interface SimKernelOptions {
  readonly realm: string;
  readonly host: string;
}

export const simKernel = (machine: MemoryMachine, options: SimKernelOptions, life: Life): Kernel => {
  const inner = memoryKernel(machine, options);
  const waiting: Call[] = [];
  let current: Call | null = null;

  const next = (): void => {
    if (current !== null) return;
    const call = waiting.shift();
    if (!call) return;
    current = call;
    const stallMs = Math.max(0, life.kernelStallUntilMs - life.scheduler.nowMs);
    life.after(stallMs + life.dice.between(0.05, 8), `kernel ${call.what}`, () => {
      void call.run().then(
        (answer) => answerWith(() => call.answered(answer)),
        (error) => answerWith(() => call.failed(error)),
      );
    });
  };

  const answerWith = (answer: () => void): void => {
    current = null;
    life.after(life.dice.between(0.01, 1), 'kernel answers', answer);
    next();
  };

  const ask = <T>(what: string, run: () => Promise<T>, plans: readonly Plan[] = []): Promise<T> =>
    new Promise((resolve, reject) => {
      waiting.push({ what, run, plans, answered: (answer) => resolve(answer as T), failed: reject });
      next();
    });

  /** Of its plans some, and of the next one some operations. */
  life.onKilled(() => {
    const plans = current?.plans ?? [];
    const whole = life.dice.below(plans.length + 1);
    for (const plan of plans.slice(0, whole)) machine.apply(structuredClone(plan));
    const torn = plans[whole];
    if (!torn) return;
    const operations = torn.operations.slice(0, life.dice.below(torn.operations.length + 1));
    for (const operation of operations)
      if (!machine.apply(structuredClone({ ...torn, operations: [operation] })).ok) return;
  });

  return {
    apply: (plans) => ask('apply', () => inner.apply(plans), plans),
    census: (extent) => ask('census', () => inner.census(extent)),
    // Nobody changes anything here but us.
    watch: () => undefined,
    listeners: () => ask('listeners', () => inner.listeners()),
    facts: () => ask('facts', () => inner.facts()),
    capacity: () => ask('capacity', () => inner.capacity()),
    setPeers: (tables) => ask('setPeers', () => inner.setPeers(tables)),
    changePeers: (changes) => ask('changePeers', () => inner.changePeers(changes)),
    checkPeers: (left) => ask('checkPeers', () => inner.checkPeers(left)),
    associations: () => ask('associations', () => inner.associations()),
    changeAssociations: (change) => ask('changeAssociations', () => inner.changeAssociations(change)),
    findPorts: (searches) => ask('findPorts', () => inner.findPorts(searches)),
    openResolver: (netns) =>
      ask('openResolver', async () => {
        if (machine.hasNamespace(netns)) return { ok: true as const, udp: -1, tcp: -1 };
        const fault = { code: 'NETNS_UNUSABLE', errno: '', text: `no file ${netns}`, retryable: false } as const;
        return { ok: false as const, fault: { ...fault, step: `open resolver in ${netns}`, undoFaults: [] } };
      }),
    settled: () => ask('settled', () => inner.settled()),
    close: () => ask('close', () => inner.close()),
  };
};
