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
import { median, percentile, printResult, round, startService } from './lib.ts';

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
    .listen(process.argv[1], () => process.stdout.write('ready'));`;

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

/** Sends so many commands that wait for the plugin until its time is over. Answers when all of them have ended. */
const hang = async (client: Client, prefix: string): Promise<{ readonly ended: Promise<unknown> }> => {
  const sent = Array.from({ length: waiting }, (_, at) =>
    client.attachSandbox({ sandbox: `${prefix}-${at}`, networks: [{ network: 'hung' }] }, { deadlineMs: 300_000 }),
  );
  const accepted = await Promise.all(sent);
  return { ended: Promise.allSettled(accepted.map(({ outcome }) => outcome)) };
};

const folder = mkdtempSync(join(tmpdir(), 'cnm-bench-plugins-'));
process.env.CNM_PLUGIN_SOCKETS = folder;
/** Longer than a turn takes. */
process.env.CNM_PLUGIN_TIMEOUT_MS = '15000';
const plugin = await startHanging(join(folder, 'hanging.sock'));
const service = await startService();
const client = await connect({ url: service.url, actor: 'bench' });
await (await client.createNetwork({ name: 'lan', ipam: { subnets: [{ subnet: '10.1.0.0/22' }] } })).outcome;
const subnets = [{ subnet: '10.2.0.0/20' }];
await (await client.createNetwork({ name: 'hung', driver: 'hanging', ipam: { subnets } })).outcome;

const quiet: number[] = [];
const beside: number[] = [];
await oneByOne(client, 'warm', samples);
for (let turn = 0; turn < rounds; turn++) {
  quiet.push(...(await oneByOne(client, `quiet${turn}`, samples)));
  const hung = await hang(client, `hung${turn}`);
  await new Promise((resolve) => setTimeout(resolve, 500));
  beside.push(...(await oneByOne(client, `beside${turn}`, samples)));
  await hung.ended;
  // Until it is known that the plugin answers the handshake, its calls are not sent.
  await new Promise((resolve) => setTimeout(resolve, 2_000));
}
await client.close();
await service.stop();
plugin.kill();
rmSync(folder, { recursive: true });

printResult({
  waiting,
  samples: quiet.length,
  p50Ms: round(median(quiet)),
  besideP50Ms: round(median(beside)),
  p50Ratio: round(median(beside) / median(quiet)),
  p99Ms: round(percentile(quiet, 0.99)),
  besideP99Ms: round(percentile(beside, 0.99)),
  p99Ratio: round(percentile(beside, 0.99) / percentile(quiet, 0.99)),
  ratioWanted: 1.2,
});
