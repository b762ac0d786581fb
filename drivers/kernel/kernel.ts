/** The Linux adapter of the `Kernel` port: threads that make the system calls and one that listens, and this object in front of them. */
import { promises } from 'node:fs';
import { promisify } from 'node:util';
import { MessageChannel, Worker } from 'node:worker_threads';
import type { Census, Kernel, KernelFacts, PeerResult, PlanResult } from '../port.ts';
import { readCapacity } from './capacity.ts';
import type { ThreadFailpoint } from './failpoint.ts';
import type { Reply, Request, ThreadOptions } from './protocol.ts';
import { Spares, sparesBytes } from './spares.ts';
import { ended, threadUrl } from './thread.ts';
import { Watch } from './watch.ts';

export interface LinuxKernelOptions {
  readonly realm: string;
  readonly host: string;
  /** Where records and namespace files of ours are: a tmpfs is mounted there if there is none. */
  readonly runDir: string;
  /** Port of the resolver that most sandboxes are to have: namespaces made ahead come with it. None: they come without. */
  readonly resolverPort?: number;
  /** Address or interface by which other hosts reach this one; null or left out: that of the default route. */
  readonly underlay?: string | null;
  /** As in `ThreadOptions`. */
  readonly ownTable?: boolean;
  readonly watchBytes?: number;
  /** For tests: `record:FILE` or `kill:NAME@N` (failpoint.ts); null or left out: none. */
  readonly failpoint?: string | null;
  /** For tests: which calls of the set-up thread fail (`fuseOf` in failpoint.ts). */
  readonly fuse?: SharedArrayBuffer | null;
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

type Call = Request extends infer R ? (R extends { readonly id: number } ? Omit<R, 'id'> : never) : never;

/** Requests to a thread and its answers, until it ends. */
class Thread {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #unsent: Request[] = [];
  #next = 1;
  #ended: Error | null = null;

  /** `others` are threads that it cannot do without. */
  constructor(worker: Worker, others: readonly Worker[]) {
    this.#worker = worker;
    worker.on('message', (text: string) => {
      for (const reply of JSON.parse(text) as readonly Reply[]) this.#settle(reply);
    });
    for (const each of [worker, ...others]) {
      each.on('error', (error) => this.#end(error instanceof Error ? error : new Error(String(error))));
      each.on('exit', (code) => {
        // Another thread that was told to stop may be gone before the answer to that has come.
        if (each === worker || code !== 0) this.#end(new Error(`kernel thread ended (${code})`));
      });
    }
  }

  #settle(reply: Reply): void {
    const waiting = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if (reply.ok) waiting?.resolve(reply.value);
    else waiting?.reject(new Error(reply.error));
  }

  #end(error: Error): void {
    this.#ended ??= error;
    for (const { reject } of this.#waiting.values()) reject(this.#ended);
    this.#waiting.clear();
  }

  /** It cannot do without what has failed. */
  fail(error: Error): void {
    this.#end(error);
  }

