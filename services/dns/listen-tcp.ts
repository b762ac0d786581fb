/** A bound TCP socket of a sandbox, made elsewhere and taken over: connections with one query after another (RFC 7766). */
import { createServer, type Socket } from 'node:net';
import { createFrames, frame } from './frames.ts';
import type { Listener, Responder } from './listener.ts';

/** Design values. A sandbox that opens more connections has them closed at once. */
const connectionsMax = 64;
/** Of one connection at a time: more wait until some are answered, unread. */
const questionsMax = 64;
/** Taken from one connection before others have their turn. */
const questionsPerTurn = 16;
/** Replies that a client does not read: it is cut off. */
const unreadBytesMax = 1 << 20;
const idleMs = 10_000;

class Connection {
  readonly #socket: Socket;
  readonly #respond: Responder;
  readonly #onError: (error: Error) => void;
  readonly #frames = createFrames();
  #open = 0;
  #hasEnded = false;
  #isScheduled = false;

  constructor(socket: Socket, respond: Responder, onError: (error: Error) => void) {
    this.#socket = socket;
    this.#respond = respond;
    this.#onError = onError;
    socket.setNoDelay(true);
    socket.setTimeout(idleMs, () => socket.destroy());
    socket.on('error', onError);
    socket.on('data', (chunk) => {
      this.#frames.push(chunk);
      this.#take();
    });
    socket.on('end', () => {
      this.#hasEnded = true;
      this.#endWhenDone();
    });
  }

  /** Takes some questions; what is left comes after whatever else there is to do. */
  #take(): void {
    if (this.#isScheduled) return;
    for (let taken = 0; this.#open < questionsMax; taken++) {
      if (taken >= questionsPerTurn) {
        this.#isScheduled = true;
        setImmediate(() => {
          this.#isScheduled = false;
          this.#take();
        });
        break;
      }
      const message = this.#frames.shift();
      if (!message) break;
      this.#answer(message);
    }
    const isFull = this.#open >= questionsMax || this.#isScheduled;
    if (isFull) this.#socket.pause();
    else this.#socket.resume();
    this.#endWhenDone();
  }

  #answer(message: Buffer): void {
    const reply = this.#respond(message);
    if (!(reply instanceof Promise)) {
      this.#send(reply);
      return;
    }
    this.#open += 1;
    const settled = (late: Buffer | null): void => {
      this.#open -= 1;
      this.#send(late);
      this.#take();
    };
    reply.then(settled, (error) => {
      this.#onError(error);
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
    if (this.#hasEnded && this.#open === 0 && !this.#isScheduled && !this.#socket.destroyed) this.#socket.end();
  }
}

/** @throws when the descriptor is no bound TCP socket; it is not closed then */
export const listenTcp = async (fd: number, respond: Responder, onError: (error: Error) => void): Promise<Listener> => {
  const sockets = new Set<Socket>();
  // Half-open: a client may have said all that it has to ask, and still wait.
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    new Connection(socket, respond, onError);
  });
  server.maxConnections = connectionsMax;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ fd }, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
  server.on('error', onError);
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
};
