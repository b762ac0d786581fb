/** Whether anybody takes connections at a plugin's address: it is called up, and not spoken to. */
import { connect } from 'node:net';
import type { Address } from './address.ts';

const WAIT_MS = 1_000;

/** What stands against it, in the system's words; null: somebody listens. */
export const listeningProblem = (address: Address): Promise<string | null> =>
  new Promise((resolve) => {
    const { kind } = address;
    const socket =
      kind === 'unix' ? connect({ path: address.path }) : connect({ host: address.host, port: address.port });
    const end = (problem: string | null): void => {
      socket.destroy();
      resolve(problem);
    };
    socket.setTimeout(WAIT_MS, () => end(`nobody takes a connection within ${WAIT_MS} ms`));
    socket.once('connect', () => end(null));
    socket.once('error', ({ message }) => end(`nobody listens: ${message}`));
  });
