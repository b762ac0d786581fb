/** Namespaces of their own for tests that use the kernel: a test file starts itself once more inside of them. */
import { execFileSync, spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { test } from 'node:test';

const marker = 'CNM_TEST_NAMESPACES';

const OWN_NAMESPACE_MS = 60_000;

const canUnshare = (): boolean => spawnSync('unshare', ['--net', '--mount', 'true']).status === 0;

/**
 * To be called before anything else in a test file. Outside it runs the file again in a new network and mount namespace and ends
 * with its exit code; inside it answers true. Where namespaces cannot be made, it answers false, with a skipped test.
 */
export const inOwnNamespaces = (file: string): boolean => {
  if (process.env[marker] !== undefined) return true;
  if (!canUnshare()) {
    test(
      'needs network and mount namespaces of its own',
      { skip: 'unshare --net --mount is not permitted' },
      () => undefined,
    );
    return false;
  }
  const argv = ['--net', '--mount', process.execPath, ...process.execArgv, file];
  const { status } = spawnSync('unshare', argv, { stdio: 'inherit', env: { ...process.env, [marker]: '1' } });
  process.exit(status ?? 1);
};

/** A thousand links are some megabytes of JSON. */
const maxBuffer = 64 << 20;

/** Output of a command; a namespace file as the first argument runs it in there. */
export const sh = (command: string): string => execFileSync('sh', ['-ec', command], { encoding: 'utf8', maxBuffer });

export const shIn = (netns: string, command: string): string =>
  execFileSync('nsenter', [`--net=${netns}`, 'sh', '-ec', command], { encoding: 'utf8', maxBuffer });

/** Whether a command succeeds in a namespace. */
export const succeedsIn = (netns: string, command: string): boolean =>
  spawnSync('nsenter', [`--net=${netns}`, 'sh', '-ec', command]).status === 0;

export interface IpLink {
  readonly ifname: string;
  readonly ifindex: number;
  readonly address?: string;
  readonly ifalias?: string;
  readonly mtu: number;
  readonly operstate: string;
  readonly flags: readonly string[];
  readonly master?: string;
  readonly inet6_addr_gen_mode?: string;
}

export const ipLinks = (netns?: string): readonly IpLink[] => {
  const command = 'ip -j -d link';
  return JSON.parse(netns === undefined ? sh(command) : shIn(netns, command)) as readonly IpLink[];
};

/** Inode of a namespace file: the namespace itself. */
export const namespaceOf = (path: string): number => statSync(path).ino;

/** Whether this kernel has links of a kind, of those that stand on another. */
export const hasKind = (kind: string): boolean => {
  const id = kind === 'vlan' ? ['id', '9'] : [];
  const { status, stderr } = spawnSync('ip', ['link', 'add', 'link', 'lo', 'name', 'kind', 'type', kind, ...id]);
  if (status === 0) sh('ip link del kind');
  return !String(stderr).includes('Unknown device type');
};

/** `unshare` needs a moment between its start and the namespace. */
export const awaitOwnNamespace = (netns: string): void => {
  const deadlineMs = performance.now() + OWN_NAMESPACE_MS;
  const script = `[ "$(readlink ${netns})" != "$(readlink /proc/self/ns/net)" ]`;
  while (spawnSync('sh', ['-c', script]).status !== 0)
    if (performance.now() > deadlineMs) throw new Error(`${netns} is not there`);
};
