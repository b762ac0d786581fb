/**
 * How long it takes until what somebody else has changed in the kernel is right again, under the real services with ENDPOINTS sandboxes: changes of which
 * the kernel tells, one after another, and those of which it does not (namespace files that are unmounted, settings), at any moment of the
 * time between two looks. What is right is read with the machine's tools. Run in a namespace of its own by bench/run.ts. Prints one JSON
 * document.
 *
 *     drift.ts [ENDPOINTS] [OF_EACH_KIND]
 */
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { connect } from '../services/client/index.ts';
import { type IpLink, ipLinks, sh, shIn } from '../test/support/netns.ts';
import { median, percentile, printResult, round, startService } from './lib.ts';

const endpoints = Number(process.argv[2] ?? 100);
const ofEachKind = Number(process.argv[3] ?? 6);
const networks = 10;
const wantedMs = { told: 2_000, untold: 30_000 } as const;
const POLL_MS = 5;
const OVER_MS = 120_000;
/** Between two looks at everything. */
const EVERY_MS = 25_000;

interface Target {
  /** Of the sandbox. */
  readonly key: string;
  /** Host end and bridge. */
  readonly end: string;
  readonly bridge: string;
  readonly subnet: string;
}
interface Kind {
  readonly name: string;
  readonly harm: (target: Target) => void;
  readonly isRight: (target: Target) => boolean;
}

const linkOf = (name: string, netns?: string): IpLink | undefined =>
  ipLinks(netns).find(({ ifname }) => ifname === name);
const isUp = (link: IpLink | undefined): boolean => link?.flags.includes('UP') === true;
const gateway = (subnet: string): string => subnet.replace(/0\/24$/, '1/24');

const kinds: readonly Kind[] = [
  {
    name: 'host end down',
    harm: ({ end }) => sh(`ip link set ${end} down`),
    isRight: ({ end }) => isUp(linkOf(end)),
  },
  {
    name: 'host end out of its bridge',
    harm: ({ end }) => sh(`ip link set ${end} nomaster`),
    isRight: ({ end, bridge }) => linkOf(end)?.master === bridge,
  },
  {
    name: 'pair deleted',
    harm: ({ end }) => sh(`ip link del ${end}`),
    isRight: ({ end, bridge, key }) => linkOf(end)?.master === bridge && isUp(linkOf('eth0', key)),
  },
  {
    name: 'address of a bridge removed',
    harm: ({ bridge, subnet }) => sh(`ip addr del ${gateway(subnet)} dev ${bridge}`),
    isRight: ({ bridge, subnet }) => sh(`ip -4 -o addr show dev ${bridge}`).includes(` ${gateway(subnet)} `),
  },
  {
    name: 'MTU of a bridge changed',
    harm: ({ bridge }) => sh(`ip link set ${bridge} mtu 1400`),
    isRight: ({ bridge }) => linkOf(bridge)?.mtu === 1_500,
  },
  {
    name: 'route of the host removed',
    harm: ({ bridge, subnet }) => sh(`ip route del ${subnet} dev ${bridge}`),
    isRight: ({ bridge, subnet }) => sh(`ip route show dev ${bridge}`).includes(subnet),
  },
  {
    name: 'default route of a sandbox removed',
    harm: ({ key }) => shIn(key, 'ip route del default'),
    isRight: ({ key }) => shIn(key, 'ip route').includes('default via'),
  },
  {
    name: 'interface of a sandbox down',
    harm: ({ key }) => shIn(key, 'ip link set eth0 down'),
    isRight: ({ key }) => isUp(linkOf('eth0', key)) && shIn(key, 'ip route').includes('default via'),
  },
  {
    name: 'MAC of a sandbox changed',
    harm: ({ key }) => shIn(key, 'ip link set eth0 address 02:00:00:00:00:99'),
    isRight: ({ key }) => linkOf('eth0', key)?.address !== '02:00:00:00:00:99',
  },
];

