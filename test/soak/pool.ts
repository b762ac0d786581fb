/**
 * `npm run soak pool [PAIRS] [SECONDS_BETWEEN_KILLS]`: so many attaches and detaches on a /26 while services and server are killed at random. In
 * the end the pool is empty, every address of it can be had, and the kernel holds what it held at the beginning. Takes root.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, CommandFailed, CommandRefused, connect } from '../../services/client/index.ts';
import { makePlace } from '../e2e/cli-harness.ts';
import { randomNumbers } from '../support/crash/random.ts';
import { startNats, type TestNats, waitFor } from '../support/nats.ts';
import { sh } from '../support/netns.ts';
import { type ServiceProcess, startProcess } from '../support/service-process.ts';

const names = ['worker', 'controller', 'projector', 'collector'] as const;
const LANES = 40;
/** Of a /26 without network, broadcast and gateway. */
const ADDRESSES = 61;

interface Counts {
  pairs: number;
  kills: number;
  readonly failed: Map<string, number>;
}

/** One attach and its detach; what failed or was refused counts, and is no reason to end. */
const pair = async (client: Client, sandbox: string, counts: Counts): Promise<void> => {
  const tolerate = (error: unknown): void => {
    if (!(error instanceof CommandFailed) && !(error instanceof CommandRefused)) throw error;
    counts.failed.set(error.code, (counts.failed.get(error.code) ?? 0) + 1);
  };
  try {
    await (await client.attachSandbox({ sandbox, networks: [{ network: 'pool' }] })).outcome;
  } catch (error) {
    tolerate(error);
    return;
  }
  for (;;) {
    try {
      await (await client.detachSandbox({ sandbox })).outcome;
      break;
    } catch (error) {
      tolerate(error);
      // one that came too late is taken back, and may be asked for again
      if (error instanceof CommandRefused && error.code === 'SANDBOX_NOT_FOUND') break;
    }
  }
  counts.pairs += 1;
};

const killing = async (
  nats: TestNats,
  running: Map<string, ServiceProcess>,
  env: Readonly<Record<string, string>>,
  everyMs: number,
  counts: Counts,
  isOver: () => boolean,
): Promise<void> => {
  const random = randomNumbers(1);
  while (!isOver()) {
    await sleep(everyMs / 2 + (random() % everyMs));
    if (isOver()) return;
    const name = names[random() % (names.length + 1)];
    if (name === undefined) await nats.restart();
    else {
      await running.get(name)?.end('SIGKILL');
      running.set(name, await startProcess(['serve', name], env));
    }
    counts.kills += 1;
  }
};

const held = async (client: Client): Promise<number> => {
  const { rows } = await client.addresses({ filter: { network: 'pool' }, limit: 200 });
  return rows.filter(({ kind }) => kind === 'endpoint').length;
};

const linksNow = (): string => sh('ip -o link | wc -l').trim();

const run = async (pairs: number, everyMs: number): Promise<boolean> => {
  sh('ip link set lo up');
  const place = makePlace();
  const nats = await startNats();
  const env = { ...place.env, CNM_NATS_URL: nats.url, CNM_NATS_SYNC: 'always', CNM_LOG_LEVEL: 'error' };
  const running = new Map<string, ServiceProcess>();
  for (const name of names) running.set(name, await startProcess(['serve', name], env));
  const client = await connect({ url: nats.url, actor: 'tester' });
  const counts: Counts = { pairs: 0, kills: 0, failed: new Map() };
  const startedMs = performance.now();
  try {
    const subnets = [{ subnet: '10.9.0.0/26' }];
    await (await client.createNetwork({ name: 'pool', ipam: { subnets } })).outcome;
    const links = linksNow();
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < pairs) {
        const sandbox = `s${next++}`;
        await pair(client, sandbox, counts);
      }
    };
    const lanes = Promise.all(Array.from({ length: LANES }, lane));
    const kills = killing(nats, running, env, everyMs, counts, () => next >= pairs);
    await Promise.all([lanes, kills]);
    await waitFor(async () => (await held(client)) === 0, { what: 'an empty pool', timeoutMs: 60_000 });
    await waitFor(() => linksNow() === links, { what: 'the links of the beginning', timeoutMs: 60_000 });
    const folder = join(place.folder, 'run', 'e2e-h1', 'netns');
    const left = readdirSync(folder);
    const all = await Promise.all(
      Array.from({ length: ADDRESSES }, async (_, at) => {
        const accepted = await client.attachSandbox({ sandbox: `all${at}`, networks: [{ network: 'pool' }] });
        return (await accepted.outcome).endpoints[0]?.ipv4;
      }),
    );
    const took = Math.round((performance.now() - startedMs) / 1_000);
    const report = { ...counts, failed: Object.fromEntries(counts.failed), left, addresses: new Set(all).size, took };
    console.log(JSON.stringify(report));
    return left.length === 0 && new Set(all).size === ADDRESSES;
  } finally {
    await Promise.all([...running.values()].map((one) => one.end('SIGKILL')));
    await client.close();
    await nats.stop();
    place.remove();
  }
};

export const soak = async ([pairs = '50000', seconds = '5']: readonly string[]): Promise<boolean> => {
  return run(Number(pairs), Number(seconds) * 1_000);
};
