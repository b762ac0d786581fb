/**
 * One network over three hosts that share this machine: attaching to it beside attaching to a bridge (with a way out, as an overlay has unless it is internal, and without), how soon a new sandbox is reached and
 * resolved from another host, and a burst over all hosts beside the kernel's floor. The first host runs `cnm up`, the others a worker
 * each in a namespace of its own. Run in a namespace of its own by bench/run.ts. Prints one JSON document.
 *
 *     overlay.ts [BURST] [SINGLES] [REACHES]
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { type Client, connect } from '../services/client/index.ts';
import { serverAddress, startHosts } from '../test/support/hosts.ts';
import { startNats } from '../test/support/nats.ts';
import { sh } from '../test/support/netns.ts';
import { cpuMs, floor, median, namespaces, percentile, printResult, round, startService, sweptDownTo } from './lib.ts';

const [burst = 1000, singles = 200, reaches = 100] = process.argv.slice(2).map(Number);
const hosts = ['h0', 'h1', 'h2'] as const;

const nats = await startNats({ listen: '0.0.0.0' });
const url = nats.url.replace('127.0.0.1', serverAddress);
const env = { CNM_LOG_LEVEL: 'error', ...(process.env.NODE_OPTIONS ? { NODE_OPTIONS: process.env.NODE_OPTIONS } : {}) };
const lab = await startHosts(2, { url, realm: 'bench', env });
const service = await startService([], {
  ...{ CNM_HOST: 'h0', CNM_NATS_URL: url, CNM_NATS_SYNC: 'always', CNM_UNDERLAY: serverAddress },
});
const workers: number[] = [];
for (const host of lab.hosts) workers.push((await host.start()).pid);
const client: Client = await connect({ url, actor: 'bench' });

const attach = async (sandbox: string, host: string, network: string, ipv4?: string): Promise<void> => {
  const networks = [{ network, ...(ipv4 === undefined ? {} : { interfaces: [{ ipv4 }] }) }];
  await (await client.attachSandbox({ sandbox, networks }, { host })).outcome;
};
const detach = async (sandbox: string, host: string): Promise<void> => {
  await (await client.detachSandbox({ sandbox }, { host })).outcome;
};
const timed = async (work: () => Promise<unknown>): Promise<number> => {
  const start = performance.now();
  await work();
  return performance.now() - start;
};
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const ends = (): number => {
  const count = 'grep -c " cv" /proc/thread-self/net/dev || true';
  return [sh(count), ...lab.hosts.map((host) => host.exec(count))].reduce((sum, text) => sum + Number(text), 0);
};
/** Detaches, and waits until the kernel has swept up: what is being removed slows down what is being made. */
const clear = async (placed: readonly (readonly [sandbox: string, host: string])[], left: number): Promise<void> => {
  await Promise.all(placed.map(([sandbox, host]) => detach(sandbox, host)));
  while (ends() > left) await pause(50);
  await sweptDownTo(atRest);
};

await (await client.createNetwork({ name: 'left', ipam: { subnets: [{ subnet: '10.1.0.0/22' }] } }, { host: 'h0' }))
  .outcome;
for (const [name, subnet, internal] of [
  ['span', '10.77.0.0/20', false],
  ['inner', '10.78.0.0/20', true],
] as const) {
  const ipam = { subnets: [{ subnet }] };
  await (await client.createNetwork({ name, driver: 'overlay', internal, ipam })).outcome;
}
const atRest = namespaces();
// Somebody is in both networks on each host all the time: the first one of a network on a host makes its bridge and tunnel.
for (let index = 0; index < 10; index++) {
  await attach(`r-left-${index}`, 'h0', 'left');
  for (const host of hosts)
    for (const network of ['span', 'inner']) await attach(`r-${network}-${host}-${index}`, host, network);
}
const resting = ends();

/** Bridge and overlays in turns, so that all meet the same machine. */
const alternately = async () => {
  const samples = { left: [] as number[], span: [] as number[], inner: [] as number[] };
  const placed: [string, string][] = [];
  for (let index = 0; index < singles; index++)
    for (const network of ['left', 'span', 'inner'] as const) {
      samples[network].push(await timed(() => attach(`${network}${index}`, 'h0', network)));
      placed.push([`${network}${index}`, 'h0']);
    }
  await clear(placed, resting);
  return samples;
};

