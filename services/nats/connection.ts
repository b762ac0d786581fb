/** Connections to NATS with the settings this project relies on. */
import { connect, type NatsConnection } from '@nats-io/transport-node';
import type { Logger } from 'pino';
import { type Clock, sleep, systemClock } from '../lib/clock.ts';
import { describeError, NatsFault } from './fault.ts';
import { keepMade } from './link.ts';
import { greeting } from './ports.ts';
import { certificateTrouble, type Security } from './security.ts';
import { serverIdentity } from './server-identity.ts';

export interface ConnectOptions {
  /** `nats://host:port`, several separated by commas; may carry `user:password@` or `token@`. */
  readonly url: string;
  /** Who we are: part of the connection's name and of the inbox prefix that permissions are granted on (`_INBOX_<role>.>`). */
  readonly role: string;
  readonly log: Logger;
  /** How long to wait for a server to appear, milliseconds; left out: for ever. */
  readonly waitMs?: number;
  /** How long a login is tried again that the server refuses, milliseconds; left out: the first refusal ends it. */
  readonly refusedMs?: number;
  /** Credentials and TLS, as the library takes them; `securityOf` reads them out of files. */
  readonly security?: Security;
  readonly clock?: Clock;
}

const RETRY_MS = 250;
/**
 * A server that is given new accounts may refuse for a moment whom it knows a moment later: for so long nobody who was let in before, and no
 * service that starts, takes that for the last word.
 */
export const REFUSED_MS = 5_000;
const CREDENTIALS =
  'credentials come from CNM_NATS_NKEY_FILE, CNM_NATS_CREDS_FILE or the URL (that of `cnm up` is told by `cnm url`)';
const DIAL_TIMEOUT_MS = 2_000;

/**
 * Connects, waiting for a server that is not there yet, and stays connected: after a loss the library dials again for ever, four
 * times a second, and resumes subscriptions. What was published meanwhile is lost (the library empties its buffer at every dial), so
 * everything that matters goes through `Stream.append`, which reports it as unknown.
 *
 * The settings were measured: `noAsyncTraces` doubles pipelined publishing, a ping every 2 s notices a
 * dead peer in 6 s instead of 6 min, before TCP's pauses between its own tries are longer than the dials
 * (a host that had been cut off for 20 s was back 7 s later, and now is 1 s later), and the library's default would give up after ten dials.
 * A server that does not let us in again is taken at its word after `REFUSED_MS`: the connection is closed then.
 *
 * @throws NatsFault CONNECT_TIMEOUT when `waitMs` passed, NOT_PERMITTED when the server refuses the credentials, TLS_REFUSED when a
 * certificate does not hold.
 */
