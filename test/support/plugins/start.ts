// Starts plugin programs in processes of their own, and ends them with the test.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Asked } from './behaviour.ts';
import type { Order, Told } from './serve.ts';

export interface PluginProcess {
  /** Of the port that it listens on; null for a socket. */
  readonly port: number | null;
  /** What it has been asked so far, in order. */
  asked(): Promise<readonly Asked[]>;
  methods(): Promise<readonly string[]>;
  /** Resolves when it does so. */
  order(order: Order): Promise<void>;
  /** SIGSTOP: it is there, and does nothing at all. */
  freeze(): void;
  thaw(): void;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
}

const launch = async (program: string, args: readonly string[]): Promise<PluginProcess> => {
  const child = spawn(process.execPath, [join(import.meta.dirname, program), ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.unref();
  const asked: Asked[] = [];
  const obeyed: (() => void)[] = [];
  const { promise: ready, resolve: isReady, reject } = Promise.withResolvers<number | null>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    const told = JSON.parse(line) as Told;
    if ('ready' in told) isReady(told.ready);
    else if ('obeyed' in told) obeyed.shift()?.();
    else asked.push(told.asked);
  });
  child.once('exit', () => reject(new Error(`${program} ended`)));
  const port = await ready;
  const order = (what: Order): Promise<void> =>
    new Promise((resolve) => {
      obeyed.push(resolve);
      child.stdin.write(`${JSON.stringify(what)}\n`);
    });
  // Lines come in order: behind the answer to an order stands nothing that was asked before it.
  const soFar = async (): Promise<readonly Asked[]> => {
    await order({});
    return [...asked];
  };
  return {
    port,
    asked: soFar,
    methods: async () => (await soFar()).map(({ method }) => method),
    order,
    freeze: () => child.kill('SIGSTOP'),
    thaw: () => child.kill('SIGCONT'),
    kill: () => end(child),
  };
};

const end = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
};

export const startOnSocket = (path: string): Promise<PluginProcess> => launch('on-socket.ts', [path]);
/** One that makes bridges and veth pairs, in the namespace of this process. */
export const startVeth = (path: string): Promise<PluginProcess> => launch('veth.ts', [path]);
export const startOnPort = (): Promise<PluginProcess> => launch('on-port.ts', []);
export const startOverTls = (cert: string, key: string, clientCa?: string): Promise<PluginProcess> =>
  launch('over-tls.ts', clientCa === undefined ? [cert, key] : [cert, key, clientCa]);
