/**
 * What published ports cost: attach with 10 of them among 1,000 endpoints that have 10 each, beside attach without any in the same
 * company, in turns; and one endpoint with 200. Run in a namespace of its own by bench/run.ts. Prints one JSON document.
 *
 *     ports.ts [RESIDENTS] [SAMPLES]
 */
import { performance } from 'node:perf_hooks';
import { type Client, connect } from '../services/client/index.ts';
import { median, percentile, printResult, round, startService } from './lib.ts';

const residents = Number(process.argv[2] ?? 1000);
const samples = Number(process.argv[3] ?? 100);
const perEndpoint = 10;
/** Above what this machine listens on, below the kernel's range of ephemeral ports. */
const firstPort = 10_000;

let next = firstPort;
const ports = (count: number) =>
  Array.from({ length: count }, (_, index) => ({ hostPort: next++, port: 1_000 + index }));

const timed = async (client: Client, sandbox: string, index: number, count: number): Promise<number> => {
  const published = ports(count);
  const start = performance.now();
  const network = index % 2 === 0 ? 'left' : 'right';
  await (await client.attachSandbox({ sandbox, networks: [{ network }], ports: published })).outcome;
  return performance.now() - start;
};

const service = await startService();
const client = await connect({ url: service.url, actor: 'bench' });
for (const [index, name] of ['left', 'right'].entries()) {
  await (await client.createNetwork({ name, ipam: { subnets: [{ subnet: `10.${index + 1}.0.0/22` }] } })).outcome;
}
const start = performance.now();
await Promise.all(
  Array.from({ length: residents }, (_, index) => timed(client, `resident${index}`, index, perEndpoint)),
);
const residentsMs = performance.now() - start;

const bare: number[] = [];
const published: number[] = [];
for (let index = 0; index < samples; index++) {
  bare.push(await timed(client, `bare${index}`, index, 0));
  published.push(await timed(client, `ports${index}`, index, perEndpoint));
}
const many: number[] = [];
for (let index = 0; index < 5; index++) many.push(await timed(client, `many${index}`, index, 200));

await client.close();
await service.stop();
printResult({
  residents,
  portsPerResident: perEndpoint,
  residentsPerSecond: round((residents / residentsMs) * 1000, 0),
  bareP50Ms: round(median(bare)),
  withPortsP50Ms: round(median(published)),
  ratio: round(median(published) / median(bare)),
  ratioWanted: 1.3,
  bareP99Ms: round(percentile(bare, 0.99)),
  withPortsP99Ms: round(percentile(published, 0.99)),
  with200PortsMs: round(median(many)),
  with200PortsMsWanted: 300,
});
