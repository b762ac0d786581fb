/**
 * The C library, and the only import of koffi. Every call is synchronous: namespaces belong to the calling thread, and the
 * pool threads that would run an asynchronous call stand in another one.
 */
import { constants as fileConstants } from 'node:fs';
import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';
import koffi from 'koffi';
import { around, isWatched } from './failpoint.ts';

/** `null` is the process itself: whichever C library node was linked with. */
const library = koffi.load(null);

const bound = <F>(name: string, result: string, parameters: readonly string[]): F =>
  library.func(name, result, [...parameters]) as unknown as F;

/** The call with failpoints around it, and what it says of an error unchanged behind them. */
const changing = <F extends (...args: never[]) => number>(name: string, call: F): F => {
  if (!isWatched) return call;
  let code = 0;
  const kept = (...args: never[]): number => {
    const result = call(...args);
    code = koffi.errno();
    return result;
  };
  const guarded = around(name, kept, () => {
    code = constants.errno.EIO;
    return -1;
  });
  return ((...args: never[]): number => {
    const result = guarded(...args);
    koffi.errno(code);
    return result;
  }) as F;
};

type Bytes = Uint8Array;

export const socket = bound<(family: number, type: number, protocol: number) => number>('socket', 'int', [
  'int',
  'int',
  'int',
]);
/** No address is given: an unconnected netlink socket sends to port 0, the kernel. */
export const send = bound<(fd: number, buffer: Bytes, bytes: number, flags: number) => number>('send', 'long', [
  'int',
  'void *',
  'size_t',
  'int',
]);
export const recv = bound<(fd: number, buffer: Bytes, bytes: number, flags: number) => number>('recv', 'long', [
  'int',
  'void *',
  'size_t',
  'int',
]);
/** Fills a `struct msghdr` (recvmsg(2)) that leads to buffers by their addresses. */
export const recvmsg = bound<(fd: number, header: Bytes, flags: number) => number>('recvmsg', 'long', [
  'int',
  'void *',
  'int',
]);
/** `struct pollfd` one after the other, 8 bytes each; -1 waits as long as it takes. */
export const poll = bound<(descriptors: Bytes, count: number, timeoutMs: number) => number>('poll', 'int', [
  'void *',
  'ulong',
  'int',
]);
export const eventfd = bound<(initial: number, flags: number) => number>('eventfd', 'int', ['uint', 'int']);
export const getsockname = bound<(fd: number, address: Bytes, bytes: Bytes) => number>('getsockname', 'int', [
  'int',
  'void *',
  'void *',
]);
/** Where the bytes of a buffer are; they stay there as long as it lives. */
export const addressOf = (buffer: Bytes): bigint => koffi.address(buffer);
export const bind = bound<(fd: number, address: Bytes, bytes: number) => number>('bind', 'int', [
  'int',
  'void *',
  'uint32',
]);
export const listen = bound<(fd: number, backlog: number) => number>('listen', 'int', ['int', 'int']);
export const sendto = changing(
  'sendto',
  bound<(fd: number, buffer: Bytes, bytes: number, flags: number, address: Bytes, addressBytes: number) => number>(
    'sendto',
    'long',
    ['int', 'void *', 'size_t', 'int', 'void *', 'uint32'],
  ),
);
export const setsockopt = bound<(fd: number, level: number, option: number, value: Bytes, bytes: number) => number>(
  'setsockopt',
  'int',
  ['int', 'int', 'int', 'void *', 'uint32'],
);
export const open = bound<(path: string, flags: number, mode: number) => number>('open', 'int', ['str', 'int', 'int']);
/** With O_CREAT among the flags. */
export const create = changing('create', open);
export const close = bound<(fd: number) => number>('close', 'int', ['int']);
export const mkdir = changing('mkdir', bound<(path: string, mode: number) => number>('mkdir', 'int', ['str', 'uint']));
export const symlink = changing(
  'symlink',
  bound<(target: string, path: string) => number>('symlink', 'int', ['str', 'str']),
);
export const linkat = changing(
  'link',
  bound<(directory: number, path: string, newDirectory: number, newPath: string, flags: number) => number>(
    'linkat',
    'int',
    ['int', 'str', 'int', 'str', 'int'],
  ),
);
export const rmdir = changing('rmdir', bound<(path: string) => number>('rmdir', 'int', ['str']));
export const unlink = changing('unlink', bound<(path: string) => number>('unlink', 'int', ['str']));
export const unshare = changing('unshare', bound<(flags: number) => number>('unshare', 'int', ['int']));
export const setns = bound<(fd: number, type: number) => number>('setns', 'int', ['int', 'int']);
export const mount = changing(
  'mount',
  bound<(source: string, target: string, type: string, flags: number, data: string | null) => number>('mount', 'int', [
    'str',
    'str',
    'str',
    'ulong',
    'str',
  ]),
);
export const umount2 = changing(
  'umount',
  bound<(target: string, flags: number) => number>('umount2', 'int', ['str', 'int']),
);
/** Requests without an argument, such as `NS_GET_NSTYPE`; the third parameter is there because ioctl is variadic. */
export const ioctl = bound<(fd: number, request: number, argument: number) => number>('ioctl', 'int', [
  'int',
  'ulong',
  'ulong',
]);
export const fcntl = bound<(fd: number, command: number, argument: number) => number>('fcntl', 'int', [
  'int',
  'int',
  'int',
]);
/** For calls that C libraries lack; of the form that `sched_setattr` has. */
export const syscall = bound<(number: number, pid: number, attributes: Bytes, flags: number) => number>(
  'syscall',
  'long',
  ['long', 'long', 'void *', 'ulong'],
);
/** Options of two arguments; the parameters are as for a variadic function. */
export const prctl = bound<(option: number, argument: number) => number>('prctl', 'int', ['int', 'ulong']);
/** `handler` is `SIG_DFL`: 0. */
export const signal = bound<(signal: number, handler: number) => unknown>('signal', 'void *', ['int', 'intptr_t']);
export const execvpe = bound<
  (file: string, argv: readonly (string | null)[], environment: readonly (string | null)[]) => number
