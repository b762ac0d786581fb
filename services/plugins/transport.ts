/** One POST to a plugin over a unix socket, TCP or TLS: HTTP as Docker's client speaks it, connections kept and bounded. */
import { readFileSync } from 'node:fs';
import { type ClientRequest, type IncomingMessage, Agent as PlainAgent, request as plainRequest } from 'node:http';
import { Agent as TlsAgent, request as tlsRequest } from 'node:https';
import { isIPv6 } from 'node:net';
import type { Address } from './address.ts';

const ACCEPT = 'application/vnd.docker.plugins.v1.2+json';
/** What plugins on a socket are told they are called. */
const SOCKET_HOST = 'plugin.moby.localhost';
/** Calls under way at once. */
export const IN_FLIGHT_MAX = 16;
const ANSWER_MAX_BYTES = 1 << 20;

export type Posted =
  | { readonly kind: 'answered'; readonly status: number; readonly body: string }
  /** `isUntouched`: not a byte of an answer had come, so it can be asked again. */
  | { readonly kind: 'unreachable'; readonly errno: string; readonly text: string; readonly isUntouched: boolean }
  /** Something that is not an answer of HTTP, or too long. */
  | { readonly kind: 'garbled'; readonly text: string };

export interface Transport {
  /** `body` empty: an empty body. Resolves when the answer is complete; the signal ends it with `unreachable`. */
  post(method: string, body: string, signal: AbortSignal): Promise<Posted>;
  /** Ends all connections, with what is under way in them. */
  close(): void;
}

interface NodeError extends Error {
  readonly code?: string;
}

const failed = (error: NodeError, isUntouched: boolean): Posted =>
  error.code?.startsWith('HPE_')
    ? { kind: 'garbled', text: `no HTTP: ${error.message}` }
    : { kind: 'unreachable', errno: error.code ?? '', text: error.message, isUntouched };

const closed = (isUntouched: boolean): Posted =>
  failed(new Error('the connection ended without an answer'), isUntouched);

/** Reads the answer. Whatever comes behind what has settled it counts no more. */
const settle = (request: ClientRequest): Promise<Posted> =>
  new Promise((resolve) => {
    request.on('error', (error) => resolve(failed(error, true)));
    let isAnswering = false;
    // An upgrade that nobody asked for ends without an error. An answer may still be read when its connection is closed.
    request.on('close', () => {
      if (!isAnswering) resolve(closed(true));
    });
    request.on('response', (response: IncomingMessage) => {
      isAnswering = true;
      const chunks: Buffer[] = [];
      let length = 0;
      response.on('data', (chunk: Buffer) => {
        length += chunk.length;
        chunks.push(chunk);
        if (length <= ANSWER_MAX_BYTES) return;
        resolve({ kind: 'garbled', text: `an answer of more than ${ANSWER_MAX_BYTES} bytes` });
        request.destroy();
      });
      response.on('error', (error) => resolve(failed(error, false)));
      response.on('close', () => resolve(closed(false)));
      response.on('end', () => {
        const body = Buffer.concat(chunks).toString('utf8');
        resolve({ kind: 'answered', status: response.statusCode ?? 0, body });
      });
    });
  });

interface Target {
  readonly host: string;
  readonly send: typeof plainRequest;
  readonly agent: PlainAgent;
  readonly options: object;
}

/** One more for the handshake, which waits for no call. */
const pool = { keepAlive: true, maxSockets: IN_FLIGHT_MAX + 1, maxFreeSockets: IN_FLIGHT_MAX } as const;

/** @throws when a file of the TLS settings cannot be read */
const targetOf = (address: Address): Target => {
  if (address.kind === 'unix')
    return {
      host: SOCKET_HOST,
      send: plainRequest,
      agent: new PlainAgent(pool),
      options: { socketPath: address.path },
    };
  const { host, port, tls } = address;
  const named = `${isIPv6(host) ? `[${host}]` : host}:${port}`;
  const options = { host, port };
  if (tls === null) return { host: named, send: plainRequest, agent: new PlainAgent(pool), options };
  const agent = new TlsAgent({
    ...pool,
    rejectUnauthorized: !tls.insecure,
    ...(tls.ca === null ? {} : { ca: readFileSync(tls.ca) }),
    ...(tls.cert === null ? {} : { cert: readFileSync(tls.cert) }),
    ...(tls.key === null ? {} : { key: readFileSync(tls.key) }),
  });
  return { host: named, send: tlsRequest, agent, options };
};

/** @throws when a file of the TLS settings cannot be read */
export const openTransport = (address: Address): Transport => {
  const { host, send, agent, options } = targetOf(address);
  return {
    post: (method, body, signal) => {
      const bytes = Buffer.from(body, 'utf8');
      // No Content-Type: plugins are used to none.
      const headers = { Host: host, 'User-Agent': 'cnmbus', 'Content-Length': bytes.length, Accept: ACCEPT };
      try {
        const request = send({ ...options, agent, method: 'POST', path: `/${method}`, headers, signal });
        const posted = settle(request);
        request.end(bytes);
        return posted;
      } catch (error) {
        // A certificate or a path that node will not take.
        return Promise.resolve(failed(error as NodeError, true));
      }
    },
    close: () => agent.destroy(),
  };
};
