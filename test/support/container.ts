/** Containers of real OCI runtimes for tests: busybox in a sandbox whose key goes into `linux.namespaces[].path`. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const runtimes = ['runc', 'crun'] as const;
export type Runtime = (typeof runtimes)[number];

const capabilities = ['CAP_NET_RAW'];

/** What a sandbox says of the container beside its key. */
export interface Dress {
  /** Directory of its name files, which are mounted into /etc. */
  readonly files?: string | undefined;
  readonly hostname?: string;
}

const nameFiles = ['hosts', 'resolv.conf', 'hostname'];

/** OCI runtime specification 1.0.2. No cgroups, since tests run where they may not be written; processes are the container's own. */
const configOf = (key: string, command: string, { files, hostname = 'box' }: Dress): object => ({
  ociVersion: '1.0.2',
  process: {
    terminal: false,
    user: { uid: 0, gid: 0 },
    args: ['/bin/sh', '-ec', command],
    env: ['PATH=/bin'],
    cwd: '/',
    capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
    noNewPrivileges: true,
  },
  root: { path: 'rootfs', readonly: true },
  hostname,
  mounts: [
    { destination: '/proc', type: 'proc', source: 'proc' },
    ...(files === undefined ? [] : nameFiles).map((name) => ({
      destination: `/etc/${name}`,
      type: 'bind',
      source: `${files}/${name}`,
      options: ['bind', 'rw'],
    })),
  ],
  linux: {
    namespaces: [{ type: 'mount' }, { type: 'uts' }, { type: 'ipc' }, { type: 'pid' }, { type: 'network', path: key }],
  },
});

/**
 * Runs a command under a runtime as root on any cgroup layout. runc ignores cgroups that it may not write when it is told to be
 * rootless. crun refuses a v1 layout with v2 controllers beside it, so those are unmounted, in a mount namespace of its own.
 */
const commandLines: Readonly<Record<Runtime, (root: string) => string>> = {
  runc: (root) => `exec runc --root ${root} --rootless=true run "$@"`,
  crun: (root) =>
    `[ ! -e /sys/fs/cgroup/unified ] || umount /sys/fs/cgroup/unified; exec crun --root ${root} --cgroup-manager=disabled run "$@"`,
};

const isThere = (command: string): boolean => spawnSync('sh', ['-c', `command -v ${command}`]).status === 0;

/** The busybox that containers run, which has no libraries to find there. */
const busybox = (): string | null => {
  const found = spawnSync('sh', ['-c', 'command -v busybox'], { encoding: 'utf8' }).stdout.trim();
  return found !== '' && spawnSync('ldd', [found]).status !== 0 ? found : null;
};

/** Why no container can be run, or null. */
export const whyNoContainers = (runtime: Runtime): string | null => {
  if (!isThere(runtime)) return `${runtime} is not installed: npm run setup`;
  return busybox() === null ? 'there is no static busybox: npm run setup' : null;
};

export interface Bundles {
  /** Runs a shell command in a container in the sandbox with this key, and answers what it printed. @throws when it fails */
  run(runtime: Runtime, key: string, command: string, dress?: Dress): string;
  /** Starts one that goes on until it is killed. */
  start(runtime: Runtime, key: string, command: string, dress?: Dress): ChildProcess;
  remove(): void;
}

export const bundles = (): Bundles => {
  const directory = mkdtempSync(join(tmpdir(), 'cnm-bundle-'));
  const rootfs = join(directory, 'rootfs');
  for (const name of ['bin', 'proc', 'dev', 'sys', 'etc']) mkdirSync(join(rootfs, name), { recursive: true });
  for (const name of nameFiles) writeFileSync(join(rootfs, 'etc', name), '');
  const program = busybox() ?? '';
  for (const applet of ['sh', 'ip', 'ping', 'sleep', 'cat', 'echo', 'hostname', 'nslookup', 'nc', 'httpd', 'wget'])
    copyFileSync(program, join(rootfs, 'bin', applet));
  let serial = 0;
  const argvOf = (runtime: Runtime, key: string, command: string, dress: Dress): readonly string[] => {
    writeFileSync(join(directory, 'config.json'), JSON.stringify(configOf(key, command, dress)));
    const script = commandLines[runtime](join(directory, runtime));
    return ['--mount', 'sh', '-ec', script, 'sh', '--bundle', directory, `box${process.pid}x${serial++}`];
  };
  return {
    run: (runtime, key, command, dress = {}) =>
      execFileSync('unshare', argvOf(runtime, key, command, dress), { encoding: 'utf8', timeout: 30_000 }),
    start: (runtime, key, command, dress = {}) =>
      spawn('unshare', argvOf(runtime, key, command, dress), { stdio: ['ignore', 'pipe', 'inherit'] }),
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
};