>('execvpe', 'int', ['str', 'str *', 'str *']);

/** fcntl.h, sched.h, sys/mount.h, linux/nsfs.h, linux/magic.h of Linux on x86-64 and arm64. */
export const C = {
  O_RDONLY: 0,
  O_CREAT: 0x40,
  O_EXCL: 0x80,
  O_NONBLOCK: 0x800,
  O_CLOEXEC: 0x80000,
  /** With O_DIRECTORY, which differs between x86-64 and arm64. */
  O_TMPFILE: 0x400000 | fileConstants.O_DIRECTORY,
  AT_FDCWD: -100,
  AT_SYMLINK_FOLLOW: 0x400,
  F_SETFD: 2,
  F_GETFL: 3,
  F_SETFL: 4,
  CLONE_NEWNS: 0x20000,
  CLONE_NEWNET: 0x40000000,
  MS_NOSUID: 2,
  MS_NODEV: 4,
  MS_NOEXEC: 8,
  MS_BIND: 0x1000,
  MS_REC: 0x4000,
  MS_SLAVE: 1 << 19,
  MS_SHARED: 1 << 20,
  MNT_DETACH: 2,
  /** `_IO(0xb7, 3)` */
  NS_GET_NSTYPE: 0xb703,
  TMPFS_MAGIC: 0x01021994,
} as const;

/** Names that node's own table lacks (asm-generic/errno.h), and the better one of two names for one number. */
const extraNames: readonly (readonly [string, number])[] = [
  ['EXFULL', 54],
  ['ENONET', 64],
  ['EOPNOTSUPP', 95],
  ['ESHUTDOWN', 108],
  ['EAGAIN', 11],
  ['EDEADLK', 35],
];

const names = new Map<number, string>([
  ...Object.entries(constants.errno).map(([name, number]) => [number, name] as const),
  ...extraNames.map(([name, number]) => [number, name] as const),
]);

/** `EEXIST` for 17. */
export const errnoName = (errno: number): string => names.get(errno) ?? `E${errno}`;

/** `permission denied` for `EACCES`. */
export const errnoText = (name: string): string =>
  [...getSystemErrorMap().values()].find(([known]) => known === name)?.[1] ?? name;

export const errno = (): number => koffi.errno();

/** A system call that failed. */
export class SystemError extends Error {
  readonly call: string;
  /** `EEXIST` */
  readonly code: string;
  constructor(call: string, number: number) {
    super(`${call}: ${errnoName(number)}`);
    this.name = 'SystemError';
    this.call = call;
    this.code = errnoName(number);
  }
}

/** The result of a call, or a `SystemError` when it is negative. */
export const check = (result: number, call: string): number => {
  if (result < 0) throw new SystemError(call, errno());
  return result;
};
