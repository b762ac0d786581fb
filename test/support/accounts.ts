/** A real server with accounts as `cnm nats-config` writes them, and connections of everybody who has a key. */
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NatsConnection } from '@nats-io/transport-node';
import { type Config, readConfig } from '../../services/lib/config.ts';
import { silentLogger } from '../../services/lib/logger.ts';
import { connectNats } from '../../services/nats/connection.ts';
import { type Wanted, writeParties } from '../../services/nats/party-files.ts';
import { type Security, securityOf } from '../../services/nats/security.ts';
import { end, freePort, launch, testServerBinary, waitFor } from './nats.ts';

export type Named = Partial<Pick<Wanted, 'hosts' | 'actors' | 'viewers' | 'readers' | 'operators' | 'remove'>>;

export interface AccountServer {
  readonly url: string;
  readonly folder: string;
  /** The settings that `keys/<folder>/env` gives, and these. */
  config(party: string, more?: Readonly<Record<string, string>>): Config;
  security(party: string): Security;
  /** A connection under this role; closed by `stop`. */
  connect(party: string, role: string): Promise<NatsConnection>;
  /** Writes the configuration for one more actor and others, and has the server read it: twice, as operations.md says. */
  add(actor: string, named: Named): Promise<void>;
  stop(): Promise<void>;
}

export const startAccounts = async (named: Named, tls: Wanted['place']['tls'] = null): Promise<AccountServer> => {
  const folder = mkdtempSync(join(tmpdir(), 'cnm-accounts-'));
  const port = await freePort();
  const url = `nats://127.0.0.1:${port}`;
  const write = (parties: Named): string => {
    const place = { listen: `127.0.0.1:${port}`, monitor: null, storeDir: join(folder, 'jetstream'), tls };
    const none = { hosts: [], actors: [], viewers: [], readers: [], operators: [], remove: [] };
    return writeParties(folder, { ...none, ...parties, url, place }).config;
  };
  const child: ChildProcess = await launch(testServerBinary(), write(named), port);
  const connections: NatsConnection[] = [];
  const config = (party: string, more: Readonly<Record<string, string>> = {}): Config => {
    const lines = readEnv(join(folder, 'keys', party, 'env'));
    const read = readConfig({ CNM_DATA_DIR: folder, CNM_RUN_DIR: folder, CNM_REALM: 'test', ...lines, ...more });
    if (!read.ok) throw new Error(read.problems.join('\n'));
    return read.config;
  };
  const security = (party: string): Security => securityOf(config(party));
  return {
    url,
    folder,
    config,
    security,
    connect: async (party, role) => {
      const connection = await connectNats({
        url,
        role,
        log: silentLogger(),
        waitMs: 5_000,
        security: security(party),
      });
      connections.push(connection);
      return connection;
    },
    add: async (actor, more) => {
      write({ ...more, actors: [actor, ...(more.actors ?? [])] });
      await reload(child);
      await reload(child);
    },
    stop: async () => {
      await Promise.all(connections.map((connection) => connection.close()));
      await end(child, 'SIGTERM');
      rmSync(folder, { recursive: true, force: true });
    },
  };
};

/** Has the server read its configuration, and waits until it says that it has. */
const reload = async (server: ChildProcess): Promise<void> => {
  let said = '';
  const hear = (text: string): void => {
    said += text;
  };
  server.stderr?.on('data', hear);
  server.kill('SIGHUP');
  await waitFor(() => said.includes('Reloaded server configuration'), { what: 'the configuration to be read' });
  server.stderr?.off('data', hear);
};

/** `NAME=VALUE` a line. */
export const readEnv = (path: string): Record<string, string> =>
  Object.fromEntries(
    readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => line.includes('='))
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
