/**
 * How fast sandboxes are attached through the kernel adapter, beside limit.c: the same work in C with the fewest system calls.
 * Run in namespaces of its own: `unshare --net --mount node bench/kernel.ts [sandboxes] [plans per batch] [rounds]`.
 */
import { linuxKernel } from '../drivers/kernel/kernel.ts';
import type { KernelObject, Tag } from '../drivers/objects.ts';
import type { Kernel, Operation, Plan } from '../drivers/port.ts';
import { floor, median, printResult, round as rounded } from './lib.ts';

const [count = 1000, batch = 32, rounds = 3] = process.argv.slice(2).map(Number);
const runDir = '/run/cnm-bench';
const [realm, host] = ['bench', 'h'];
const bridges = 2;

const tag = (entity: Tag['entity'], id: string): Tag => ({ realm, host, entity, id });

const network = (at: number): readonly KernelObject[] => {
  const [name, owner] = [`cnmbr${at}`, tag('network', `n${at}`)];
  const address = `10.${200 + at}.0.1`;
  return [
    {
      kind: 'bridge',
      name,
      mac: `02:42:0a:${(200 + at).toString(16)}:00:01`,
      mtu: 1500,
      addresses: [`${address}/16`],
      routed: false,
      tag: owner,
    },
    { kind: 'element', set: 'bridges', key: [name], data: [], tag: owner },
    { kind: 'element', set: 'own', key: [name, name], data: [], tag: owner },
  ];
};

const hex = (byte: number): string => byte.toString(16).padStart(2, '0');

const sandbox = (round: number, at: number): readonly KernelObject[] => {
  const [id, net, number] = [`${round}x${at}`, at % bridges, Math.floor(at / bridges) + 2];
  const [third, fourth] = [number >> 8, number & 255];
  const netns = `${runDir}/s${id}`;
  const mac = `02:42:0a:${hex(200 + net)}:${hex(third)}:${hex(fourth)}`;
  const peer = { name: 'eth0', mac, addresses: [`10.${200 + net}.${third}.${fourth}/16`] };
  const owner = tag('endpoint', `e${id}`);
  return [
    { kind: 'netns', path: netns, owned: true, tag: tag('sandbox', `s${id}`) },
    {
      kind: 'veth',
      name: `cv${id}`,
      bridge: `cnmbr${net}`,
      mtu: 1500,
      netns,
      peer,
      isolated: false,
      birth: { sysctls: {} },
      tag: owner,
    },
    { kind: 'route', netns, destination: '0.0.0.0/0', gateway: `10.${200 + net}.0.1`, device: 'eth0', tag: owner },
  ];
};

const plan = (id: string, op: 'create' | 'delete', objects: readonly KernelObject[]): Plan => {
  const operations = objects.map((object): Operation => ({ op, object }));
  return { id, operations: op === 'create' ? operations : operations.reverse() };
};

/** Two batches are under way at a time: one is applied while the other is made. */
const apply = async (kernel: Kernel, plans: readonly Plan[]): Promise<void> => {
  let at = 0;
  const feed = async (): Promise<void> => {
    while (at < plans.length) {
      const slice = plans.slice(at, at + batch);
      at += batch;
      for (const result of await kernel.apply(slice)) if (!result.ok) throw new Error(JSON.stringify(result.fault));
    }
  };
  await Promise.all([feed(), feed()]);
};

const timed = async (work: () => Promise<unknown>): Promise<number> => {
  const start = performance.now();
  await work();
  return performance.now() - start;
};

const networks = Array.from({ length: bridges }, (_, at) => network(at)).flat();
const runs: { readonly floor: number; readonly attach: number; readonly cpuUs: number; readonly goneMs: number }[] = [];

const kernel = await linuxKernel({ realm, host, runDir });
await apply(kernel, [plan('networks', 'create', networks)]);
for (let round = 0; round < rounds; round++) {
  const limit = (await floor(count, bridges)).perSecond;
  const boxes = Array.from({ length: count }, (_, at) => sandbox(round, at));
  const before = process.cpuUsage();
  const attachMs = await timed(() =>
    apply(
      kernel,
      boxes.map((box, at) => plan(`attach ${at}`, 'create', box)),
    ),
  );
  const { user, system } = process.cpuUsage(before);
  const censusMs = await timed(() => kernel.census());
  const detachMs = await timed(() =>
    apply(
      kernel,
      boxes.map((box, at) => plan(`detach ${at}`, 'delete', box)),
    ),
  );
  const goneMs = detachMs + (await timed(() => kernel.settled()));
  runs.push({ floor: limit, attach: (count / attachMs) * 1000, cpuUs: (user + system) / count, goneMs });
  console.error(
    `limit.c ${limit}/s; cnmbus ${rounded((count / attachMs) * 1000, 0)}/s, ${rounded(user / count, 0)} us user and ` +
      `${rounded(system / count, 0)} us system each; census ${rounded(censusMs, 0)} ms, ` +
      `detach ${rounded(detachMs, 0)} ms, all gone after ${rounded(goneMs, 0)} ms`,
  );
}
await apply(kernel, [plan('networks', 'delete', networks)]);
await kernel.settled();
await kernel.close();

const of = (pick: (run: (typeof runs)[number]) => number): number => rounded(median(runs.map(pick)), 2);
const [floorPerSecond, attachPerSecond, cpuUs, goneMs] = [
  of((run) => run.floor),
  of((run) => run.attach),
  of((run) => run.cpuUs),
  of((run) => run.goneMs),
];
const share = of((run) => run.attach / run.floor);
printResult({ sandboxes: count, batch, floorPerSecond, attachPerSecond, share, cpuUs, goneMs });