const mounted = (key: string): boolean => readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${key} `);
const forward = '/proc/sys/net/ipv4/ip_forward';
const localnet = (bridge: string): string => `/proc/sys/net/ipv4/conf/${bridge}/route_localnet`;
const untoldKinds: readonly Kind[] = [
  {
    name: 'namespace file unmounted',
    harm: ({ key }) => sh(`umount ${key}`),
    isRight: ({ key }) => mounted(key),
  },
  {
    name: 'setting of a bridge changed',
    harm: ({ bridge }) => writeFileSync(localnet(bridge), '0'),
    isRight: ({ bridge }) => readFileSync(localnet(bridge), 'utf8').trim() === '1',
  },
];
const forwarding: Kind = {
  name: 'forwarding of the host switched off',
  harm: () => writeFileSync(forward, '0'),
  isRight: () => readFileSync(forward, 'utf8').trim() === '1',
};

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Milliseconds from the change to its repair. */
const repaired = async ({ name, harm, isRight }: Kind, target: Target): Promise<number> => {
  harm(target);
  const startMs = performance.now();
  while (!isRight(target)) {
    if (performance.now() - startMs > OVER_MS) throw new Error(`${name}: not repaired within ${OVER_MS} ms`);
    await pause(POLL_MS);
  }
  return performance.now() - startMs;
};

const shown = (taken: ReadonlyMap<string, readonly number[]>, wanted: number) => {
  const figures = (times: readonly number[]) => ({
    drifts: times.length,
    p50Ms: round(median(times), 0),
    p99Ms: round(percentile(times, 0.99), 0),
    mostMs: round(Math.max(...times), 0),
  });
  const all = [...taken.values()].flat();
  const of = Object.fromEntries([...taken].map(([name, times]) => [name, figures(times)]));
  return { ...figures(all), wantedMs: wanted, met: Math.max(...all) <= wanted, of };
};

const service = await startService();
const client = await connect({ url: service.url, actor: 'scheduler' });
const targets: Target[] = [];
const inmates: { kill(signal: NodeJS.Signals): boolean }[] = [];
for (let at = 0; at < networks; at++) {
  const subnet = `10.61.${at}.0/24`;
  await (await client.createNetwork({ name: `n${at}`, ipam: { subnets: [{ subnet }] } })).outcome;
  for (let number = 0; number < endpoints / networks; number++) {
    const sandbox = `s${at}x${number}`;
    const accepted = await client.attachSandbox({ sandbox, networks: [{ network: `n${at}` }] });
    const { sandbox: made, endpoints: ends } = await accepted.outcome;
    const end = ipLinks().find(({ ifalias }) => ifalias?.endsWith(`:e:${ends[0]?.id}`));
    const key = made?.key ?? '';
    targets.push({ key, end: end?.ifname ?? '', bridge: end?.master ?? '', subnet });
    inmates.push(spawn('nsenter', [`--net=${key}`, 'sleep', '3600'], { stdio: 'ignore' }));
  }
}
/** Of so many in turn, those of one network far from each other. */
const targetAt = (number: number): Target =>
  targets[((number % networks) * (endpoints / networks) + Math.floor(number / networks)) % targets.length] as Target;

const put = (taken: Map<string, number[]>, name: string, ms: number): void => {
  taken.set(name, [...(taken.get(name) ?? []), ms]);
};
// what was set up is looked at once
await pause(2_000);
const told = new Map<string, number[]>();
let number = 0;
for (let turn = 0; turn < ofEachKind; turn++) {
  for (const kind of kinds) {
    put(told, kind.name, await repaired(kind, targetAt(number++)));
    await pause(100);
  }
}
const untold = new Map<string, number[]>();
const all = Array.from({ length: ofEachKind }, (_, turn) => untoldKinds.map((kind) => ({ kind, turn }))).flat();
await Promise.all(
  [...all, { kind: forwarding, turn: 0 }].map(async ({ kind, turn }, at) => {
    await pause((at * EVERY_MS) / (all.length + 1));
    put(untold, kind.name, await repaired(kind, targetAt(turn)));
  }),
);
await pause(1_000);
const count = async (type: string): Promise<number> =>
  (await client.events({ filter: { type }, limit: 10_000 })).rows.length;
const recorded = {
  detected: await count('DriftDetected'),
  repaired: await count('DriftRepaired'),
  left: await count('DriftLeft'),
};
for (const inmate of inmates) inmate.kill('SIGKILL');
await client.close();
await service.stop();
printResult({ endpoints, told: shown(told, wantedMs.told), untold: shown(untold, wantedMs.untold), recorded });
