import { mkdirSync } from 'node:fs';
import { linuxKernel } from '../../drivers/kernel/kernel.ts';
import { startSystem } from './system.ts';

const runDir = process.argv[2] ?? '/run/cnmprof';
mkdirSync(runDir, { recursive: true });
const kernel = await linuxKernel({ realm: 'test', host: 'h1', runDir });
const system = await startSystem(kernel, runDir);
for (const [name, subnet] of [
  ['a', '10.1.0.0/22'],
  ['b', '10.2.0.0/22'],
] as const)
  await (await system.send('CreateNetwork', { name, ipam: { subnets: [{ subnet }] } })).outcome;
const attach = async (s: string, i: number) => {
  const t = performance.now();
  const r = await system.send('AttachSandbox', { sandbox: s, networks: [{ network: i % 2 ? 'a' : 'b' }] });
  if (r.first.kind === 'refused') throw new Error(JSON.stringify(r.first));
  const o = await r.outcome;
  if (o.status !== 'succeeded') throw new Error(JSON.stringify(o));
  return performance.now() - t;
};
const lat: number[] = [];
for (let i = 0; i < 50; i++) lat.push(await attach(`w${i}`, i));
lat.sort((x, y) => x - y);
console.log('single p50', lat[25], 'p10', lat[5]);
const N = Number(process.argv[3] ?? 500);
const cpu0 = process.cpuUsage(),
  t0 = performance.now();
const el0 = performance.eventLoopUtilization();
await Promise.all(Array.from({ length: N }, (_, i) => attach(`b${i}`, i)));
const ms = performance.now() - t0,
  cpu = process.cpuUsage(cpu0);
console.log(
  'burst/s',
  (N / ms) * 1000,
  'cpu ms per attach (all threads)',
  (cpu.user + cpu.system) / 1000 / N,
  'ELU',
  performance.eventLoopUtilization(el0).utilization,
  'main ms per attach',
  performance.eventLoopUtilization(el0).active / N,
);
const t1 = performance.now();
await Promise.all(
  Array.from({ length: N }, (_, i) => system.send('DetachSandbox', { sandbox: `b${i}` }).then((r) => r.outcome)),
);
console.log('detach', performance.now() - t1);
await kernel.settled();
console.log('gone', performance.now() - t1);
await system.stop();
await kernel.close();
process.exit(0);
