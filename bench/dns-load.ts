/**
 * Program of bench/dns.ts, run inside of a sandbox: asks its resolver for names at a steady rate, whether or not answers come, and prints how
 * long each took. Rate 0: as fast as answers come, with 64 questions under way.
 *
 *     dns-load.ts SECONDS RATE NAME...
 */
import { createSocket } from 'node:dgram';
import { setPriority } from 'node:os';
import { performance } from 'node:perf_hooks';
import packet from 'dns-packet';
import { percentile, printResult, round } from './lib.ts';

const seconds = Number(process.argv[2]);
const rate = Number(process.argv[3]);
const names = process.argv.slice(4);
const underWayMax = 64;
/** An answer that has not come by then is lost. */
const patienceMs = 3_000;

// The instrument must not wait for a processor itself.
if (rate > 0) setPriority(-20);
const socket = createSocket({ type: 'udp4', recvBufferSize: 1 << 20 });
const messages = names.map((name) =>
  packet.encode({ type: 'query', id: 0, flags: 0x100, questions: [{ type: 'A', name }] }),
);
const sentAt = new Float64Array(0x10000);
const latencies: number[] = [];
let sent = 0;
let bad = 0;

const send = (): void => {
  const message = Buffer.from(messages[sent % messages.length] ?? '');
  const id = sent % 0x10000;
  message.writeUInt16BE(id, 0);
  sentAt[id] = performance.now();
  socket.send(message);
  sent += 1;
};

const ended = Promise.withResolvers<void>();
const begin = performance.now();
const isOver = (): boolean => performance.now() - begin > seconds * 1000;

socket.on('message', (message) => {
  latencies.push(performance.now() - (sentAt[message.readUInt16BE(0)] ?? 0));
  // An answer without an error, and with one record at least.
  if ((message.readUInt16BE(2) & 0xf) !== 0 || message.readUInt16BE(6) === 0) bad += 1;
  if (rate === 0 && !isOver()) send();
});
socket.on('error', () => undefined);
socket.connect(53, '127.0.0.11', () => {
  for (let each = 0; rate === 0 && each < underWayMax; each++) send();
  const timer = setInterval(() => {
    const due = Math.min((performance.now() - begin) / 1000, seconds) * rate;
    while (sent < due) send();
    if (!isOver()) return;
    clearInterval(timer);
    const started = performance.now();
    const waiting = setInterval(() => {
      if (latencies.length < sent && performance.now() - started < patienceMs) return;
      clearInterval(waiting);
      ended.resolve();
    }, 10);
  }, 1);
});
await ended.promise;
socket.close();
printResult({
  asked: sent,
  lost: sent - latencies.length,
  bad,
  perSecond: round(latencies.length / seconds, 0),
  p50Ms: round(percentile(latencies, 0.5)),
  p99Ms: round(percentile(latencies, 0.99)),
  p999Ms: round(percentile(latencies, 0.999)),
  maxMs: round(percentile(latencies, 1)),
});
