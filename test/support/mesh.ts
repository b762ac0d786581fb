/** Many sandboxes on networks that span hosts: who reaches whom, what travels between the hosts meanwhile, and what the kernels hold. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import type { TestHost } from './hosts.ts';

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

/** Pings from each to all others. */
export const pingAll = async (members: readonly Member[]): Promise<Pings> => {
  const child = python('mesh.py');
  const output = ended(child);
  child.stdin?.end(JSON.stringify({ members: members.map(({ key, address }) => ({ key, address })) }));
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
export const tablesOn = (host: TestHost): ReadonlyMap<string, readonly string[]> => {
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

/** What the tables on a host have to hold while these are in the network: the members on other hosts, with where those are. */
export const wantedOn = (
  host: string,
  members: readonly Member[],
  vtepOf: (host: string) => string,
): readonly string[] | null =>
  members.some((member) => member.host === host)
    ? members
        .filter((member) => member.host !== host)
        .flatMap((member) => [
          `way ${member.mac} ${vtepOf(member.host)}`,
          `station ${member.mac}`,
          `neighbour ${member.address} ${member.mac}`,
        ])
        .sort()
    : null;
