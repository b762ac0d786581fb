/** A bound UDP socket of a sandbox, made elsewhere and taken over. */
import { createSocket } from 'node:dgram';
import type { Listener, Responder } from './listener.ts';
import type { Line } from './questions.ts';

/** No question is longer, with all that may come with it; whoever sends more would fill memory with what waits. */
const queryBytesMax = 4096;

export interface UdpOptions {
  readonly respond: Responder;
  readonly line: Line;
  readonly onError: (error: Error) => void;
  /** A message was dropped unread: too many wait, or it is none. */
  readonly onDrop: () => void;
}

/** @throws when the descriptor is no bound UDP socket; it is not closed then */
export const listenUdp = (fd: number, { respond, line, onError, onDrop }: UdpOptions): Listener => {
  const socket = createSocket('udp4');
  socket.on('error', onError);
  socket.on('message', (message, sender) => {
    const send = (reply: Buffer | null): void => {
      if (reply === null || isClosed) return;
      // The sender may be gone, or its port: its trouble.
      socket.send(reply, sender.port, sender.address, (error) => error && onError(error));
    };
    if (line.isFull || message.length > queryBytesMax) {
      onDrop();
      return;
    }
    line.ask(() => {
      const reply = respond(message);
      if (reply instanceof Promise) reply.then(send, onError);
      else send(reply);
    });
  });
  let isClosed = false;
  try {
    socket.bind({ fd, exclusive: true });
  } catch (error) {
    socket.close();
    throw error;
  }
  return {
    close: () => {
      isClosed = true;
      return new Promise((resolve) => {
        socket.close(() => resolve());
      });
    },
  };
};
