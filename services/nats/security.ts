/** Who we are to a NATS server, and whom we take for it: credentials and certificates out of files. */
import { readFileSync } from 'node:fs';
import { type ConnectionOptions, credsAuthenticator, nkeyAuthenticator } from '@nats-io/transport-node';
import type { Config } from '../lib/config.ts';
import { describeError, NatsFault } from './fault.ts';

/** What `connectNats` takes beside a URL. */
export type Security = Pick<ConnectionOptions, 'authenticator' | 'user' | 'pass' | 'token' | 'tls'> & {
  /** In place of `$JS.API`: under what an account finds the JetStream of another one; null as none. */
  readonly apiPrefix?: string | null;
};

export type SecurityFiles = Pick<
  Config,
  'natsCredsFile' | 'natsNkeyFile' | 'natsCaFile' | 'natsCertFile' | 'natsKeyFile' | 'natsApiPrefix'
>;

/** @throws NatsFault CREDENTIALS_UNREADABLE, naming the file */
const read = (path: string, what: string): Uint8Array => {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new NatsFault('CREDENTIALS_UNREADABLE', `${what} cannot be read: ${describeError(error)}`, { cause: error });
  }
};

const authenticatorOf = ({ natsCredsFile, natsNkeyFile }: SecurityFiles): Security => {
  if (natsNkeyFile !== null) {
    const seed = read(natsNkeyFile, 'CNM_NATS_NKEY_FILE');
    return { authenticator: checked(natsNkeyFile, () => nkeyAuthenticator(trimmed(seed))) };
  }
  if (natsCredsFile === null) return {};
  const creds = read(natsCredsFile, 'CNM_NATS_CREDS_FILE');
  return { authenticator: checked(natsCredsFile, () => credsAuthenticator(creds)) };
};

const trimmed = (seed: Uint8Array): Uint8Array => new TextEncoder().encode(new TextDecoder().decode(seed).trim());

/** An authenticator that has signed once: what is no key is told here, and not as a refusal of the server. */
const checked = (path: string, make: () => NonNullable<Security['authenticator']>) => {
  try {
    const authenticator = make();
    for (const one of [authenticator].flat()) one('probe');
    return authenticator;
  } catch (error) {
    throw new NatsFault('CREDENTIALS_UNREADABLE', `${path} holds no key: ${describeError(error)}`, { cause: error });
  }
};

const tlsOf = ({ natsCaFile, natsCertFile, natsKeyFile }: SecurityFiles): Security => {
  const files = { caFile: natsCaFile, certFile: natsCertFile, keyFile: natsKeyFile };
  const given = Object.entries(files).filter((entry): entry is [string, string] => entry[1] !== null);
  if (given.length === 0) return {};
  for (const [what, path] of given) read(path, what);
  return { tls: Object.fromEntries(given) };
};

/** What the settings say of credentials and certificates. @throws NatsFault CREDENTIALS_UNREADABLE */
export const securityOf = (config: SecurityFiles): Security => ({
  ...authenticatorOf(config),
  ...tlsOf(config),
  apiPrefix: config.natsApiPrefix,
});

/** Codes of Node and OpenSSL for certificates that do not hold, of either side. */
const CERTIFICATE =
  /CERT|SELF_SIGNED|ISSUER|UNABLE_TO_VERIFY|ALTNAME|ERR_SSL|ERR_TLS|EPROTO|server does not support 'tls'|handshake/i;

/** Why no TLS connection can come about however often it is tried; null for anything else. */
export const certificateTrouble = (error: unknown): string | null => {
  for (let one: unknown = error; one instanceof Error; one = one.cause) {
    const code = (one as NodeJS.ErrnoException).code ?? '';
    if (CERTIFICATE.test(String(code)) || CERTIFICATE.test(one.message)) return `${one.message}${code && ` (${code})`}`;
  }
  return null;
};
