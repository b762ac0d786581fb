/** The second thread: it removes what the first has silenced, and never leaves the host's namespace. */
import { getPriority, setPriority } from 'node:os';
import { promisify } from 'node:util';
import { type MessagePort, workerData } from 'node:worker_threads';
import { NL } from './constants.ts';
import type { ReapJob } from './host.ts';
import { NetlinkSocket } from './netlink.ts';
import { Reaper } from './reaper.ts';

const { port, pending } = workerData as { readonly port: MessagePort; readonly pending: SharedArrayBuffer };
const count = new Int32Array(pending);

// This thread's own nice value (sched(7)): what is dead already can wait for what is being made.
setPriority(Math.max(10, getPriority()));

const socket = new NetlinkSocket(NL.ROUTE).widen();

const reaper = new Reaper({
  socket,
  sleep: promisify(setTimeout),
  done: (jobs) => {
    Atomics.sub(count, 0, jobs);
    Atomics.notify(count, 0);
  },
});

const stop = async (): Promise<void> => {
  await reaper.stop();
  socket.close();
  port.close();
};

port.on('message', (message: readonly ReapJob[] | 'stop') => {
  if (message === 'stop') void stop();
  else reaper.add(message);
});
