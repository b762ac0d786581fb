/** Many sandboxes on networks that span hosts: who reaches whom, what travels between the hosts meanwhile, and what the kernels hold. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import type { Client } from '../../services/client/index.ts';
import type { TestHost } from './hosts.ts';
import { waitFor } from './nats.ts';

/** A sandbox on one network: its namespace's file, its addresses, and the host that it is on. */
export interface Member {
  readonly sandbox: string;
  readonly key: string;
  readonly address: string;
  readonly mac: string;
  readonly host: string;
}

const python = (program: string): ChildProcess =>
  spawn('python3', [join(import.meta.dirname, program)], { stdio: ['pipe', 'pipe', 'inherit'] });

const ended = async (child: ChildProcess): Promise<string> => {
  if (!child.stdout) throw new Error('without its output');
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'close')]);
  if (code !== 0) throw new Error(`${child.spawnargs.join(' ')} ended with ${code}`);
  return output;
};

export interface Pings {
  readonly asked: number;
  /** `FROM -> TO`, by sandbox. */
  readonly missing: readonly string[];
}

/** Pings from each `every`-th to all others. */
export const pingAll = async (members: readonly Member[], every: number): Promise<Pings> => {
  const child = python('mesh.py');
  const output = ended(child);
  child.stdin?.end(JSON.stringify({ members: members.map(({ key, address }) => ({ key, address })), every }));
  const { asked, missing } = JSON.parse(await output) as { asked: number; missing: readonly [number, number][] };
  const name = (at: number): string => `${members[at]?.sandbox} (${members[at]?.host}, ${members[at]?.address})`;
  return { asked, missing: missing.map(([from, to]) => `${name(from)} -> ${name(to)}`) };
};

/** What went over the underlay: frames in VXLAN by where they went, `VTEP VNI MAC`, sorted. */
export interface Underlay {
  /** Frames that the capture was too slow for. */
  readonly lost: number;
  readonly flows: readonly string[];
}

/** Watches what passes between hosts, in the namespace of the caller, while that runs. */
export const underlayOf = async <T>(run: () => Promise<T>): Promise<readonly [T, Underlay]> => {
  const child = python('underlay.py');
  if (!child.stdout) throw new Error('without its output');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const closed = once(child, 'close');
  await lines.next();
  try {
    const result = await run();
    child.stdin?.end();
    const { lost, flows } = JSON.parse(String((await lines.next()).value)) as {
      lost: number;
      flows: readonly [string, number, string, number][];
    };
    return [result, { lost, flows: flows.map(([vtep, vni, mac]) => `${vtep} ${vni} ${mac}`).sort() }];
  } finally {
    child.kill('SIGKILL');
    await closed;
  }
};

interface Entry {
  readonly ifname?: string;
  readonly dev?: string;
  readonly address?: string;
  readonly mac?: string;
  readonly lladdr?: string;
  readonly dst?: string;
  readonly state?: string | readonly string[];
}

/**
 * What the tables of the tunnels on a host hold, by device: one text an entry, sorted. `way MAC VTEP` (the tunnel's own fdb), `station MAC`
 * (the bridge's fdb), `neighbour ADDRESS MAC`. Without the tunnel's own MAC and without multicast.
 */
export const tablesOn = (host: TestHost): Tables => {
  // One call for all, so that a look is quick.
  const output = host.exec('ip -j link show type vxlan; echo; bridge -j fdb show; echo; ip -j -4 neigh show');
  const [links = [], fdb = [], neighbours = []] = output
    .split(/\n+/)
    .map((line) => JSON.parse(line.trim() || '[]') as readonly Entry[]);
  return new Map(
    links.map(({ ifname = '', address }) => {
      const own = fdb.filter((entry) => entry.ifname === ifname);
      const stations = own.filter(({ mac = '', dst }) => mac !== address && dst === undefined && !isGroup(mac));
      const entries = [
        ...own.flatMap(({ mac, dst }) => (dst === undefined ? [] : [`way ${mac} ${dst}`])),
        // One that is listed once more for a VLAN is the same.
        ...new Set(stations.map(({ mac }) => `station ${mac}`)),
        ...neighbours
          .filter(({ dev }) => dev === ifname)
          .map(({ dst, lladdr, state }) => `neighbour ${dst} ${lladdr ?? state}`),
      ];
      return [ifname, entries.sort()];
    }),
  );
};

const isGroup = (mac: string): boolean => (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1;

/** Who is in a network as the view says, which knows nothing of peers and tables. */
export const membersOf = async (client: Client, network: string, atLeast: number): Promise<readonly Member[]> => {
  const { rows } = await client.endpoints({ filter: { network }, atLeast });
  return rows
    .filter(({ status }) => status === 'joined')
    .map(({ sandbox, sandboxKey, ipv4, mac, host }) => ({
      ...{ sandbox: sandbox ?? '', key: sandboxKey ?? '', mac: mac ?? '', host },
      address: ipv4?.split('/')[0] ?? '',
    }));
};

/** A network that spans hosts: the name of its tunnel, and who is in it. */
export interface Span {
  readonly device: string;
  readonly members: readonly Member[];
}

export type Tables = ReadonlyMap<string, readonly string[]>;

/** What the tables on each host have to hold, as `tablesOn` shows them: the members on other hosts, with where those are. */
export const wantedTables = (hosts: readonly TestHost[], spans: readonly Span[]): readonly Tables[] => {
  const vtepOf = (name: string): string => hosts.find((host) => host.name === name)?.address ?? '';
  const entriesFor = (here: string, members: readonly Member[]): readonly string[] =>
    members
      .filter(({ host }) => host !== here)
      .flatMap(({ mac, address, host }) => [
        `way ${mac} ${vtepOf(host)}`,
        `station ${mac}`,
        `neighbour ${address} ${mac}`,
      ])
      .sort();
  return hosts.map(({ name }) => {
    const here = spans.filter(({ members }) => members.some(({ host }) => host === name));
    return new Map(here.map(({ device, members }) => [device, entriesFor(name, members)]));
  });
};

const asText = (tables: Tables | undefined): string => JSON.stringify([...(tables ?? [])].sort());

/**
 * Waits until the tables on every host are what is wanted, all at once. @returns when the last of them was seen to be so, of
 * `performance.now`. @throws AssertionError with the tables of a host that has others after a minute
 */
export const converged = async (hosts: readonly TestHost[], wanted: readonly Tables[]): Promise<number> => {
  const isWrong = (index: number): boolean => asText(tablesOn(hosts[index] as TestHost)) !== asText(wanted[index]);
  const everywhere = hosts.map((_, index) => index);
  let left = everywhere;
  let rightAt = performance.now();
  const areRight = (): boolean => {
    left = left.filter(isWrong);
    rightAt = performance.now();
    if (left.length > 0) return false;
    left = everywhere.filter(isWrong);
    return left.length === 0;
  };
  await waitFor(areRight, { what: 'all tables to be what the log says', timeoutMs: 60_000 }).catch((error) => {
    for (const index of left) assert.deepEqual(tablesOn(hosts[index] as TestHost), wanted[index], hosts[index]?.name);
    throw error;
  });
  return rightAt;
};
