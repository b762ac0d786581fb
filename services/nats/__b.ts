import { connect } from '@nats-io/transport-node';
import { jetstream } from '@nats-io/jetstream';
import { jetStream } from './jetstream.ts';
const [mode, json] = process.argv.slice(2);
const nc = await connect({ servers: '127.0.0.1:14222', noAsyncTraces: true });
const td = new TextDecoder(); let n = 0, sum = 0; const t = performance.now();
const done = Promise.withResolvers<void>();
if (mode === 'lib') {
  const c = await jetstream(nc).consumers.get('B', { opt_start_seq: 1 });
  await c.consume({ max_messages: 2000, expires: 5000, callback: (m) => { n++; sum += m.seq; if (json) JSON.parse(td.decode(m.data)); if (m.info.pending === 0) done.resolve(); } });
} else {
  const r = jetStream(nc, 'B').read({ from: 1 }, (m) => { n++; sum += m.position; if (json) JSON.parse(td.decode(m.body)); });
  await r.caughtUp; done.resolve();
}
await done.promise; const s = (performance.now() - t) / 1000;
console.log(mode, json ?? 'raw', n, sum, `${Math.round(n / s)} msg/s`, `${Math.round(process.memoryUsage.rss() / 1e6)} MB`);
process.exit(0);
