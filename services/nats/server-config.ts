/** The files of an embedded server and what stands in its configuration. */
import { join } from 'node:path';
import { HOST } from './ports.ts';
import { SERVER_USER } from './server-secret.ts';

/** Where an embedded server's files are, absolute paths. */
export interface ServerFiles {
  readonly config: string;
  readonly pid: string;
  readonly log: string;
  readonly stderr: string;
}

export const serverFiles = (runDir: string): ServerFiles => ({
  config: join(runDir, 'nats.conf'),
  pid: join(runDir, 'nats.pid'),
  log: join(runDir, 'nats-server.log'),
  stderr: join(runDir, 'nats-server.stderr'),
});

/** The whole configuration: this machine only, whoever has the password only, and acknowledged means on disk. */
export const serverConfig = (given: {
  dataDir: string;
  port: number;
  serverName: string;
  secret: string;
  files: ServerFiles;
}): string => {
  const text = JSON.stringify;
  return [
    '# written by cnm at every start; changes are lost',
    `listen: ${text(`${HOST}:${given.port}`)}`,
    `server_name: ${text(given.serverName)}`,
    '# whoever may read this, or the state file of cnm up, may command',
    `authorization { user: ${text(SERVER_USER)}, password: ${text(given.secret)} }`,
    `pid_file: ${text(given.files.pid)}`,
    `log_file: ${text(given.files.log)}`,
    'logfile_size_limit: 10MB',
    'logfile_max_num: 2',
    'jetstream {',
    `  store_dir: ${text(join(given.dataDir, 'jetstream'))}`,
    '  # acknowledged means on disk',
    '  sync_interval: always',
    '}',
    '',
  ].join('\n');
};
