/** The one reader of the environment: every setting, its default and what is wrong with it. */
import { hash } from 'node:crypto';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { isFailpoint } from '../../drivers/kernel/failpoint.ts';
import { checkPools, DEFAULT_IPV4_POOLS, DEFAULT_REALM_POOLS, type SubnetPool } from '../../events/ipam-subnets.ts';
import { Actor, HostName, RealmName } from '../../events/names.ts';
import { CALL_TIMEOUT_MS, SOCKET_DIRECTORIES, SPEC_DIRECTORIES } from '../plugins/defaults.ts';
import {
  CHECKPOINT_MS,
  CONFIRM_MS,
  DRIFT_MS,
  FAIR_RATE,
  ID_DAYS,
  NETNS_ROOTS,
  PREFERRED_PORT,
  QUARANTINE_MS,
  SNAPSHOT_EVENTS,
} from './defaults.ts';
import { type Machine, thisMachine } from './machine.ts';

const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

export interface Config {
  /** An external server, may hold credentials; null: the embedded one. */
  readonly natsUrl: string | null;
  /** Who we are to it: a file with JWT and seed, or one with the seed of an nkey; null: as the URL says. */
  readonly natsCredsFile: string | null;
  readonly natsNkeyFile: string | null;
  /** Authorities that its certificate is from, and our own certificate with its key; PEM files. */
  readonly natsCaFile: string | null;
  readonly natsCertFile: string | null;
  readonly natsKeyFile: string | null;
  /** Where JetStream answers for our account; null: `$JS.API`. */
  readonly natsApiPrefix: string | null;
  /** Monitoring ports of the external server, which say whether it syncs. */
  readonly natsMonitorUrl: string | null;
  /** The operator answers for `sync_interval: always` of the external server. */
  readonly natsSyncStated: boolean;
  /** Port of the embedded server at the first start of a data directory; null: the usual one. */
  readonly natsPort: number | null;
  /** Copies of each stream, when we make it. */
  readonly natsReplicas: 1 | 3;
  readonly dataDir: string;
  /** Holds what must not outlive a reboot, of every realm and host that runs here. */
  readonly runDir: string;
  readonly host: string;
  readonly realm: string;
  readonly actor: string;
  /** Null: by the place, quiet at a terminal. */
  readonly logLevel: LogLevel | null;
  readonly pools: readonly SubnetPool[];
  /** Of networks that are on all hosts; what a controller is told. */
  readonly realmPools: readonly SubnetPool[];
  /** A /48 of unique local addresses (RFC 4193). */
  readonly ula: string;
  readonly netnsRoots: readonly string[];
  /** Address or interface by which other hosts reach this one; null: that of the default route. */
  readonly underlay: string | null;
  /** Of encrypted overlays; null: none. */
  readonly overlaySecretFile: string | null;
  /** Directories of plugins: of their sockets, and of the files that say where else they are. */
  readonly pluginSockets: readonly string[];
  readonly pluginSpecs: readonly string[];
  /** What a call of a plugin has at most. */
  readonly pluginTimeoutMs: number;
  readonly quarantineMs: number;
  readonly confirmMs: number;
  /** Between a worker's looks at everything for what others have changed. */
  readonly driftMs: number;
  /** The operator answers for it that the server lets each user publish under its own actor only. */
  readonly actorsProven: boolean;
  /** Commands a second beyond which an actor is held back while others are at work. */
  readonly fairRate: number;
  /** How long command ids are valid, and remembered. */
  readonly memoryMs: number;
  /** Who may set quotas; null: everybody. */
  readonly operators: readonly string[] | null;
  /** Private key that checkpoints are signed with; null: none are made. */
  readonly checkpointKeyFile: string | null;
  /** Where each checkpoint is appended to as well. */
  readonly checkpointFile: string | null;
  readonly checkpointMs: number;
  readonly snapshotEvents: number;
  /** Where metrics and health are served; null: nowhere. */
  readonly http: HttpAddress | null;
  /** Everything lives in a user and network namespace of its own, which the launcher has made. */
  readonly rootless: boolean;
  /** The launcher has made a throwaway network namespace around this process. */
  readonly throwaway: boolean;
  /** For tests: where the process ends, or is told to say where it could (drivers/kernel/failpoint.ts). */
  readonly failpoint: string | null;
  readonly searchPath: string;
}

export interface HttpAddress {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
}

/** Pools as the variables have them. */
const poolsText = (pools: readonly SubnetPool[]): string => pools.map(({ base, size }) => `${base}/${size}`).join(',');

