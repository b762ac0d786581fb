import { connect } from '@nats-io/transport-node';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { jetStream } from './jetstream.ts';
const nc = await connect({ servers: '127.0.0.1:14222', noAsyncTraces: true });
const m = await jetstreamManager(nc); await m.streams.delete('A').catch(() => {}); await m.streams.add({ name: 'A', subjects: ['a.>'], allow_direct: true });
const js = jetstream(nc), s = jetStream(nc, 'A'); const body = 'x'.repeat(256); let n = 0;
const modes = { lib: (i: number) => js.publish(`a.${i % 10}`, body, { msgID: `${n++}`, expect: { streamName: 'A' } }), own: (i: number) => s.append({ subject: `a.${i % 10}`, body, id: `${n++}` }) };
for (let round = 0; round < 3; round++) for (const [name, run] of Object.entries(modes)) {
  let t = performance.now(); for (let b = 0; b < 200; b++) await Promise.all(Array.from({ length: 256 }, (_, i) => run(i)));
  const rate = 51200 / (performance.now() - t); t = performance.now(); const lat: number[] = [];
  for (let i = 0; i < 2000; i++) { const u = performance.now(); await run(i); lat.push(performance.now() - u); } lat.sort((a, b) => a - b);
  console.log(name, `${rate.toFixed(1)} k/s pipelined 256, sequential p50 ${lat[1000]!.toFixed(3)} p99 ${lat[1980]!.toFixed(3)} ms`);
}
await nc.close();
