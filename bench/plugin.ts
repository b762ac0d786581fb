/**
 * What one hung plugin costs other networks: attach on a bridge network while a hundred commands wait for a plugin that answers nothing, beside attach
 * without any, in turns. Run in a namespace of its own by bench/run.ts. Prints one JSON document.
 *
 *     plugin.ts [ROUNDS] [SAMPLES]
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { type Client, connect } from '../services/client/index.ts';
import { median, percentile, round, startService } from './lib.ts';

const rounds = Number(process.argv[2] ?? 4);
const samples = Number(process.argv[3] ?? 150);
const waiting = 100;

/** Answers what comes first in the life of a network, and nothing about endpoints. */
const program = `
  const answers = {
    '/Plugin.Activate': { Implements: ['NetworkDriver'] },
    '/NetworkDriver.GetCapabilities': { Scope: 'local' },
    '/NetworkDriver.CreateNetwork': {},
    '/NetworkDriver.DeleteNetwork': {},
  };
  require('node:http')
    .createServer((request, response) => {
      request.resume();
      const answer = answers[request.url];
      if (answer) response.end(JSON.stringify(answer));
    })
    .listen(process.argv[1], () => console.log('ready'));`;

const startHanging = async (socket: string): Promise<ChildProcess> => {
  const child = spawn(process.execPath, ['-e', program, socket], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve) => child.stdout?.once('data', resolve));
  return child;
};

const attach = async (client: Client, sandbox: string): Promise<number> => {
  const start = performance.now();
  await (await client.attachSandbox({ sandbox, networks: [{ network: 'lan' }] })).outcome;
  return performance.now() - start;
};

const oneByOne = async (client: Client, prefix: string, count: number): Promise<readonly number[]> => {
  const times: number[] = [];
  for (let index = 0; index < count; index++) times.push(await attach(client, `${prefix}-${index}`));
  for (let index = 0; index < count; index++)
    await (await client.detachSandbox({ sandbox: `${prefix}-${index}` })).outcome;
  return times;
};

/** Keeps so many commands waiting for the plugin; each that ends is followed by another one. */
const keepWaiting = (client: Client, prefix: string) => {
  let isOver = false;
  let ended = 0;
  const one = async (at: number): Promise<void> => {
    for (let turn = 0; !isOver; turn++) {
      const networks = [{ network: 'hung' }];
      const accepted = await client.attachSandbox({ sandbox: `${prefix}-${at}-${turn}`, networks });
      await accepted.outcome.catch(() => undefined);
      ended += 1;
    }
  };
  const all = Promise.all(Array.from({ length: waiting }, (_, at) => one(at)));
  return {
    stop: async (): Promise<number> => {
      isOver = true;
      await all;
      return ended;
    },
  };
};

const folder = mkdtempSync(join(tmpdir(), 'cnm-bench-plugins-'));
process.env.CNM_PLUGIN_SOCKETS = folder;
const plugin = await startHanging(join(folder, 'hanging.sock'));
const service = await startService();
const client = await connect({ url: service.url, actor: 'bench' });
await (await client.createNetwork({ name: 'lan', ipam: { subnets: [{ subnet: '10.1.0.0/22' }] } })).outcome;
const subnets = [{ subnet: '10.2.0.0/20' }];
await (await client.createNetwork({ name: 'hung', driver: 'hanging', ipam: { subnets } })).outcome;

const quiet: number[] = [];
const beside: number[] = [];
let ended = 0;
await oneByOne(client, 'warm', samples);
for (let turn = 0; turn < rounds; turn++) {
  quiet.push(...(await oneByOne(client, `quiet${turn}`, samples)));
  const hung = keepWaiting(client, `hung${turn}`);
  await new Promise((resolve) => setTimeout(resolve, 500));
  beside.push(...(await oneByOne(client, `beside${turn}`, samples)));
  ended += await hung.stop();
}
await client.close();
await service.stop();
plugin.kill();
rmSync(folder, { recursive: true });

console.log(
  JSON.stringify({
    waiting,
    samples: quiet.length,
    endedMeanwhile: ended,
    p50Ms: round(median(quiet)),
    besideP50Ms: round(median(beside)),
    p50Ratio: round(median(beside) / median(quiet)),
    p99Ms: round(percentile(quiet, 0.99)),
    besideP99Ms: round(percentile(beside, 0.99)),
    p99Ratio: round(percentile(beside, 0.99) / percentile(quiet, 0.99)),
    ratioWanted: 1.2,
  }),
);