/** Every variable with what it means and its default, for `cnm help environment` and the documents. */
export const variables = {
  CNM_NATS_URL: 'NATS server to use, such as nats://host:4222; without it `cnm up` brings its own',
  CNM_NATS_NKEY_FILE: 'file with the seed of the nkey that we are known by, as `cnm nats-config` writes it (none)',
  CNM_NATS_CREDS_FILE: 'or file with JWT and seed, as nsc writes it (none)',
  CNM_NATS_CA_FILE: "authorities (PEM) that the server's certificate must be from (those of the system)",
  CNM_NATS_CERT_FILE: 'our own certificate (PEM), where the server asks for one (none)',
  CNM_NATS_KEY_FILE: 'its private key (PEM)',
  CNM_NATS_API_PREFIX:
    'where JetStream answers for our account: cnm.js for hosts and viewers of `cnm nats-config` ($JS.API)',
  CNM_NATS_MONITOR_URL: 'its monitoring port (http://host:8222), which says whether it syncs; several with commas',
  CNM_NATS_SYNC: 'always: you answer for sync_interval: always where the monitoring port cannot be reached',
  CNM_NATS_PORT: `port of the embedded server at the first start of a data directory (${PREFERRED_PORT}, or a free one)`,
  CNM_NATS_REPLICAS: 'copies of each stream where it is made, 1 or 3: 3 takes a cluster of three servers (1)',
  CNM_DATA_DIR: 'what must last: the streams (/var/lib/cnm; without root ~/.local/share/cnm)',
  CNM_RUN_DIR: 'namespace files and process state (/run/cnm; without root $XDG_RUNTIME_DIR/cnm)',
  CNM_HOST: "this machine's name in the realm (the hostname)",
  CNM_REALM: 'name of the realm: all hosts on one log (default)',
  CNM_ACTOR: 'who sends commands (the user)',
  CNM_LOG_LEVEL: `${logLevels.join(', ')} (info; warn at a terminal)`,
  CNM_POOLS: `pools of automatic IPv4 subnets, BASE/LENGTH/SIZE with commas (${poolsText(DEFAULT_IPV4_POOLS)})`,
  CNM_REALM_POOLS: `the same for networks that are on all hosts, read by controllers (${poolsText(DEFAULT_REALM_POOLS)})`,
  CNM_ULA: "/48 of automatic IPv6 subnets, within fd00::/8 (made from the machine's id)",
  CNM_NETNS_ROOTS: `directories under which namespaces of callers may lie, with colons (${NETNS_ROOTS.join(':')})`,
  CNM_UNDERLAY: 'IPv4 address or interface by which other hosts reach this one (that of the default route)',
  CNM_OVERLAY_SECRET_FILE:
    'file with the secret of encrypted overlays, 32 bytes or more, the same on every host, mode 0600 (none)',
  CNM_PLUGIN_SOCKETS: `directories of plugins' sockets, with colons (${SOCKET_DIRECTORIES.join(':')})`,
  CNM_PLUGIN_SPECS: `directories of plugins' .spec and .json files, with colons (${SPEC_DIRECTORIES.join(':')})`,
  CNM_PLUGIN_TIMEOUT_MS: `how long a call of a plugin may take, at most (${CALL_TIMEOUT_MS})`,
  CNM_QUARANTINE_MS: `how long a released address rests before it is given out again (${QUARANTINE_MS})`,
  CNM_CONFIRM_MS: `how long a suspected endpoint stays before it is collected (${CONFIRM_MS})`,
  CNM_DRIFT_MS: `how often a worker looks at all that is its own for what others have changed unnoticed (${DRIFT_MS})`,
  CNM_ACTORS:
    'authenticated: you answer for it that the server lets each user publish under its own actor only; else actors are recorded as claimed (claimed)',
  CNM_FAIR_RATE: `commands a second beyond which an actor is held back while others are at work, read by controllers (${FAIR_RATE})`,
  CNM_ID_DAYS: `how long command ids are valid, and remembered, 1 to ${ID_DAYS} days, read by controllers (${ID_DAYS})`,
  CNM_OPERATORS: 'actors who may set quotas, with commas, read by controllers (everybody)',
  CNM_CHECKPOINT_KEY_FILE:
    'Ed25519 private key (PKCS 8, PEM) that the collector signs checkpoints of the log with (none: no checkpoints)',
  CNM_CHECKPOINT_FILE: 'file that each checkpoint is appended to as well (none)',
  CNM_CHECKPOINT_MS: `how often a checkpoint is made of a log that has grown (${CHECKPOINT_MS})`,
  CNM_SNAPSHOT_EVENTS: `after how many events projectors keep a snapshot of the views (${SNAPSHOT_EVENTS})`,
  CNM_HTTP:
    'HOST:PORT where metrics (/metrics) and health (/live, /ready) are served, by `cnm up` and `cnm serve` (nowhere)',
  CNM_ROOTLESS: '1: `cnm up` and `cnm demo` in a user namespace of their own',
  CNM_THROWAWAY: 'set by the launcher around `cnm demo`',
  CNM_FAILPOINT:
    'for tests: record:FILE writes down the name of every failpoint that is passed, run:FILE runs a program there, kill:NAME@N ends the process at the N-th time (none)',
} as const;
type Variable = keyof typeof variables;

