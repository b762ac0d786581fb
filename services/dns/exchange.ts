/**
 * One message to one server and what comes back. Each exchange has a socket of its own: the kernel chooses a random source port for it,
 * which with the random id is what makes replies hard to forge (RFC 5452), and a connected socket hears of a port where nobody listens.
 */
import { createSocket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';
import { createFrames, frame } from './frames.ts';

export type Protocol = 'udp' | 'tcp';

export interface Server {
  readonly address: string;
  readonly port: number;
}

export interface Exchange {
  /** Closes the socket; nothing is heard after that. */
  close(): void;
}

export interface ExchangeEvents {
  /** May be called several times over UDP: what is no reply to the message is whoever's. */
  readonly onMessage: (message: Buffer) => void;
  /** The server cannot be reached, or has ended the connection. */
  readonly onFailure: (error: Error) => void;
}

const overUdp = (server: Server, message: Buffer, { onMessage, onFailure }: ExchangeEvents): Exchange => {
  const socket = createSocket(isIPv6(server.address) ? 'udp6' : 'udp4');
  let isClosed = false;
  const fail = (error: Error): void => {
    if (!isClosed) onFailure(error);
  };
  socket.on('error', fail);
  socket.on('message', (reply) => {
    if (!isClosed) onMessage(reply);
  });
  socket.connect(server.port, server.address, (...errors: readonly unknown[]) => {
    const [error] = errors;
    if (error instanceof Error) fail(error);
    else if (!isClosed) socket.send(message, (failure) => failure && fail(failure));
  });
  return {
    close: () => {
      if (isClosed) return;
      isClosed = true;
      socket.close();
    },
  };
};

const overTcp = (server: Server, message: Buffer, { onMessage, onFailure }: ExchangeEvents): Exchange => {
  const frames = createFrames();
  const socket = connect({ host: server.address, port: server.port, noDelay: true });
  socket.on('connect', () => socket.write(frame(message)));
  socket.on('data', (chunk) => {
    frames.push(chunk);
    for (let reply = frames.shift(); reply && !socket.destroyed; reply = frames.shift()) onMessage(reply);
  });
  socket.on('error', onFailure);
  socket.on('end', () => onFailure(new Error('the server ended the connection')));
  return {
    close: () => {
      socket.removeAllListeners('end');
      socket.destroy();
    },
  };
};

export const exchange = (protocol: Protocol, server: Server, message: Buffer, events: ExchangeEvents): Exchange =>
  protocol === 'udp' ? overUdp(server, message, events) : overTcp(server, message, events);
