/** Servers that the host itself asks: its resolv.conf, read at the start and again when it changes, never for a query. */
import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import { isIP } from 'node:net';
import { RESOLVER_ADDRESS } from './address.ts';

export interface ResolvConf {
  readonly servers: readonly string[];
  readonly search: readonly string[];
  readonly options: readonly string[];
}

export interface HostServers {
  /** Addresses in the order in which they are asked. */
  servers(): readonly string[];
  /** The whole file, for those that are made after it. */
  config(): ResolvConf;
  /** Stops watching the file. */
  close(): void;
}

/** Stub of systemd-resolved (its manual, "/etc/resolv.conf"). */
const resolvedStub = '127.0.0.53';

const fields = (line: string): readonly string[] => line.split(/\s+/).filter((field) => field !== '');

/** Reads a resolv.conf (resolv.conf(5)): of several `search` or `domain` lines the last counts, options add up, what is no address is left out. */
export const parseResolvConf = (text: string): ResolvConf => {
  const servers: string[] = [];
  const options: string[] = [];
  let search: readonly string[] = [];
  for (const line of text.split('\n')) {
    const [keyword = '', ...values] = fields(line.replace(/[#;].*$/, ''));
    const [value = ''] = values;
    if (keyword === 'nameserver' && isIP(value) !== 0 && !servers.includes(value)) servers.push(value);
    else if (keyword === 'search' || (keyword === 'domain' && value !== '')) search = values;
    else if (keyword === 'options') options.push(...values);
  }
  return { servers, search, options };
};

const selves: ReadonlySet<string> = new Set([RESOLVER_ADDRESS, `::ffff:${RESOLVER_ADDRESS}`, '::ffff:7f00:b']);

/** Servers that can be asked: addresses, and not our own, since asking ourselves would go round in circles. */
export const askable = (servers: readonly string[]): readonly string[] =>
  servers.filter((server) => isIP(server) !== 0 && !selves.has(server.toLowerCase()));

export interface HostServersOptions {
  /** `/etc/resolv.conf`. */
  readonly file?: string;
  /** The servers behind the stub of systemd-resolved. */
  readonly resolvedFile?: string;
  /** How often the files are looked at for a change, milliseconds. */
  readonly everyMs?: number;
}

const readConf = (file: string): ResolvConf => {
  try {
    return parseResolvConf(readFileSync(file, 'utf8'));
  } catch {
    // A host without the file asks nobody.
    return { servers: [], search: [], options: [] };
  }
};

/** Where there is nothing but the stub of systemd-resolved, the servers behind it are what a sandbox's file can name. */
const readHost = (file: string, resolvedFile: string): ResolvConf => {
  const conf = readConf(file);
  const servers = askable(conf.servers);
  if (servers.some((server) => server !== resolvedStub) || servers.length === 0) return { ...conf, servers };
  const behind = readConf(resolvedFile);
  const known = askable(behind.servers);
  // Without that file the stub is all there is, and it answers: questions are asked from the host's own namespace.
  return known.length > 0 ? { ...behind, servers: known } : { ...conf, servers };
};

export const hostServers = (options: HostServersOptions = {}): HostServers => {
  const {
    file = '/etc/resolv.conf',
    resolvedFile = '/run/systemd/resolve/resolv.conf',
    everyMs: interval = 2_000,
  } = options;
  let conf = readHost(file, resolvedFile);
  const read = (): void => {
    conf = readHost(file, resolvedFile);
  };
  for (const watched of [file, resolvedFile]) watchFile(watched, { interval, persistent: false }, read);
  return {
    servers: () => conf.servers,
    config: () => conf,
    close: () => {
      for (const watched of [file, resolvedFile]) unwatchFile(watched, read);
    },
  };
};
