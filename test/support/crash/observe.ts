/** What is in the kernel and on the disk, read by eyes of their own: with ip, nft and find, and by a census that is compared with the log. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { takeCensus } from '../../../drivers/kernel/census.ts';
import { type Host, openHost } from '../../../drivers/kernel/host.ts';
import { tableName } from '../../../drivers/kernel/ruleset.ts';
import type { Table } from '../../../drivers/kernel/table.ts';
import { formatTag, objectKey } from '../../../drivers/objects.ts';
import { drivers } from '../../../drivers/registry.ts';
import { hostServers } from '../../../services/dns/upstreams.ts';
import { repairs, settledObjects } from '../../../services/worker/census.ts';
import { Present } from '../../../services/worker/present.ts';
import { sh } from '../netns.ts';
import type { Place } from './place.ts';
import type { LogRecord } from './record.ts';

export interface Grounds {
  /** Mounts below it are looked at. */
  readonly folder: string;
  /** The host's own, with its run directory. */
  readonly hostFolder: string;
  readonly runDir: string;
}

export const groundsOf = (place: Place): Grounds => ({
  folder: place.folder,
  hostFolder: join(place.folder, 'h1'),
  runDir: place.runDir('h1'),
});

/** Everything in the host's namespace and its run directory that could be left behind, a line each, without what changes by itself. */
export const baseline = ({ folder, hostFolder, runDir }: Grounds): readonly string[] => {
  const links = JSON.parse(sh('ip -j -d link')) as readonly Record<string, unknown>[];
  const routes = sh('ip route show table all; ip -6 route show table all; ip rule; ip -6 rule');
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(folder))
    .map((line) => line.split(' '))
    .map(
      ([, , , root, at, , shared]) =>
        `mount ${root?.startsWith('net:') ? 'netns' : root} ${at} ${shared?.split(':')[0]}`,
    );
  return [
    ...links.map(({ ifname, ifalias, master, mtu, operstate }) =>
      ['link', ifname, ifalias, master, mtu, operstate].map((value) => String(value ?? '-')).join(' '),
    ),
    ...sh('ip -o addr show | sed "s/ *valid_lft.*//; s/^[0-9]*: //"').trim().split('\n'),
    ...routes
      .trim()
      .split('\n')
      .filter((line) => !/dev (up0|par[01]).*(fe80|ff00)/.test(line)),
    ...sh('bridge fdb show | grep -v "dev \\(up0\\|par[01]\\)" || true').trim().split('\n'),
    ...sh('ip neigh show nud permanent; ip -6 neigh show nud permanent; ip neigh show proxy').trim().split('\n'),
    ...sh('ip xfrm state; ip xfrm policy').trim().split('\n'),
    ...sh('nft list ruleset').trim().split('\n'),
    ...sh(`find ${hostFolder} -path '*/data' -prune -o -print`).trim().split('\n'),
    ...readdirSync(`${runDir}/.records`).map((name) => `record ${name}`),
    ...mounts,
    // made with the first namespace, and gone with the last file that a start finds unfinished
  ].filter((line) => line !== '' && line !== `${runDir}/netns`);
};

/** What one list has that the other has not, with the sign of who has it. */
export const difference = (before: readonly string[], after: readonly string[]): readonly string[] => {
  const count = (list: readonly string[]) => {
    const counts = new Map<string, number>();
    for (const line of list) counts.set(line, (counts.get(line) ?? 0) + 1);
    return counts;
  };
  const [had, has] = [count(before), count(after)];
  return [...new Set([...before, ...after])].flatMap((line) => {
    const [was, is] = [had.get(line) ?? 0, has.get(line) ?? 0];
    return was === is ? [] : [`${was > is ? '-' : '+'} ${line}`];
  });
};

interface NftElement {
  readonly elem?: { readonly comment?: string };
}

/** `SET TAG` of each element in our table. */
const observedElements = (realm: string): readonly string[] => {
  const { nftables } = JSON.parse(sh(`nft -j list table inet ${tableName(realm, 'h1')}`)) as {
    readonly nftables: readonly Record<string, { readonly name: string; readonly elem?: readonly unknown[] }>[];
  };
  return nftables.flatMap((item) => {
    const set = item.set ?? item.map;
    return (set?.elem ?? []).map((element) => {
      // Of a map it is a pair: the key, which carries the comment, and what it leads to.
      const [key] = (Array.isArray(element) ? element : [element]) as [NftElement];
      return `${set?.name} ${key.elem?.comment ?? ''}`;
    });
  });
};

/** Of the host `h1` of a realm. */
export class Observer {
  readonly #host: Host;
  readonly #servers = hostServers();

  constructor(realm: string, runDir: string) {
    this.#host = openHost({ realm, host: 'h1', runDir });
  }

  /** What differs between the kernel and what the log says is there, both ways. */
  disagreement({ state }: Pick<LogRecord, 'state'>): readonly string[] {
    const { realm } = this.#host;
    const underlay = state.facts.get('host')?.underlay ?? null;
    const deployment = { host: { realm, host: 'h1', underlay }, drivers, resolvConf: () => this.#servers.config() };
    const census = takeCensus(this.#host, { mend: () => null, elements: () => [] } as unknown as Table);
    // what several endpoints need is named by each
    const settled = new Map(settledObjects(state, deployment).map((object) => [objectKey(object), object]));
    const wanted = [...settled.values()].flatMap((object) =>
      object.kind === 'element' ? [`${object.set} ${formatTag(object.tag)}`] : [],
    );
    return [
      ...census.unknown.map(({ what, reason }) => `unknown ${what}: ${reason}`),
      ...repairs({ state, deployment, present: new Present() }, census)
        .filter(({ object }) => object.kind !== 'element')
        .map((operation) => JSON.stringify(operation)),
      ...difference(wanted, observedElements(realm)).map((line) => `element ${line}`),
    ];
  }

  close(): void {
    this.#servers.close();
  }
}
