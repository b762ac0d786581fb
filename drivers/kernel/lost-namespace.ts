/**
 * A namespace whose file somebody has unmounted, while processes still live in it: it is found by one of them, and gets its file again, so
 * that who is in there does not notice. Of what is in no process's use any more nothing is left.
 */
import { fstatSync, readdirSync, readlinkSync } from 'node:fs';
import type { Netns } from '../objects.ts';
import { ownTag } from './findings.ts';
import { type Host, listLinks, readLinkAt } from './host.ts';
import { close } from './libc.ts';
import { openNamespace, within } from './netns.ts';
import type { LinkRecord } from './records.ts';
import { readResolver } from './resolver.ts';

const namespaceOf = (pid: string): string => {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    // It has ended, or is out of reach.
    return '';
  }
};

/** A process in a namespace, by its inode. Complexity: the processes of the machine. */
const inmateOf = (inode: number): string | undefined =>
  readdirSync('/proc').find((pid) => /^\d+$/.test(pid) && namespaceOf(pid) === `net:[${inode}]`);

const isOwnInterface = (host: Host, link: LinkRecord): boolean => {
  if (ownTag(host, link.alias)) return true;
  const end = link.kind === 'veth' ? readLinkAt(host.route, host.writer, link.peer) : null;
  return end?.peer === link.index && ownTag(host, end.alias) !== null;
};

/** Numbers of inodes are given again: only what holds something of ours is the one that was there. */
const isOurs = (host: Host, descriptor: number, netns: Netns): boolean =>
  within(host, descriptor, (socket) => {
    const links = listLinks(socket, host.writer);
    return readResolver(host, netns) !== null || links.some((link) => isOwnInterface(host, link));
  });

/** A descriptor of the namespace that was at this path, which the caller closes; null where it is gone, or was never seen. */
export const findLost = (host: Host, netns: Netns): number | null => {
  const inode = host.namespaces.get(netns.path);
  const pid = inode === undefined ? undefined : inmateOf(inode);
  const descriptor = pid === undefined ? 'absent' : openNamespace(`/proc/${pid}/ns/net`);
  if (typeof descriptor !== 'number') return null;
  if (fstatSync(descriptor).ino === inode && isOurs(host, descriptor, netns)) return descriptor;
  close(descriptor);
  return null;
};

/** Notes which namespace is at a path. */
export const noteNamespace = (host: Host, path: string, descriptor: number): void => {
  host.namespaces.set(path, fstatSync(descriptor).ino);
};
