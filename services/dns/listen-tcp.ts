/** A bound TCP socket of a sandbox, made elsewhere and taken over: connections with one query after another (RFC 7766). */
import { createServer, type Socket } from 'node:net';
import { createFrames, frame } from './frames.ts';
import type { Listener, Responder } from './listener.ts';
import type { Line } from './questions.ts';

/** Design values. A sandbox that opens more connections has them closed at once. */
const connectionsMax = 64;
/** Of one connection at a time: more wait until some are answered, unread. */
const questionsMax = 64;
/** Replies that a client does not read: it is cut off. */
const unreadBytesMax = 1 << 20;
const idleMs = 10_000;

export interface TcpOptions {
  readonly respond: Responder;
  readonly line: Line;
  readonly onError: (error: Error) => void;
}

class Connection {
  readonly #socket: Socket;
  readonly #options: TcpOptions;
  readonly #frames = createFrames();
  /** In line, or being answered. */
  #open = 0;
  #hasEnded = false;
  #isTaking = false;

  constructor(socket: Socket, options: TcpOptions) {
    this.#socket = socket;
    this.#options = options;
    socket.setNoDelay(true);
    socket.setTimeout(idleMs, () => socket.destroy());
    socket.on('error', options.onError);
    socket.on('data', (chunk) => {
      this.#frames.push(chunk);
      this.#take();
    });
    socket.on('end', () => {
      this.#hasEnded = true;
      this.#endWhenDone();
    });
  }

  #take(): void {
    // One that is answered at once comes back here.
    if (this.#isTaking) return;
    this.#isTaking = true;
    while (this.#open < questionsMax) {
      const message = this.#frames.shift();
      if (!message) break;
      this.#open += 1;
      this.#options.line.ask(() => this.#answer(message));
    }
    this.#isTaking = false;
    if (this.#open >= questionsMax) this.#socket.pause();
    else this.#socket.resume();
    this.#endWhenDone();
  }

  #answer(message: Buffer): void {
    // Nobody is there any more.
    if (this.#socket.destroyed) return;
    const settled = (reply: Buffer | null): void => {
      this.#open -= 1;
      this.#send(reply);
      this.#take();
    };
    const reply = this.#options.respond(message);
    if (!(reply instanceof Promise)) {
      settled(reply);
      return;
    }
    reply.then(settled, (error) => {
      this.#options.onError(error);
      settled(null);
    });
  }

  /** What cannot be answered at all ends the connection, since nothing of it can be told. */
  #send(reply: Buffer | null): void {
    const socket = this.#socket;
    if (socket.destroyed) return;
    if (reply === null || socket.writableLength > unreadBytesMax) socket.destroy();
    else socket.write(frame(reply));
  }

  /** A client may close its side before it has its answers. */
  #endWhenDone(): void {
    if (this.#hasEnded && this.#open === 0 && !this.#socket.destroyed) this.#socket.end();
  }
}

/** @throws when the descriptor is no bound TCP socket; it is not closed then */
export const listenTcp = async (fd: number, options: TcpOptions): Promise<Listener> => {
  const sockets = new Set<Socket>();
  // Half-open: a client may have said all that it has to ask, and still wait.
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    new Connection(socket, options);
  });
  server.maxConnections = connectionsMax;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ fd }, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
  server.on('error', options.onError);
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
};
