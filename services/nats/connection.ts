/** Connections to NATS with the settings this project relies on, and what other adapters need to know of a connection's life. */
import { type ConnectionOptions, connect, createInbox, type NatsConnection } from '@nats-io/transport-node';
import type { Logger } from 'pino';
import { type Clock, sleep, systemClock } from '../lib/clock.ts';
import { describeError, NatsFault } from './fault.ts';

export interface ConnectOptions {
  /** `nats://host:port`, several separated by commas; may carry `user:password@` or `token@`. */
  readonly url: string;
  /** Who we are: part of the connection's name and of the inbox prefix that permissions are granted on (`_INBOX_<role>.>`). */
  readonly role: string;
  readonly log: Logger;
  /** How long to wait for a server to appear, milliseconds; left out: for ever. */
  readonly waitMs?: number;
  /** Credentials and TLS, as the library takes them. */
  readonly security?: Pick<ConnectionOptions, 'authenticator' | 'user' | 'pass' | 'token' | 'tls'>;
  readonly clock?: Clock;
}

const RETRY_MS = 250;
const DIAL_TIMEOUT_MS = 2_000;

/**
 * Connects, waiting for a server that is not there yet, and stays connected: after a loss the library dials again for ever, four
 * times a second, and resumes subscriptions. What was published meanwhile is lost (the library empties its buffer at every dial), so
 * everything that matters goes through `Stream.append`, which reports it as unknown.
 *
 * The settings were measured (docs/adr, jetstream notes): `noAsyncTraces` doubles pipelined publishing, a ping every 10 s notices a
 * dead peer in 30 s instead of 6 min, and the library's default would give up after ten dials.
 *
 * @throws NatsFault CONNECT_TIMEOUT when `waitMs` passed, NOT_PERMITTED when the server refuses the credentials.
 */
export const connectNats = async (options: ConnectOptions): Promise<NatsConnection> => {
  const { url, role, log, clock = systemClock } = options;
  const inboxPrefix = `_INBOX_${role}`;
  const startedMs = clock.monotonicMs();
  for (let attempt = 1; ; attempt++) {
    try {
      const connection = await connect({
        ...options.security,
        servers: url.split(',').map((server) => server.trim()),
        name: `cnm-${role}`,
        inboxPrefix,
        noAsyncTraces: true,
        maxReconnectAttempts: -1,
        reconnectTimeWait: RETRY_MS,
        reconnectJitter: RETRY_MS,
        pingInterval: 10_000,
        maxPingOut: 2,
        timeout: DIAL_TIMEOUT_MS,
      });
      inboxPrefixOf.set(connection, inboxPrefix);
      log.info({ server: connection.getServer(), version: connection.info?.version }, 'connected to NATS');
      void logStatus(connection, log);
      return connection;
    } catch (error) {
      if (isRefusal(error)) throw new NatsFault('NOT_PERMITTED', `${url} refuses ${role}`, { cause: error });
      const waitedMs = clock.monotonicMs() - startedMs;
      if (options.waitMs !== undefined && waitedMs + RETRY_MS > options.waitMs) {
        const message = `no NATS server answered at ${url} within ${options.waitMs} ms: ${describeError(error)}`;
        throw new NatsFault('CONNECT_TIMEOUT', message, { cause: error, retry: 'later' });
      }
      // once at the start, then about every ten seconds
      if (attempt % 40 === 1) log.warn({ url, reason: describeError(error) }, 'waiting for the NATS server');
      await sleep(clock, RETRY_MS);
    }
  }
};

const isRefusal = (error: unknown): boolean =>
  error instanceof Error && (error.name === 'AuthorizationError' || error.name === 'UserAuthenticationExpiredError');

const logStatus = async (connection: NatsConnection, log: Logger): Promise<void> => {
  for await (const status of connection.status()) {
    switch (status.type) {
      case 'disconnect':
        log.warn({ server: status.server }, 'disconnected from NATS');
        break;
      case 'reconnect':
        log.info({ server: status.server }, 'connected to NATS again');
        break;
      case 'error':
        // a publish that was denied shows nowhere else
        log.error({ err: status.error }, 'NATS error');
        break;
      case 'staleConnection':
      case 'ldm':
      case 'slowConsumer':
        log.warn({ type: status.type }, 'NATS connection');
        break;
      default:
        log.debug({ type: status.type }, 'NATS connection');
    }
  }
  const reason = await connection.closed();
  if (reason instanceof Error) log.error({ err: reason }, 'NATS connection closed for good');
};

export interface ConnectionListener {
  /** The connection was lost and is there again. */
  readonly reconnected: () => void;
  /** The connection is closed and will not come back. */
  readonly closed: () => void;
}

const listenersOf = new WeakMap<NatsConnection, Set<ConnectionListener>>();

/** Tells `listener` of this connection's life; the answer removes it. One status iterator per connection serves all listeners. */
export const watchConnection = (connection: NatsConnection, listener: ConnectionListener): (() => void) => {
  let listeners = listenersOf.get(connection);
  if (listeners === undefined) {
    listeners = new Set();
    listenersOf.set(connection, listeners);
    void tellListeners(connection, listeners);
  }
  listeners.add(listener);
  return () => listeners.delete(listener);
};

const tellListeners = async (connection: NatsConnection, listeners: ReadonlySet<ConnectionListener>): Promise<void> => {
  void connection.closed().then(() => {
    for (const listener of [...listeners]) listener.closed();
  });
  for await (const status of connection.status()) {
    if (status.type === 'reconnect') for (const listener of [...listeners]) listener.reconnected();
  }
};

const inboxPrefixOf = new WeakMap<NatsConnection, string>();

/** A fresh inbox under the prefix that this connection's role may subscribe to. */
export const newInbox = (connection: NatsConnection): string => createInbox(inboxPrefixOf.get(connection));
