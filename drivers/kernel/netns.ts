/** Network namespaces as files: made, found, entered and let go. What says whose a file is, lies beside it in a record. */
import { hash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { formatTag, type Netns, parseTag } from '../objects.ts';
import { NL } from './constants.ts';
import { KernelFailure, passing } from './failure.ts';
import { fstatSync, lstatSync, mkdirSync, readdirSync, readlinkSync, statfsSync, statSync } from './file-system.ts';
import { prepareFiles } from './files.ts';
import type { Host } from './host.ts';
import {
  C,
  check,
  close,
  create,
  errno,
  errnoName,
  errnoText,
  ioctl,
  mount,
  open,
  SystemError,
  setns,
  symlink,
  umount2,
  unlink,
} from './libc.ts';
import { NetlinkSocket } from './netlink.ts';
import { setLink } from './rtnetlink.ts';

const recordsDir = (host: Host): string => `${host.runDir}/.records`;

const recordPath = (host: Host, path: string): string =>
  `${recordsDir(host)}/${hash('sha256', `${host.realm}:${host.host}:${path}`, 'hex').slice(0, 32)}`;

/** A record is a symbolic link that leads nowhere: made and read in one call, with no memory page of its own. */
const recordText = (netns: Netns): string =>
  `${formatTag(netns.tag)} ${netns.owned ? 'owned' : 'brought'} ${netns.path}`;

const parseRecord = (text: string): Netns | null => {
  const match = /^(\S+) (owned|brought) (.+)$/s.exec(text);
  const tag = parseTag(match?.[1] ?? '');
  return match && tag ? { kind: 'netns', path: match[3] ?? '', owned: match[2] === 'owned', tag } : null;
};

const codeOf = (error: unknown): string => (error instanceof Error && 'code' in error ? String(error.code) : '');

/** The result of a synchronous file system call, or null when there is no such file. */
const orAbsent = <T>(call: () => T): T | null => {
  try {
    return call();
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return null;
    throw new KernelFailure('KERNEL_ERROR', error instanceof Error ? error.message : String(error), codeOf(error));
  }
};

/** A tmpfs of ours at the run directory, shared so that mounts made later are seen by the namespaces of runtimes too. */
export const mountRunDirectory = (host: Host): void => {
  const { runDir } = host;
  mkdirSync(runDir, { recursive: true, mode: 0o755 });
  const mounted = statSync(runDir).dev !== statSync(dirname(runDir)).dev && statfsSync(runDir).type === C.TMPFS_MAGIC;
  if (!mounted) {
    const flags = C.MS_NOSUID | C.MS_NODEV | C.MS_NOEXEC;
    check(mount('cnmbus', runDir, 'tmpfs', flags, 'mode=0755'), `mount tmpfs at ${runDir}`);
  }
  // Each time: an earlier process may have ended in between.
  check(mount('', runDir, 'none', C.MS_SHARED, null), `make ${runDir} shared`);
  mkdirSync(recordsDir(host), { recursive: true, mode: 0o700 });
  prepareFiles(host);
};

export const readRecord = (host: Host, path: string): Netns | null =>
  parseRecord(orAbsent(() => readlinkSync(recordPath(host, path))) ?? '');

/** Writes the record of a namespace. False when there is one for its path. */
export const writeRecord = (host: Host, netns: Netns): boolean => {
  if (symlink(recordText(netns), recordPath(host, netns.path)) === 0) return true;
  if (errnoName(errno()) === 'EEXIST') return false;
  throw new SystemError(`symlink ${recordPath(host, netns.path)}`, errno());
};

export const removeRecord = (host: Host, path: string): void => {
  if (unlink(recordPath(host, path)) < 0 && errnoName(errno()) !== 'ENOENT')
    throw new SystemError('unlink record', errno());
};

export const listRecords = (host: Host): readonly Netns[] => {
  const names = orAbsent(() => readdirSync(recordsDir(host)));
  // Made at the start: without it nothing is known, which is not the same as nothing being there.
  if (names === null) throw new KernelFailure('KERNEL_ERROR', `no directory ${recordsDir(host)}`, 'ENOENT');
  return names.flatMap((name) => {
    const netns = parseRecord(orAbsent(() => readlinkSync(join(recordsDir(host), name))) ?? '');
    return netns && netns.tag.realm === host.realm && netns.tag.host === host.host ? [netns] : [];
  });
};

const isNamespace = (descriptor: number): boolean => ioctl(descriptor, C.NS_GET_NSTYPE, 0) === C.CLONE_NEWNET;

/**
 * What stands at a path: a network namespace, as a descriptor that the caller closes; nothing; or something else. O_NONBLOCK,
 * since the path may be a caller's, and opening a FIFO would wait.
 * @throws NETNS_UNUSABLE where it may not be opened
 */
export const openNamespace = (path: string): number | 'absent' | 'other' => {
  const descriptor = open(path, C.O_RDONLY | C.O_CLOEXEC | C.O_NONBLOCK, 0);
  if (descriptor < 0) {
    const code = errnoName(errno());
    if (code === 'ENOENT' || code === 'ENOTDIR') return 'absent';
    if (code === 'ENXIO' || code === 'ELOOP') return 'other';
    if (passing.has(code)) throw new SystemError(`open ${path}`, errno());
    throw new KernelFailure('NETNS_UNUSABLE', `${path} cannot be opened: ${errnoText(code)}`, code);
  }
  if (isNamespace(descriptor)) return descriptor;
  close(descriptor);
  return 'other';
};

/** Whether two descriptors are of the same namespace (namespaces(7): device and inode). */
export const isSame = (a: number, b: number): boolean => {
  const [first, second] = [fstatSync(a), fstatSync(b)];
  return first.ino === second.ino && first.dev === second.dev;
};

/** Makes the file. False when something is there. */
export const createFile = (path: string): boolean => {
  for (let attempt = 0; ; attempt++) {
    const descriptor = create(path, C.O_RDONLY | C.O_CREAT | C.O_EXCL | C.O_CLOEXEC, 0o444);
    if (descriptor >= 0) {
      close(descriptor);
      return true;
    }
    const code = errnoName(errno());
    if (code === 'EEXIST') return false;
    if (code !== 'ENOENT' || attempt > 0) throw new SystemError(`open ${path}`, errno());
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  }
};

/** Keeps a namespace alive at a path, where there is a file. */
export const pin = (descriptor: number, path: string): void => {
  check(mount(`/proc/self/fd/${descriptor}`, path, 'none', C.MS_BIND, null), `mount ${path}`);
};

/** Umounts before it unlinks: the unlink then detaches the copies in other mount namespaces as well. */
export const unpin = (path: string): void => {
  for (;;) {
    const code = umount2(path, C.MNT_DETACH) < 0 ? errnoName(errno()) : '';
    // EINVAL: nothing is mounted there.
    if (code !== '' && code !== 'EINVAL' && code !== 'ENOENT') throw new SystemError(`umount ${path}`, errno());
    if (unlink(path) === 0 || errnoName(errno()) === 'ENOENT') return;
    // EBUSY: it was mounted over more than once.
    if (errnoName(errno()) !== 'EBUSY' || code !== '') throw new SystemError(`unlink ${path}`, errno());
  }
};

export const exists = (path: string): boolean => orAbsent(() => lstatSync(path)) !== null;

/** Takes the thread into the namespace behind a descriptor. It stays there until `goHome`. */
export const enter = (host: Host, descriptor: number): void => {
  check(setns(descriptor, C.CLONE_NEWNET), 'setns');
  host.away = true;
};

/** Runs `work` with a socket into the namespace behind a descriptor, where the thread then stands. */
export const within = <T>(
  host: Host,
  descriptor: number,
  work: (socket: NetlinkSocket) => T,
  protocol: number = NL.ROUTE,
): T => {
  enter(host, descriptor);
  const socket = new NetlinkSocket(protocol);
  try {
    return work(socket);
  } finally {
    // An open socket would keep the namespace from going.
    socket.close();
  }
};

/** Loopback is index 1 in every namespace. */
export const loopbackUp = (host: Pick<Host, 'writer'>, socket: NetlinkSocket): void => {
  setLink(host.writer.reset(), 1, { up: true });
  const [refusal] = socket.request(host.writer);
  if (refusal) throw new KernelFailure('KERNEL_ERROR', refusal.text || 'loopback stays down', refusal.errno);
};