  /** Waits for something that other threads bring about; rejects when they end first. */
  until(promise: Promise<void>): Promise<void> {
    const id = this.#next++;
    return new Promise<void>((resolve, reject) => {
      if (this.#ended) reject(this.#ended);
      this.#waiting.set(id, { resolve: () => resolve(), reject });
      void promise.then(() => this.#settle({ id, ok: true, value: null }));
    });
  }

  get ended(): boolean {
    return this.#ended !== null;
  }

  /** Requests of one turn of the loop travel together, and so do their answers: to wake a thread costs more than most of them. */
  call(request: Call): Promise<unknown> {
    if (this.#ended) return Promise.reject(this.#ended);
    const id = this.#next++;
    if (this.#unsent.push({ ...request, id }) === 1) queueMicrotask(() => this.#send());
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
    });
  }

  #send(): void {
    this.#worker.postMessage(JSON.stringify(this.#unsent));
    this.#unsent = [];
  }
}

type ThreadData = { readonly failpoint?: ThreadFailpoint };

const sparingThread = (options: ThreadOptions, data: ThreadData): Worker =>
  new Worker(threadUrl('spare-thread'), { workerData: { options, ...data }, execArgv: [] });

/** Until the next try to read what others change all the time; plans are executed meanwhile. */
const unsettledMs = 100;
const delay = promisify(setTimeout);

const untilZero = async (count: Int32Array): Promise<void> => {
  for (;;) {
    const now = Atomics.load(count, 0);
    if (now === 0) return;
    await Atomics.waitAsync(count, 0, now).value;
  }
};

/** Resolves once the threads run; what the machine cannot do shows in `facts` and in the results of plans. */
export const linuxKernel = async (options: LinuxKernelOptions): Promise<Kernel> => {
  // The threads of the pool get the namespace of whoever needs them first: that is to be the main thread, before any other leaves home.
  await promises.stat('/');
  const pending = new SharedArrayBuffer(8);
  const { failpoint: setting = null, fuse = null, ...others } = options;
  const threadOptions: ThreadOptions = { ...others, pending, spares: new SharedArrayBuffer(sparesBytes) };
  const spares = new Spares(threadOptions.spares);
  const failpoint = (who: string, fused: SharedArrayBuffer | null): ThreadData =>
    setting === null && fused === null ? {} : { failpoint: { setting, who, fuse: fused } };
  const { port1, port2 } = new MessageChannel();
  const reaper = new Worker(threadUrl('reap-thread'), {
    workerData: { port: port1, pending, ...failpoint('kernel.reaper', null) },
    transferList: [port1],
    execArgv: [],
  });
  const setup = new Worker(threadUrl('setup-thread'), {
    workerData: { options: threadOptions, reaper: port2, ...failpoint('kernel.setup', fuse) },
    transferList: [port2],
    // Flags like --input-type would be taken for the thread's.
    execArgv: [],
  });
  // Which calls fail is counted in the one that sets up: then it makes all of its namespaces itself.
  const sparing = fuse === null ? sparingThread(threadOptions, failpoint('kernel.spare', null)) : null;
  const spared = sparing ? ended(sparing) : null;
  const thread = new Thread(setup, [reaper, ...(sparing ? [sparing] : [])]);
  const watch = new Watch();
  /** Where one of them has failed the others wait for what never comes. */
  const terminate = async (): Promise<void> => {
    await Promise.all([setup, reaper, sparing].map((each) => each?.terminate()));
  };
  try {
    await thread.call({ call: 'apply', plans: [] });
  } catch (error) {
    await terminate();
    throw error;
  }
  return {
    apply: async (plans) => (await thread.call({ call: 'apply', plans })) as readonly PlanResult[],
    census: async (extent) => (await thread.call({ call: 'census', extent: extent ?? null })) as Census,
    watch: (tell) => watch.begin(threadOptions, tell, (error) => thread.fail(error)),
    facts: async () => {
      for (;;) {
        const facts = (await thread.call({ call: 'facts' })) as KernelFacts | null;
        if (facts) return facts;
        await delay(unsettledMs);
      }
    },
    listeners: async () => (await thread.call({ call: 'listeners' })) as readonly string[],
    capacity: readCapacity,
    setPeers: async (tables) => (await thread.call({ call: 'setPeers', tables })) as readonly PeerResult[],
    changePeers: async (changes) => (await thread.call({ call: 'changePeers', changes })) as readonly PeerResult[],
    checkPeers: async (left = []) =>
      (await thread.call({ call: 'checkPeers', left })) as Awaited<ReturnType<Kernel['checkPeers']>>,
    associations: async () =>
      (await thread.call({ call: 'associations' })) as Awaited<ReturnType<Kernel['associations']>>,
    changeAssociations: async (change) => (await thread.call({ call: 'changeAssociations', change })) as PlanResult,
    findPorts: async (searches) => (await thread.call({ call: 'findPorts', searches })) as readonly (number | null)[],
    openResolver: async (netns, port) =>
      (await thread.call({ call: 'openResolver', netns, port })) as Awaited<ReturnType<Kernel['openResolver']>>,
    settled: async () => {
      // Behind everything that was handed in before.
      await thread.call({ call: 'apply', plans: [] });
      await thread.until(untilZero(new Int32Array(pending)));
    },
    close: async () => {
      await watch.end();
      spares.end();
      if (thread.ended) return terminate();
      await spared;
      // The reaper lets go of what it holds and ends by itself.
      const reaped = ended(reaper);
      await thread.call({ call: 'close' });
      await Promise.all([setup.terminate(), reaped]);
    },
  };
};
