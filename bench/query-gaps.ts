/**
 * Thread of bench/attach.ts: asks one small query after another until told to stop, and tells the longest time between two answers. It pauses
 * for a millisecond in between: back to back it took half of two processors from what it measures.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { performance } from 'node:perf_hooks';
import { setTimeout } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { silentLogger } from '../services/lib/logger.ts';
import { connectNats } from '../services/nats/connection.ts';

const { url, shared } = workerData as { readonly url: string; readonly shared: SharedArrayBuffer };
const stop = new Int32Array(shared);
// The instrument must not wait for a processor itself, nor for the threads that collect its garbage.
for (const thread of readdirSync('/proc/self/task'))
  if (readFileSync(`/proc/self/task/${thread}/comm`, 'utf8').trim() === 'V8Worker') setPriority(Number(thread), -20);
setPriority(-20);
const connection = await connectNats({ url, role: 'bench', log: silentLogger() });
const pauseMs = 1;
const body = JSON.stringify({ filter: { name: 'left' } });
let longestMs = 0;
let queries = 0;
for (let last = performance.now(); Atomics.load(stop, 0) === 0; queries++) {
  await connection.request('cnm.query.networks', body, { timeout: 5000 });
  const now = performance.now();
  if (queries > 0) longestMs = Math.max(longestMs, now - last);
  last = now;
  await setTimeout(pauseMs);
}
await connection.close();
parentPort?.postMessage({ longestMs, queries });