export const connectNats = async (options: ConnectOptions): Promise<NatsConnection> => {
  const { role, log, clock = systemClock, refusedMs = 0 } = options;
  const { servers, credentials } = parseUrl(options.url);
  const url = servers.join(',');
  const inboxPrefix = `_INBOX_${role}`;
  const { apiPrefix, tls: given = wantsTls(servers) ? {} : undefined, ...identity } = options.security ?? {};
  const tls = given && { ...given, ...serverIdentity(servers) };
  const startedMs = clock.monotonicMs();
  const refusals = new Refusals();
  for (let attempt = 1; ; attempt++) {
    try {
      const connection = await connect({
        ...credentials,
        ...identity,
        ...(tls ? { tls } : {}),
        servers: [...servers],
        name: `cnm-${role}`,
        inboxPrefix,
        noAsyncTraces: true,
        maxReconnectAttempts: -1,
        reconnectTimeWait: RETRY_MS,
        reconnectJitter: RETRY_MS,
        // the library would take the second refusal of a connection's life for the last
        ignoreAuthErrorAbort: true,
        pingInterval: 2_000,
        maxPingOut: 2,
        timeout: DIAL_TIMEOUT_MS,
      });
      keepMade(connection, { inboxPrefix, apiPrefix: apiPrefix ?? '$JS.API', tls });
      log.info({ server: connection.getServer(), version: connection.info?.version }, 'connected to NATS');
      void logStatus(connection, log);
      void endRefused(connection, clock, log);
      return connection;
    } catch (error) {
      const certificates = certificateTrouble(error) ?? (await missingCertificate(error, servers, tls));
      if (certificates !== null)
        throw new NatsFault('TLS_REFUSED', `no TLS connection to ${url}: ${certificates}`, { cause: error });
      if (isRefusal(error)) {
        if (refusals.lastFor(clock.monotonicMs()) + RETRY_MS > refusedMs)
          throw new NatsFault('NOT_PERMITTED', `${url} refuses ${role}: ${describeError(error)}; ${CREDENTIALS}`, {
            cause: error,
          });
        log.warn({ url, reason: describeError(error) }, 'refused, trying again: a server that is reloaded may do so');
        await sleep(clock, RETRY_MS);
        continue;
      }
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

/** The library takes no credentials within a URL, and without them a URL may be logged. */
const parseUrl = (
  text: string,
): { servers: readonly string[]; credentials: { user?: string; pass?: string; token?: string } } => {
  const servers: string[] = [];
  let credentials = {};
  for (const part of text.split(',').map((one) => one.trim())) {
    const at = part.lastIndexOf('@');
    const scheme = /^[a-z]+:\/\//.exec(part)?.[0] ?? '';
    servers.push(at < 0 ? part : scheme + part.slice(at + 1));
    if (at < 0) continue;
    const [name = '', password] = part.slice(scheme.length, at).split(':').map(decodeURIComponent);
    credentials = password === undefined ? { token: name } : { user: name, pass: password };
  }
  return { servers, credentials };
};

/**
 * A server that has no certificate of ours ends the connection without a word (TLS 1.3), which the library takes for silence. What it greets
 * with says whether it asks for one.
 */
const missingCertificate = async (
  error: unknown,
  servers: readonly string[],
  tls: Security['tls'],
): Promise<string | null> => {
  if (!(error instanceof Error && error.name === 'TimeoutError') || tls?.certFile !== undefined) return null;
  const [, host = '', port = '4222'] = /^(?:[a-z]+:\/\/)?(.*?)(?::(\d+))?$/.exec(servers[0] ?? '') ?? [];
  const info = await greeting(Number(port), host);
  return info?.tls_verify === true ? 'it asks for a certificate of ours (CNM_NATS_CERT_FILE)' : null;
};

/** Whoever says so does not take less, whatever the server offers. */
const wantsTls = (servers: readonly string[]): boolean => servers.some((server) => server.startsWith('tls://'));

const isRefusal = (error: unknown): boolean =>
  error instanceof Error && (error.name === 'AuthorizationError' || error.name === 'UserAuthenticationExpiredError');

/** Refused logins in a row. Behind a pause they count anew: the server was away meanwhile, and may have been reloaded again. */
class Refusals {
  #sinceMs = 0;
  #lastMs = Number.NEGATIVE_INFINITY;

  /** @returns for how long there has been one after another, this one included */
  lastFor(nowMs: number): number {
    if (nowMs - this.#lastMs > REFUSED_MS / 2) this.#sinceMs = nowMs;
    this.#lastMs = nowMs;
    return nowMs - this.#sinceMs;
  }
}

/** Closes a connection whose server has refused to let it in again for so long that it means it. */
const endRefused = async (connection: NatsConnection, clock: Clock, log: Logger): Promise<void> => {
  let refusals = new Refusals();
  for await (const status of connection.status()) {
    if (status.type === 'reconnect') refusals = new Refusals();
    if (status.type !== 'error' || !isRefusal(status.error)) continue;
    if (refusals.lastFor(clock.monotonicMs()) < REFUSED_MS) continue;
    log.error({ err: status.error }, 'the NATS server lets us in no more');
    break;
  }
  // Not in there: it waits until all who read its status have come to an end.
  await connection.close();
};

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
