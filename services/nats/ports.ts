/** The port of an embedded server: stable for one data directory, since clients remember the URL. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { join } from 'node:path';
import { NatsFault } from './fault.ts';

export const HOST = '127.0.0.1';
const FILE = 'nats.port';
const GREETING_TIMEOUT_MS = 1_000;

/**
 * The port kept in `dataDir/nats.port`. At the very first start the preferred one, or, where something else has it, a free one, and
 * either is kept from then on.
 *
 * @throws NatsFault PORT_IN_USE when the kept port is taken.
 */
export const choosePort = async (dataDir: string, preferred: number): Promise<number> => {
  const path = join(dataDir, FILE);
  if (existsSync(path)) {
    const kept = Number(readFileSync(path, 'utf8').trim());
    if (Number.isInteger(kept) && kept > 0 && kept < 65536) {
      if ((await bindable(kept)) === kept) return kept;
      const message = `port ${kept} of ${HOST} is taken, and clients of ${dataDir} know the server by it; free it, or remove ${path}`;
      throw new NatsFault('PORT_IN_USE', message, { retry: 'later' });
    }
  }
  const port = (await bindable(preferred)) ?? (await bindable(0));
  if (port === null) throw new NatsFault('PORT_IN_USE', `no port of ${HOST} can be had`);
  writeFileSync(path, `${port}\n`, { flush: true });
  return port;
};

/** The port, when one can listen there (0: any free one), else null. */
export const bindable = (port: number): Promise<number | null> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(null));
    server.listen({ host: HOST, port, exclusive: true }, () => {
      const address = server.address();
      const bound = address !== null && typeof address === 'object' ? address.port : null;
      server.close(() => resolve(bound));
    });
  });

/** What a NATS server says first (`INFO {...}`), or null when nothing like it came in time. */
export const greeting = (port: number, host: string = HOST): Promise<Record<string, unknown> | null> =>
  new Promise((resolve) => {
    const socket = createConnection({ host, port });
    let text = '';
    const done = (info: Record<string, unknown> | null) => {
      socket.destroy();
      resolve(info);
    };
    socket.setTimeout(GREETING_TIMEOUT_MS, () => done(null));
    socket.once('error', () => done(null));
    socket.once('close', () => resolve(null));
    socket.setEncoding('utf8');
    socket.on('data', (chunk) => {
      text += chunk;
      const end = text.indexOf('\r\n');
      if (end >= 0) done(parseInfo(text.slice(0, end)));
    });
  });

const parseInfo = (line: string): Record<string, unknown> | null => {
  try {
    return line.startsWith('INFO ') ? JSON.parse(line.slice('INFO '.length)) : null;
  } catch {
    return null;
  }
};
