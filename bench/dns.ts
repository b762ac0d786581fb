/**
 * How long a sandbox waits for names of its own network: at rest, while 20 networks change per second, and beside a sandbox that asks as fast
 * as it can. Run in a namespace of its own by bench/run.ts. Prints one JSON document.
 *
 *     dns.ts [SECONDS] [RATE] [RESIDENTS]
 */
import { performance } from 'node:perf_hooks';
import { type Client, connect } from '../services/client/index.ts';
import { askNames, type NameLoad, printResult, round, startService } from './lib.ts';

const seconds = Number(process.argv[2] ?? 20);
/** Questions per second of the sandbox that is measured. */
const rate = Number(process.argv[3] ?? 1_000);
const residents = Number(process.argv[4] ?? 200);
const changesPerSecond = 20;

const load = (key: string, perSecond: number, ...names: readonly string[]): Promise<NameLoad> =>
  askNames(key, { seconds, perSecond }, names);

const outcome = async (accepted: Promise<{ readonly outcome: Promise<unknown> }>): Promise<void> => {
  await (await accepted).outcome;
};
const attach = (client: Client, sandbox: string, network: string): Promise<void> =>
  outcome(client.attachSandbox({ sandbox, networks: [{ network, aliases: ['service'] }] }));

/** One network changes each time: made with a sandbox in it, or removed with it. */
const change = async (client: Client, tick: number): Promise<void> => {
  const name = `c${tick - (tick % 2)}`;
  if (tick % 2 === 0) {
    await outcome(client.createNetwork({ name }));
    await attach(client, name, name);
  } else {
    await outcome(client.detachSandbox({ sandbox: name }));
    await outcome(client.deleteNetwork({ network: name }));
  }
};

/** Changes networks at a steady rate until told to stop. @returns how many have changed per second */
const keepChanging = async (client: Client, isOver: () => boolean): Promise<number> => {
  const begin = performance.now();
  const underWay: Promise<void>[] = [];
  let made = Promise.resolve();
  for (let tick = 0; !isOver(); tick++) {
    const waitMs = begin + (tick * 1000) / changesPerSecond - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    // What is removed must have been made.
    const before = made;
    const changed = tick % 2 === 0 ? change(client, tick) : before.then(() => change(client, tick));
    if (tick % 2 === 0) made = changed;
    underWay.push(changed);
  }
  const perSecond = (underWay.length / (performance.now() - begin)) * 1000;
  await Promise.all(underWay);
  return perSecond;
};

const service = await startService();
const client = await connect({ url: service.url, actor: 'bench' });
await outcome(client.createNetwork({ name: 'web' }));
const names = Array.from({ length: residents }, (_, index) => `resident${index}`);
await Promise.all(names.map((name) => attach(client, name, 'web')));
const keyOf = async (id: string): Promise<string> => (await client.sandboxes({ filter: { id } })).rows[0]?.key ?? '';
const [key, noisyKey] = [await keyOf('resident0'), await keyOf('resident1')];
const asked = names.slice(0, 50);

const atRest = await load(key, rate, ...asked);
let isOver = false;
const changing = keepChanging(client, () => isOver);
const whileChanging = await load(key, rate, ...asked);
isOver = true;
const changed = await changing;
const [noisy, besideNoise] = await Promise.all([load(noisyKey, 0, ...asked), load(key, rate, ...asked)]);

await client.close();
await service.stop();
printResult({
  residents,
  questionsPerSecond: rate,
  networksChangedPerSecond: round(changed, 1),
  networksChangedPerSecondWanted: changesPerSecond,
  p99Ms: whileChanging.p99Ms,
  p99MsWanted: 5,
  lost: atRest.lost + whileChanging.lost,
  atRest,
  whileChanging,
  besideNoise,
  noisy,
});
