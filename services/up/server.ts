/** The NATS server that the services use: one of our own, or an external one that is checked and refused with the reasons. */
import { type Clock, sleep } from '../lib/clock.ts';
import type { Config } from '../lib/config.ts';
import type { Logger } from '../lib/logger.ts';
import { findServerBinary } from '../nats/binary.ts';
import { connectNats, REFUSED_MS } from '../nats/connection.ts';
import type { Problem } from '../nats/problem.ts';
import { securityOf } from '../nats/security.ts';
import { startServer } from '../nats/server.ts';
import { provision } from '../nats/streams.ts';
import type { SyncEvidence } from '../nats/sync.ts';
import { serverCache } from './package-root.ts';
import { neverFails, type Part } from './part.ts';
import { startingServer } from './priority.ts';

/** What an operator has to mend before anything can start. */
export class Unusable extends Error {
  override readonly name = 'Unusable';
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(problems.map(({ code, text }) => `${code}: ${text}`).join(' '));
    this.problems = problems;
  }
}

export interface Server extends Part {
  readonly url: string;
}

/** An external server that is not there yet is waited for; one of `cnm up` itself answers at once. */
const EXTERNAL_WAIT_MS = 30_000;
const STREAMS_POLL_MS = 250;

/** Starts the embedded server. @throws Unusable when there is no nats-server; NatsFault as `startServer` does */
export const embeddedServer = async (config: Config, logger: Logger, clock: Clock): Promise<Server> => {
  const found = findServerBinary({ searchPath: config.searchPath, cacheDir: serverCache });
  if (!found.ok) throw new Unusable(found.problems);
  const { dataDir, natsPort } = config;
  const port = natsPort === null ? {} : { port: natsPort };
  const starting = <T>(start: () => T): T => startingServer(start, logger);
  const server = await startServer({ binary: found.path, dataDir, log: logger, clock, starting, ...port });
  return {
    name: 'nats-server',
    url: server.url,
    failed: server.closed.then(() => neverFails),
    stop: () => server.stop(),
  };
};

/** The server that CNM_NATS_URL names. */
export const externalServer = (url: string): Server => ({
  name: 'external nats-server',
  url,
  failed: neverFails,
  stop: async () => {},
});

const evidence = ({ natsUrl, natsMonitorUrl, natsSyncStated }: Config): SyncEvidence => {
  if (natsUrl === null) return { kind: 'embedded' };
  if (natsMonitorUrl !== null) return { kind: 'monitor', urls: natsMonitorUrl };
  return { kind: natsSyncStated ? 'stated' : 'none' };
};

/** Checks the server and makes the streams that are missing. @throws Unusable with all that is wrong */
export const prepareServer = async (url: string, config: Config, logger: Logger, clock: Clock): Promise<void> => {
  const security = securityOf(config);
  const connection = await connectNats({
    url,
    role: 'provision',
    log: logger,
    waitMs: EXTERNAL_WAIT_MS,
    refusedMs: REFUSED_MS,
    clock,
    security,
  });
  try {
    const { natsReplicas: replicas, actorsProven } = config;
    const deadlineMs = clock.monotonicMs() + EXTERNAL_WAIT_MS;
    for (;;) {
      const provisioned = await provision(connection, { sync: evidence(config), replicas, actorsProven });
      if (provisioned.ok) return;
      // whoever may make them is about to
      const isEarly = provisioned.problems.every(({ code }) => code === 'STREAM_MISSING');
      if (!isEarly || clock.monotonicMs() > deadlineMs) throw new Unusable(provisioned.problems);
      await sleep(clock, STREAMS_POLL_MS);
    }
  } finally {
    await connection.close();
  }
};