export type ConfigRead =
  | { readonly ok: true; readonly config: Config }
  | { readonly ok: false; readonly problems: readonly string[] };

/** 40 bits that other machines, realms and hosts do not have, as RFC 4193 wants them, and that a restart gives again. */
const ulaOf = (machine: Machine, realm: string, host: string): string => {
  const hex = hash('sha256', `cnm-ula ${machine.id} ${realm} ${host}`, 'hex');
  const group = (at: number): string => Number.parseInt(hex.slice(at, at + 4), 16).toString(16);
  return `fd${hex.slice(0, 2)}:${group(2)}:${group(6)}::/48`;
};

/** The text with every stretch that a name cannot hold as one dash. */
const asName = (text: string, fallback: string, allowed: RegExp): string => {
  const name = text
    .replace(allowed, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 63);
  return name === '' ? fallback : name;
};

const wholeMs = z
  .string()
  .regex(/^\d{1,9}$/, 'a whole number of milliseconds')
  .transform(Number);

const wholeCount = (what: string) =>
  z
    .string()
    .regex(/^\d{1,9}$/, `a whole number of ${what}`)
    .transform(Number)
    .pipe(z.int().min(1, 'at least 1'));

const absolute = z.string().startsWith('/', 'an absolute path');

const Directories = z
  .string()
  .transform((text) => text.split(':'))
  .pipe(z.array(absolute));

/** dev_valid_name() of the kernel: IFNAMSIZ is 16 with the closing zero. */
const InterfaceName = z.string().regex(/^(?!\.{1,2}$)[^\s/:\p{Cc}]{1,15}$/u);

const PoolsText = z.string().transform((text, context): readonly SubnetPool[] =>
  text.split(',').map((item) => {
    const match = /^(\d{1,3}(?:\.\d{1,3}){3}\/\d{1,2})\/(\d{1,2})$/.exec(item.trim());
    if (match) return { base: match[1] ?? '', size: Number(match[2]) };
    context.addIssue({ code: 'custom', message: `${item} is not BASE/LENGTH/SIZE, such as 10.200.0.0/14/24` });
    return z.NEVER;
  }),
);

/** IPv4 pools that can be cut as they say. */
const Pools = PoolsText.superRefine((pools, context) => {
  const problem = checkPools(pools);
  if (problem) context.addIssue({ code: 'custom', message: problem.detail });
});

const natsUrl = z
  .string()
  .regex(
    /^(?:(?:nats|tls|ws|wss):\/\/)?[^\s,/]+(?:,\s*(?:(?:nats|tls|ws|wss):\/\/)?[^\s,/]+)*$/,
    'nats://host:port, several with commas',
  );

const HttpText = z.string().transform((text, context): HttpAddress => {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^\s:/]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match && port <= 65535) return { host: match[1] ?? match[2] ?? '', port };
  context.addIssue({ code: 'custom', message: 'HOST:PORT, such as 127.0.0.1:9464 or [::1]:9464' });
  return z.NEVER;
});

const flag = z.enum(['0', '1'], 'either 0 or 1').transform((text) => text === '1');

