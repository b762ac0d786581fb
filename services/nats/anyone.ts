/** Whether a server lets in whoever comes, and so cannot say who is who. */
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { tlsOf } from './link.ts';
import type { Problem } from './problem.ts';
import type { SyncEvidence } from './sync.ts';

const TIMEOUT_MS = 2_000;

/**
 * It says so itself where it asks nobody, but not where it has a user for those who give no name (`no_auth_user`): so we come without one.
 * Whatever keeps us out then, a refusal or a certificate that is wanted, keeps out anyone.
 */
const letsAnyoneIn = async (connection: NatsConnection): Promise<boolean> => {
  if (connection.info?.auth_required !== true) return true;
  try {
    const servers = connection.getServer();
    const tls = tlsOf(connection);
    const who = { name: 'cnm-anyone', reconnect: false, timeout: TIMEOUT_MS };
    const anyone = await connect({ servers, ...who, ...(tls ? { tls } : {}) });
    await anyone.close();
    return true;
  } catch {
    return false;
  }
};

const unproven: Problem = {
  code: 'ACTORS_UNPROVEN',
  text: 'CNM_ACTORS=authenticated says that every user publishes under its own actor only, but the NATS server lets anyone in.',
  remedy:
    'Give the server accounts (`cnm nats-config`; docs/protocol.md, Permissions) and no no_auth_user, or leave CNM_ACTORS out: actors are claims then.',
};

const shared: Problem = {
  code: 'ACTORS_UNPROVEN',
  text: 'CNM_ACTORS=authenticated says that every user publishes under its own actor only, but the server of cnm up has one user for all.',
  remedy: 'Use a server with accounts (`cnm nats-config`), or leave CNM_ACTORS out: actors are claims then.',
};

/** What is in the way of taking actors for proven. */
export const checkActors = async (connection: NatsConnection, { kind }: SyncEvidence): Promise<readonly Problem[]> => {
  if (kind === 'embedded') return [shared];
  return (await letsAnyoneIn(connection)) ? [unproven] : [];
};
