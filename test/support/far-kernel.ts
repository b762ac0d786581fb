/**
 * The kernel of another host: a process of its own in another network namespace, `farKernel(netns, options)`. Run by itself, it takes one
 * request a line and answers each with a line.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { type LinuxKernelOptions, linuxKernel } from '../../drivers/kernel/kernel.ts';
import type { Kernel } from '../../drivers/port.ts';

type Calls = Pick<Kernel, 'apply' | 'setPeers' | 'changePeers' | 'checkPeers' | 'settled' | 'close'>;

const serve = async (options: LinuxKernelOptions): Promise<void> => {
  const kernel = await linuxKernel(options);
  for await (const line of createInterface({ input: process.stdin })) {
    const [call, argument] = JSON.parse(line) as [keyof Calls, never];
    console.log(JSON.stringify((await kernel[call](argument)) ?? null));
    if (call === 'close') break;
  }
};

/** Requests are answered one after the other. */
export const farKernel = (netns: string, options: LinuxKernelOptions): Calls => {
  const argv = [`--net=${netns}`, process.execPath, ...process.execArgv, import.meta.filename, JSON.stringify(options)];
  const child: ChildProcess = spawn('nsenter', argv, { stdio: ['pipe', 'pipe', 'inherit'] });
  const waiting: ((value: never) => void)[] = [];
  if (child.stdout) {
    createInterface({ input: child.stdout }).on('line', (line) => waiting.shift()?.(JSON.parse(line) as never));
  }
  const ask = <T>(call: keyof Calls, argument: unknown = null): Promise<T> =>
    new Promise((resolve) => {
      waiting.push(resolve);
      child.stdin?.write(`${JSON.stringify([call, argument])}\n`);
    });
  return {
    apply: (plans) => ask('apply', plans),
    setPeers: (tables) => ask('setPeers', tables),
    changePeers: (changes) => ask('changePeers', changes),
    checkPeers: () => ask('checkPeers'),
    settled: () => ask('settled'),
    close: async () => {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      await ask('close');
      child.stdin?.end();
      await ended;
    },
  };
};

if (process.argv[1] === import.meta.filename) await serve(JSON.parse(process.argv[2] ?? '') as LinuxKernelOptions);
