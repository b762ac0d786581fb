/** How much this machine has of what all its networks share, and how much of it is in use. What it does not show is left out. */
import { promises } from 'node:fs';
import type { KernelUse } from '../port.ts';

/** More is no limit: nobody has so many of anything, and some files say "as many as a word counts". */
const limitMost = 1e9;

const textOf = async (path: string): Promise<string | null> => {
  try {
    return await promises.readFile(path, 'utf8');
  } catch {
    // not in this namespace, or the module is not there
    return null;
  }
};

const numberIn = (text: string | null): number | null => {
  const value = text === null ? Number.NaN : Number.parseInt(text, 10);
  return Number.isNaN(value) ? null : value;
};

const numberAt = async (path: string): Promise<number | null> => numberIn(await textOf(path));

const used = (what: string, count: number | null, limit: number | null): readonly KernelUse[] =>
  count === null || limit === null || limit <= 0 || limit > limitMost ? [] : [{ what, used: count, limit }];

/** The first column of the second line: entries of the whole table, hexadecimal (net/core/neighbour.c, neigh_stat_seq_show). */
const entriesIn = (text: string | null): number | null => {
  const line = text?.split('\n')[1]?.trim().split(/\s+/)[0];
  return line === undefined ? null : Number.parseInt(line, 16);
};

/** Neighbour tables are one for all namespaces, and only the first namespace shows them. */
const neighbours = async (what: string, table: string, family: string): Promise<readonly KernelUse[]> =>
  used(
    what,
    entriesIn(await textOf(`/proc/net/stat/${table}`)),
    await numberAt(`/proc/sys/net/${family}/neigh/default/gc_thresh3`),
  );

const descriptors = async (): Promise<readonly KernelUse[]> => {
  const limits = (await textOf('/proc/self/limits')) ?? '';
  const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? null;
  const open = await promises.readdir('/proc/self/fd').catch(() => null);
  return used('descriptors', open?.length ?? null, numberIn(soft));
};

/** `allocated free max`; free is always 0 (Documentation/admin-guide/sysctl/fs.rst). */
const files = async (): Promise<readonly KernelUse[]> => {
  const [open = null, , most = null] = ((await textOf('/proc/sys/fs/file-nr')) ?? '').trim().split(/\s+/);
  return used('files', numberIn(open), numberIn(most));
};

const conntrack = async (): Promise<readonly KernelUse[]> =>
  used(
    'conntrack',
    await numberAt('/proc/sys/net/netfilter/nf_conntrack_count'),
    await numberAt('/proc/sys/net/netfilter/nf_conntrack_max'),
  );

/** Complexity: linear in the descriptors of this process. */
export const readCapacity = async (): Promise<readonly KernelUse[]> => [
  ...(await neighbours('neighbours4', 'arp_cache', 'ipv4')),
  ...(await neighbours('neighbours6', 'ndisc_cache', 'ipv6')),
  ...(await conntrack()),
  ...(await descriptors()),
  ...(await files()),
];