/** From the publish on, until a sandbox on another host has its echo and its A record. */
const reach = async () => {
  const { rows } = await client.sandboxes({ filter: { sandbox: 'r-span-h2-0' } });
  const key = rows[0]?.key ?? '';
  const files = '/proc/sys/net/ipv4/neigh/eth0/retrans_time_ms';
  const program = join(import.meta.dirname, 'reach.py');
  const script = `echo 1 > ${files}; exec python3 ${program}`;
  const prober = spawn('nsenter', [`--net=${key}`, 'sh', '-ec', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: prober.stdout })[Symbol.asyncIterator]();
  const samples = { reachedMs: [] as number[], resolvedMs: [] as number[], outcomeMs: [] as number[] };
  const placed: [string, string][] = [];
  for (let index = 0; index < reaches; index++) {
    const [sandbox, address] = [`p${index}`, `10.77.8.${index + 1}`];
    prober.stdin.write(`${address} ${sandbox}\n`);
    await lines.next();
    await pause(20);
    const start = process.hrtime.bigint();
    const ended = timed(() => attach(sandbox, 'h1', 'span', address));
    const [reached = 0n, resolved = 0n] = String((await lines.next()).value)
      .split(' ')
      .map(BigInt);
    samples.reachedMs.push(Number(reached - start) / 1e6);
    samples.resolvedMs.push(Number(resolved - start) / 1e6);
    samples.outcomeMs.push(await ended);
    placed.push([sandbox, 'h1']);
  }
  prober.kill();
  await clear(placed, resting);
  return samples;
};

/** CPU time per attach, milliseconds: both processors together have two in each. */
type Cost = Readonly<Record<'first' | 'others' | 'server' | 'client', number>>;

interface Burst {
  readonly floorPerSecond: number;
  readonly perSecond: number;
  readonly cost: Cost;
}

/** So far, of the process that is `cnm up`, the workers of the other hosts, the server, and this one. */
const spent = (): Cost => ({
  first: cpuMs(service.pid),
  others: workers.map(cpuMs).reduce((sum, ms) => sum + ms, 0),
  server: cpuMs(nats.pid),
  client: cpuMs(process.pid),
});
const perAttach = (pick: (who: keyof Cost) => number): Cost => ({
  ...{ first: pick('first'), others: pick('others'), server: pick('server'), client: pick('client') },
});

const allAtOnce = async (run: number, network: 'span' | 'inner'): Promise<Burst> => {
  const limit = await floor(burst, hosts.length);
  const placed = Array.from({ length: burst }, (_, index) => [`m${run}-${network}-${index}`, `h${index % 3}`] as const);
  const before = spent();
  const tookMs = await timed(() => Promise.all(placed.map(([sandbox, host]) => attach(sandbox, host, network))));
  const after = spent();
  await clear(placed, resting);
  const cost = perAttach((who) => (after[who] - before[who]) / burst);
  return { floorPerSecond: limit.perSecond, perSecond: (burst / tookMs) * 1000, cost };
};

const pairs = singles > 0 ? await alternately() : null;
const reached = reaches > 0 ? await reach() : null;
// The first run of each is not counted: services are warm.
const runs = { span: [] as Burst[], inner: [] as Burst[] };
for (let run = 0; burst > 0 && run < 4; run++)
  for (const network of ['span', 'inner'] as const) runs[network].push(await allAtOnce(run, network));

await service.stop();
await lab.stop();
await nats.stop();
await client.close();

const rates = (of: readonly Burst[]) => {
  const counted = of.slice(1);
  const perSecond = median(counted.map((run) => run.perSecond));
  const floorPerSecond = median(counted.map((run) => run.floorPerSecond));
  return {
    perSecond: round(perSecond, 0),
    floorPerSecond: round(floorPerSecond, 0),
    ratio: round(perSecond / floorPerSecond),
    cpuMsPerAttach: perAttach((who) => round(median(counted.map(({ cost }) => cost[who])), 2)),
  };
};
printResult({
  hosts: hosts.length,
  ...(pairs && {
    single: {
      samples: singles,
      bridgeP50Ms: round(median(pairs.left)),
      overlayP50Ms: round(median(pairs.span)),
      internalP50Ms: round(median(pairs.inner)),
      ratio: round(median(pairs.span) / median(pairs.left)),
      internalRatio: round(median(pairs.inner) / median(pairs.left)),
      ratioWanted: 2,
      overlayP99Ms: round(percentile(pairs.span, 0.99)),
    },
  }),
  ...(reached && {
    reach: {
      samples: reaches,
      reachedP50Ms: round(median(reached.reachedMs)),
      resolvedP50Ms: round(median(reached.resolvedMs)),
      p50MsWanted: 20,
      reachedP99Ms: round(percentile(reached.reachedMs, 0.99)),
      resolvedP99Ms: round(percentile(reached.resolvedMs, 0.99)),
      outcomeP50Ms: round(median(reached.outcomeMs)),
    },
  }),
  ...(burst > 0 && {
    burst: { endpoints: burst, ...rates(runs.span), ratioWanted: 0.5, internal: rates(runs.inner) },
  }),
});
