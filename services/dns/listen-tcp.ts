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
  /** Being answered. */
  #open = 0;
  /** Its next question waits for its turn; those behind it are not read. */
  #isInLine = false;
  #hasEnded = false;

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
    const socket = this.#socket;
    const { line } = this.#options;
    const message = this.#isInLine || this.#open >= questionsMax ? undefined : this.#frames.shift();
    if (message && !socket.destroyed) {
      // Who has more connections than turns is told so by losing one.
      if (line.isFull) {
        socket.destroy();
        return;
      }
      this.#isInLine = true;
      line.ask(() => {
        this.#isInLine = false;
        if (!socket.destroyed) this.#answer(message);
      });
    }
    if (this.#isInLine || this.#open >= questionsMax) socket.pause();
    else socket.resume();
    this.#endWhenDone();
  }

  #answer(message: Buffer): void {
    const reply = this.#options.respond(message);
    if (!(reply instanceof Promise)) {
      this.#send(reply);
      this.#take();
      return;
    }
    this.#open += 1;
    const settled = (late: Buffer | null): void => {
      this.#open -= 1;
      this.#send(late);
      this.#take();
    };
    reply.then(settled, (error) => {
      this.#options.onError(error);
      settled(null);
    });
    this.#take();
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
    const isDone = this.#hasEnded && this.#open === 0 && !this.#isInLine;
    if (isDone && !this.#socket.destroyed) this.#socket.end();
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