const Environment = z.object({
  CNM_NATS_URL: natsUrl.optional(),
  CNM_NATS_NKEY_FILE: absolute.optional(),
  CNM_NATS_CREDS_FILE: absolute.optional(),
  CNM_NATS_CA_FILE: absolute.optional(),
  CNM_NATS_CERT_FILE: absolute.optional(),
  CNM_NATS_KEY_FILE: absolute.optional(),
  CNM_NATS_API_PREFIX: z
    .string()
    .regex(/^[^\s.*>]+(?:\.[^\s.*>]+)*$/, 'tokens with dots between them')
    .optional(),
  CNM_NATS_MONITOR_URL: z
    .string()
    .regex(/^https?:\/\//, 'http://host:port, several with commas')
    .optional(),
  CNM_NATS_SYNC: z.literal('always', 'either always or nothing').optional(),
  CNM_NATS_PORT: z
    .string()
    .regex(/^\d{1,5}$/, 'a port')
    .transform(Number)
    .pipe(z.int().min(1, 'a port').max(65535, 'a port'))
    .optional(),
  CNM_NATS_REPLICAS: z.enum(['1', '3'], 'either 1 or 3').optional(),
  CNM_DATA_DIR: absolute.optional(),
  CNM_RUN_DIR: absolute.optional(),
  CNM_HOST: HostName.optional(),
  CNM_REALM: RealmName.optional(),
  CNM_ACTOR: Actor.optional(),
  CNM_LOG_LEVEL: z.enum(logLevels, `one of ${logLevels.join(', ')}`).optional(),
  CNM_POOLS: Pools.optional(),
  CNM_REALM_POOLS: Pools.optional(),
  CNM_ULA: z
    .string()
    .regex(/^fd[0-9a-f]{2}:[0-9a-f]{1,4}:[0-9a-f]{1,4}::\/48$/, 'a /48 within fd00::/8, such as fd12:3456:789a::/48')
    .optional(),
  CNM_NETNS_ROOTS: Directories.optional(),
  CNM_UNDERLAY: z.union([z.ipv4(), InterfaceName], 'an IPv4 address or the name of an interface').optional(),
  CNM_OVERLAY_SECRET_FILE: absolute.optional(),
  CNM_PLUGIN_SOCKETS: Directories.optional(),
  CNM_PLUGIN_SPECS: Directories.optional(),
  CNM_PLUGIN_TIMEOUT_MS: wholeMs.refine((ms) => ms > 0, 'more than 0').optional(),
  CNM_QUARANTINE_MS: wholeMs.optional(),
  CNM_CONFIRM_MS: wholeMs.optional(),
  CNM_DRIFT_MS: wholeMs.refine((ms) => ms >= 100, '100 or more').optional(),
  CNM_ACTORS: z.enum(['claimed', 'authenticated'], 'either claimed or authenticated').optional(),
  CNM_FAIR_RATE: wholeCount('commands a second').optional(),
  CNM_ID_DAYS: wholeCount('days')
    .refine((days) => days <= ID_DAYS, `at most ${ID_DAYS}`)
    .optional(),
  CNM_OPERATORS: z
    .string()
    .transform((text) => text.split(','))
    .pipe(z.array(Actor))
    .optional(),
  CNM_CHECKPOINT_KEY_FILE: absolute.optional(),
  CNM_CHECKPOINT_FILE: absolute.optional(),
  CNM_CHECKPOINT_MS: wholeMs.pipe(z.int().min(100, 'at least 100')).optional(),
  CNM_SNAPSHOT_EVENTS: wholeCount('events').optional(),
  CNM_HTTP: HttpText.optional(),
  CNM_ROOTLESS: flag.optional(),
  CNM_THROWAWAY: flag.optional(),
  CNM_FAILPOINT: z.string().refine(isFailpoint, 'record:FILE, run:FILE or kill:NAME@N').optional(),
} satisfies Record<Variable, z.ZodType>);

const directories = (
  machine: Machine,
  env: Readonly<Record<string, string | undefined>>,
): { readonly data: string; readonly run: string } => {
  if (machine.uid === 0) return { data: '/var/lib/cnm', run: '/run/cnm' };
  const data = join(env.XDG_DATA_HOME || join(machine.home, '.local/share'), 'cnm');
  const runtime = env.XDG_RUNTIME_DIR;
  return { data, run: runtime ? join(runtime, 'cnm') : join(data, 'run') };
};

/** Reads and checks all settings; an empty variable counts as one that is not set. All problems are told at once. */
export const readConfig = (
  env: Readonly<Record<string, string | undefined>> = process.env,
  machine: Machine = thisMachine(),
): ConfigRead => {
  const given = Object.fromEntries(Object.keys(variables).map((name) => [name, env[name] || undefined]));
  const read = Environment.safeParse(given);
  if (!read.success) {
    const problems = read.error.issues.map(({ path, message }) => {
      const name = String(path[0]);
      return `${name}=${given[name] ?? ''}: ${message}`;
    });
    return { ok: false, problems };
  }
  const settings = read.data;
  const standard = directories(machine, env);
  const realm = settings.CNM_REALM ?? 'default';
  const host = settings.CNM_HOST ?? asName(machine.hostname, 'localhost', /[^A-Za-z0-9.-]+/g);
  const config: Config = {
    natsUrl: settings.CNM_NATS_URL ?? null,
    natsCredsFile: settings.CNM_NATS_CREDS_FILE ?? null,
    natsNkeyFile: settings.CNM_NATS_NKEY_FILE ?? null,
    natsCaFile: settings.CNM_NATS_CA_FILE ?? null,
    natsCertFile: settings.CNM_NATS_CERT_FILE ?? null,
    natsKeyFile: settings.CNM_NATS_KEY_FILE ?? null,
    natsApiPrefix: settings.CNM_NATS_API_PREFIX ?? null,
    natsMonitorUrl: settings.CNM_NATS_MONITOR_URL ?? null,
    natsSyncStated: settings.CNM_NATS_SYNC === 'always',
    natsPort: settings.CNM_NATS_PORT ?? null,
    natsReplicas: settings.CNM_NATS_REPLICAS === '3' ? 3 : 1,
    dataDir: settings.CNM_DATA_DIR ?? standard.data,
    runDir: settings.CNM_RUN_DIR ?? standard.run,
    host,
    realm,
    actor: settings.CNM_ACTOR ?? asName(machine.user, `uid-${machine.uid}`, /[^A-Za-z0-9_.@:-]+/g),
    logLevel: settings.CNM_LOG_LEVEL ?? null,
    pools: settings.CNM_POOLS ?? DEFAULT_IPV4_POOLS,
    realmPools: settings.CNM_REALM_POOLS ?? DEFAULT_REALM_POOLS,
    ula: settings.CNM_ULA ?? ulaOf(machine, realm, host),
    netnsRoots: settings.CNM_NETNS_ROOTS ?? NETNS_ROOTS,
    underlay: settings.CNM_UNDERLAY ?? null,
    overlaySecretFile: settings.CNM_OVERLAY_SECRET_FILE ?? null,
    pluginSockets: settings.CNM_PLUGIN_SOCKETS ?? SOCKET_DIRECTORIES,
    pluginSpecs: settings.CNM_PLUGIN_SPECS ?? SPEC_DIRECTORIES,
    pluginTimeoutMs: settings.CNM_PLUGIN_TIMEOUT_MS ?? CALL_TIMEOUT_MS,
    quarantineMs: settings.CNM_QUARANTINE_MS ?? QUARANTINE_MS,
    confirmMs: settings.CNM_CONFIRM_MS ?? CONFIRM_MS,
    driftMs: settings.CNM_DRIFT_MS ?? DRIFT_MS,
    actorsProven: settings.CNM_ACTORS === 'authenticated',
    fairRate: settings.CNM_FAIR_RATE ?? FAIR_RATE,
    memoryMs: (settings.CNM_ID_DAYS ?? ID_DAYS) * 86_400_000,
    operators: settings.CNM_OPERATORS ?? null,
    checkpointKeyFile: settings.CNM_CHECKPOINT_KEY_FILE ?? null,
    checkpointFile: settings.CNM_CHECKPOINT_FILE ?? null,
    checkpointMs: settings.CNM_CHECKPOINT_MS ?? CHECKPOINT_MS,
    snapshotEvents: settings.CNM_SNAPSHOT_EVENTS ?? SNAPSHOT_EVENTS,
    http: settings.CNM_HTTP ?? null,
    rootless: settings.CNM_ROOTLESS ?? false,
    throwaway: settings.CNM_THROWAWAY ?? false,
    failpoint: settings.CNM_FAILPOINT ?? null,
    searchPath: env.PATH ?? '',
  };
  return { ok: true, config };
};

/** The part of the run directory that belongs to one host of one realm: its namespace files. */
export const hostRunDir = ({ runDir, realm, host }: Pick<Config, 'runDir' | 'realm' | 'host'>): string =>
  join(runDir, `${realm}-${host}`);

/** EX_CONFIG of sysexits.h. */
export const EXIT_CONFIG = 78;

/** The settings for a log line: credentials in URLs are blotted out. */
export const redacted = (config: Config): Config => ({
  ...config,
  natsUrl: config.natsUrl?.replaceAll(/\/\/[^@/,]*@/g, '//***@') ?? null,
});

/** Where the launcher (services/cli/cnm) has compiled code of ours kept: no program of somebody else's is to write there. */
const isCompileCache = (name: string, value: string): boolean =>
  name === 'NODE_COMPILE_CACHE' && basename(value) === 'cnm-compiled';

/** The environment for a program that this process becomes. */
export const environment = (env: Readonly<Record<string, string | undefined>> = process.env): Record<string, string> =>
  Object.fromEntries(
    Object.entries(env).filter(
      (entry): entry is [string, string] => entry[1] !== undefined && !isCompileCache(entry[0], entry[1]),
    ),
  );
