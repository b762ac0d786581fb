/** What can go wrong between us and NATS, as one typed error; problems that an operator can mend are values instead (problem.ts). */
import { PermissionViolationError, RequestError } from '@nats-io/transport-node';

export type NatsFaultCode =
  /** The connection was closed, by us or for good by the server. */
  | 'CONNECTION_CLOSED'
  /** No server answered within the time allowed. */
  | 'CONNECT_TIMEOUT'
  /** The server refused who we are or what we ask for. */
  | 'NOT_PERMITTED'
  /** A file of credentials or certificates is not there, or is none. */
  | 'CREDENTIALS_UNREADABLE'
  /** A certificate does not hold: the server's for us, or ours for the server; or one of the two speaks no TLS. */
  | 'TLS_REFUSED'
  /** A subject with wildcards, blanks or empty tokens, or a message too large. */
  | 'MESSAGE_INVALID'
  /** The stream is not there, or another stream took the message. */
  | 'STREAM_NOT_FOUND'
  /** The stream does not hold what was read of it: the server has come back with an older copy, or with another stream. */
  | 'STREAM_REGRESSED'
  /** The server answered with an error that no retry mends. */
  | 'SERVER_REFUSED'
  /** A read was stopped before it had caught up. */
  | 'READ_STOPPED'
  /** The embedded server could not be started or kept alive. */
  | 'SERVER_FAILED'
  /** Another process runs a server on the same data directory. */
  | 'DATA_DIR_IN_USE'
  /** The port that this data directory's clients know is taken by something else. */
  | 'PORT_IN_USE';

/** `retry`: whether the same call may succeed later. `cause` keeps the library's error; `message` says what we were doing. */
export class NatsFault extends Error {
  override readonly name = 'NatsFault';
  readonly code: NatsFaultCode;
  readonly retry: 'later' | 'never';

  constructor(code: NatsFaultCode, message: string, options: { cause?: unknown; retry?: 'later' | 'never' } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retry = options.retry ?? 'never';
  }
}

export const describeError = (error: unknown): string => (error instanceof Error ? error.message : String(error));

export const isDenied = (error: unknown): boolean =>
  error instanceof PermissionViolationError ||
  (error instanceof RequestError && error.cause instanceof PermissionViolationError);

/** Whether what somebody has read is not what the stream holds now: who starts over reads what is there. */
export const isRegressed = (error: unknown): boolean =>
  error instanceof Error && (error as Partial<NatsFault>).code === 'STREAM_REGRESSED';
