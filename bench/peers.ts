/**
 * How fast a tunnel is told who is behind it: 10,000 peers by `setPeers` on a tunnel that was just made, through the kernel thread, beside
 * the same messages from prepared bytes straight to a socket in this process. And what it takes to look after them. Run in namespaces of its
 * own: `unshare --net --mount node bench/peers.ts [peers] [rounds]`.
 */
import { execFileSync } from 'node:child_process';
import { NL } from '../drivers/kernel/constants.ts';
import { readLink } from '../drivers/kernel/host.ts';
import { linuxKernel } from '../drivers/kernel/kernel.ts';
import { putNeighbour, putStation, putWay } from '../drivers/kernel/neighbours.ts';
import { NetlinkSocket } from '../drivers/kernel/netlink.ts';
import { MessageWriter } from '../drivers/kernel/writer.ts';
import type { KernelObject } from '../drivers/objects.ts';
import type { Operation, Peer } from '../drivers/port.ts';
import { median, printResult, round as rounded } from './lib.ts';

const [count = 10_000, rounds = 7] = process.argv.slice(2).map(Number);
const owner = { realm: 'bench', host: 'h' } as const;

const bytesOf = (at: number): readonly [number, number, number, number] => [
  10,
  64 + (at >> 16),
  (at >> 8) & 255,
  at & 255,
];
const hex = (byte: number): string => byte.toString(16).padStart(2, '0');

const addresses = Array.from({ length: count }, (_, at) => bytesOf(at + 2));
const hostOf = (at: number): number => 2 + (at % 200);
const peers = addresses.map(
  (bytes, at): Peer => ({
    mac: `02:42:${bytes.map(hex).join(':')}`,
    addresses: [bytes.join('.')],
    vtep: `10.99.0.${hostOf(at)}`,
  }),
);

const sh = (command: string): string => execFileSync('sh', ['-ec', command], { encoding: 'utf8' });

const timed = async (work: () => unknown): Promise<number> => {
  const start = performance.now();
  await work();
  return performance.now() - start;
};

/** The floor: a send of some 60 KB after the other, nothing looked up and nothing looked at. */
const bare = async (): Promise<number> => {
  sh('ip link add bare type bridge; ip link add tunnel type vxlan id 9 dstport 4790 nolearning proxy');
  sh('ip link set tunnel master bare; ip link set bare up; ip link set tunnel up');
  const [socket, writer] = [new NetlinkSocket(NL.ROUTE).widen(), new MessageWriter(65536)];
  const index = readLink(socket, writer, 'tunnel')?.index ?? 0;
  const prepared = addresses.map((bytes, at) => ({
    mac: Uint8Array.of(2, 0x42, ...bytes),
    address: Uint8Array.from(bytes),
    vtep: Uint8Array.of(10, 99, 0, hostOf(at)),
  }));
  const took = await timed(() => {
    writer.reset();
    for (const [at, { mac, address, vtep }] of prepared.entries()) {
      putWay(writer, index, mac, vtep);
      putStation(writer, index, mac);
      putNeighbour(writer, index, address, mac);
      if (writer.length < 60_000 && at < prepared.length - 1) continue;
      const [refusal] = socket.request(writer);
      if (refusal) throw new Error(JSON.stringify(refusal));
      writer.reset();
    }
  });
  socket.close();
  sh('ip link del tunnel; ip link del bare');
  return took;
};

const tag = { ...owner, entity: 'network', id: 'n' } as const;
const presence: readonly KernelObject[] = [
  { kind: 'bridge', name: 'cbbench', mac: '02:42:0a:40:00:01', mtu: 1450, addresses: [], routed: false, tag },
  { kind: 'vxlan', name: 'cxbench', bridge: 'cbbench', vni: 4096, local: '10.99.0.1', port: 4789, mtu: 1450, tag },
];

const runDir = '/run/cnm-bench-peers';
const kernel = await linuxKernel({ ...owner, runDir });
const expectOk = (results: readonly { readonly ok: boolean }[]): void => {
  for (const result of results) if (!result.ok) throw new Error(JSON.stringify(result));
};
const apply = async (op: 'create' | 'delete'): Promise<void> => {
  const operations = presence.map((object): Operation => ({ op, object }));
  expectOk(await kernel.apply([{ id: op, operations: op === 'create' ? operations : operations.reverse() }]));
};

const samples = { bareMs: [] as number[], setMs: [] as number[], checkMs: [] as number[], changeMs: [] as number[] };
for (let round = 0; round < rounds; round++) {
  samples.bareMs.push(await bare());
  await apply('create');
  const table = { tunnel: 'cxbench', bridge: 'cbbench', peers };
  samples.setMs.push(await timed(async () => expectOk(await kernel.setPeers([table]))));
  samples.checkMs.push(
    await timed(async () => {
      const [result] = await kernel.checkPeers();
      if (!result?.ok || result.corrected !== 0) throw new Error(JSON.stringify(result));
    }),
  );
  const [first] = peers;
  const change = { tunnel: 'cxbench', put: first ? [first] : [], drop: first ? [first] : [] };
  samples.changeMs.push(await timed(async () => expectOk(await kernel.changePeers([change]))));
  await apply('delete');
  await kernel.settled();
}
await kernel.close();
sh(`umount ${runDir}; rmdir ${runDir}`);

const p50 = Object.fromEntries(Object.entries(samples).map(([name, values]) => [name, rounded(median(values), 2)]));
printResult({ peers: count, rounds, ...p50, ratio: rounded(median(samples.setMs) / median(samples.bareMs), 2) });
