/** Runs a command inside a sandbox by becoming it: no process in between, so signals, terminal and exit code are the command's own. */
import { constants } from 'node:os';
import { KernelFailure } from './failure.ts';
import { C, check, errno, errnoName, execvpe, fcntl, mount, SystemError, setns, signal, unshare } from './libc.ts';
import { openNamespace } from './netns.ts';

/** Node leaves these ignored, and what is ignored stays so in the next program. */
const ignoredByNode = [constants.signals.SIGPIPE, constants.signals.SIGXFSZ] as const;

const defaultAction = 0;

/**
 * Makes a standard stream what the next program expects: node marks all descriptors close-on-exec at its start
 * (uv_disable_stdio_inheritance), and leaves pipes and terminals that it has read from non-blocking.
 */
const handDown = (descriptor: number): void => {
  fcntl(descriptor, C.F_SETFD, 0);
  const flags = fcntl(descriptor, C.F_GETFL, 0);
  if (flags >= 0) fcntl(descriptor, C.F_SETFL, flags & ~C.O_NONBLOCK);
};

const enter = (path: string): void => {
  const descriptor = openNamespace(path);
  if (typeof descriptor !== 'number') {
    const text = descriptor === 'absent' ? `no file ${path}` : `${path} is no network namespace`;
    throw new KernelFailure('NETNS_UNUSABLE', text);
  }
  check(setns(descriptor, C.CLONE_NEWNET), `setns ${path}`);
};

/** A file that a program finds at another path than where it is, such as the `hosts` of a sandbox at /etc/hosts. */
export interface Shown {
  readonly path: string;
  readonly at: string;
}

/** Shows files to this process alone, as ip-netns(8) does. Where one is not there, or there is none at its place, the host's stays. */
const show = (files: readonly Shown[]): void => {
  if (files.length === 0) return;
  check(unshare(C.CLONE_NEWNS), 'unshare mounts');
  // what the host mounts later is seen here too, and what is mounted here is not seen there
  check(mount('', '/', 'none', C.MS_SLAVE | C.MS_REC, null), 'make mounts follow the host');
  for (const { path, at } of files) {
    if (mount(path, at, 'none', C.MS_BIND, null) === 0 || errnoName(errno()) === 'ENOENT') continue;
    throw new SystemError(`mount ${path} at ${at}`, errno());
  }
};

/**
 * Replaces this process by a command whose network is the namespace at a path, and that finds files elsewhere. Does not return. Throws
 * `KernelFailure` when there is no such namespace and `SystemError` when a call fails, `code` being the errno: ENOENT for a command that was
 * not found.
 */
export const execIn = (
  netnsPath: string,
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
  files: readonly Shown[] = [],
): never => {
  const [file] = argv;
  if (file === undefined) throw new RangeError('execIn: no command');
  enter(netnsPath);
  show(files);
  for (const number of ignoredByNode) signal(number, defaultAction);
  for (const descriptor of [0, 1, 2]) handDown(descriptor);
  const environment = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  execvpe(file, [...argv, null], [...environment, null]);
  throw new SystemError(`exec ${file}`, errno());
};
