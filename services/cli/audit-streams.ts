/** The streams of the server for `cnm audit`: read as they are stored, over a connection of their own. */
import type { NatsConnection } from '@nats-io/transport-node';
import type { Stream } from '../lib/stream.ts';
import { type Context, NotFound, serverUrl } from './context.ts';

export interface AuditStreams {
  readonly log: Stream;
  readonly checkpoint: Stream;
  readonly commands: Stream;
}

const CONNECT_MS = 3_000;

/** Runs `work` with a connection that is closed afterwards. */
export const withConnection = async <T>(
  { config, clock }: Context,
  url: string,
  work: (connection: NatsConnection) => Promise<T>,
): Promise<T> => {
  const { connectNats } = await import('../nats/connection.ts');
  const { securityOf } = await import('../nats/security.ts');
  const { silentLogger } = await import('../lib/logger.ts');
  const connection = await connectNats({
    url,
    role: 'audit',
    log: silentLogger(),
    waitMs: CONNECT_MS,
    clock,
    security: securityOf(config),
  });
  try {
    return await work(connection);
  } finally {
    await connection.close();
  }
};

/** The same with the server that everybody here uses. */
export const withServer = <T>(context: Context, work: (connection: NatsConnection) => Promise<T>): Promise<T> =>
  withConnection(context, serverUrl(context.config), work);

export const withStreams = <T>(context: Context, work: (streams: AuditStreams) => Promise<T>): Promise<T> =>
  withServer(context, async (connection) => {
    const { jetStream } = await import('../nats/jetstream.ts');
    const { STREAMS } = await import('../nats/stream-config.ts');
    const stream = (name: keyof AuditStreams): Stream => jetStream(connection, STREAMS[name], { clock: context.clock });
    return work({ log: stream('log'), checkpoint: stream('checkpoint'), commands: stream('commands') });
  });

/** What is said of a file that is open already, without its name: it is a folder, or there is no room for more. */
const nameless: ReadonlySet<string> = new Set(['EISDIR', 'ENOSPC', 'EDQUOT', 'EFBIG', 'EIO', 'EROFS']);

/** What the file system says of a file that was named is no defect of ours. */
export const withFiles = async <T>(work: () => Promise<T>): Promise<T> => {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Error && 'syscall' in error)) throw error;
    const { code = '', path } = error as NodeJS.ErrnoException;
    if (path === undefined && !nameless.has(code)) throw error;
    if (code === 'ENOENT')
      throw new NotFound(
        `no such file or directory: ${path}`,
        'Name a file that is there; a new one goes into a folder that is.',
      );
    if (code === 'EISDIR') throw new NotFound(`${path ?? 'what is named'} is a directory`, 'Name a file.');
    if (code === 'EACCES')
      throw new NotFound(`${path} may not be read or written`, 'Call it as its owner, or name another file.');
    throw new NotFound(error.message, 'Name another file.');
  }
};
