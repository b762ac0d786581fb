/**
 * The second thread: it removes what the first has silenced. It stands in the host's namespace, which it leaves only to open sockets in
 * others.
 */
import { getPriority } from 'node:os';
import { promisify } from 'node:util';
import { type MessagePort, workerData } from 'node:worker_threads';
import { NL } from './constants.ts';
import { type ReapJob, threadNamespace } from './host.ts';
import { C, check, close, open, setns } from './libc.ts';
import { NetlinkSocket } from './netlink.ts';
import { Reaper } from './reaper.ts';
import { schedule } from './scheduling.ts';

const { port, pending } = workerData as { readonly port: MessagePort; readonly pending: SharedArrayBuffer };
const count = new Int32Array(pending);

// What is dead already can wait for what is being made.
schedule({ nice: Math.max(10, getPriority()), sliceMs: null });

const home = check(open(threadNamespace, C.O_RDONLY | C.O_CLOEXEC, 0), `open ${threadNamespace}`);
const socket = new NetlinkSocket(NL.ROUTE).widen();

const openInside = (namespace: number): NetlinkSocket => {
  check(setns(namespace, C.CLONE_NEWNET), 'setns');
  try {
    return new NetlinkSocket(NL.ROUTE);
  } finally {
    check(setns(home, C.CLONE_NEWNET), 'setns home');
  }
};

const reaper = new Reaper({
  socket,
  open: openInside,
  sleep: promisify(setTimeout),
  done: (jobs) => {
    Atomics.sub(count, 0, jobs);
    Atomics.notify(count, 0);
  },
});

const stop = async (): Promise<void> => {
  await reaper.stop();
  socket.close();
  close(home);
  port.close();
};

port.on('message', (message: readonly ReapJob[] | 'stop') => {
  if (message === 'stop') void stop();
  else reaper.add(message);
});
