/** The composition root: each service with its connection, its streams and whatever else it is handed. */
import { join } from 'node:path';
import type { NatsConnection } from '@nats-io/transport-node';
import { subjects } from '../../events/names.ts';
import { RESOLVER_PORT } from '../dns/address.ts';
import type { Clock } from '../lib/clock.ts';
import { type Config, hostRunDir } from '../lib/config.ts';
import { failingAppends, failingReplies } from '../lib/failpoints.ts';
import type { Logger } from '../lib/logger.ts';
import { isDeadProcess, processMark } from '../lib/process-mark.ts';
import type { Stream } from '../lib/stream.ts';
import { loadTracing, type Tracing } from '../lib/trace.ts';
import { tracedStream } from '../lib/traced-stream.ts';
import { connectNats, REFUSED_MS } from '../nats/connection.ts';
import { jetStream } from '../nats/jetstream.ts';
import { lease } from '../nats/lease.ts';
import { linkOf } from '../nats/link.ts';
import { serve } from '../nats/micro.ts';
import { securityOf } from '../nats/security.ts';
import { mostly, type SharedReads, shareReads, withReads } from '../nats/shared-reads.ts';
import { STREAMS } from '../nats/stream-config.ts';
import { Observed } from './observed.ts';
import { packageVersion } from './package-root.ts';
import { neverFails, type Part } from './part.ts';
import type { ServiceName } from './service-names.ts';

export interface ServiceDeps {
  readonly config: Config;
  readonly url: string;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Reads of the log that the services of this process share. */
  readonly feed?: SharedReads;
}

/** What each service is to anyone who looks at it with NATS tools. */
const descriptions: Readonly<Record<Exclude<ServiceName, 'projector'>, string>> = {
  worker: 'turns intents into kernel state, one per host',
  controller: 'decides commands',
  collector: 'collects garbage and ends commands whose deadline has passed',
};

/** What every service begins with. */
interface Opened {
  /** How everything that it has taken is let go of, in reverse order; of a start that fails, too. */
  readonly ending: AsyncDisposableStack;
  readonly connection: NatsConnection;
  readonly logger: Logger;
  readonly observed: Observed;
  readonly tracing: Tracing;
  readonly stream: (name: keyof typeof STREAMS) => Stream;
}

/** A feed of the log for all services of this process, on a connection of its own. */
export const startFeed = async ({
  config,
  url,
  logger,
  clock,
}: ServiceDeps): Promise<{ readonly feed: SharedReads; readonly part: Part }> => {
  const connection = await connectNats({
    url,
    role: 'feed',
    log: logger.child({ service: 'feed' }),
    clock,
    refusedMs: REFUSED_MS,
    security: securityOf(config),
  });
  const feed = shareReads(jetStream(connection, STREAMS.log, { clock, log: logger }));
  return { feed, part: { name: 'feed', failed: neverFails, stop: () => connection.drain() } };
};

/** A worker acts on what is decided, a controller on what is reported: each gets that first. */
const readFor = (name: ServiceName, { acting, keeping }: SharedReads): Stream['read'] => {
  if (name === 'worker') return mostly(acting((subject) => subject.startsWith('cnm.event.')));
  return name === 'controller' ? acting((subject) => subject.startsWith('cnm.outcome.')).read : keeping.read;
};

const open = async (name: ServiceName, { config, url, logger: parent, clock, feed }: ServiceDeps): Promise<Opened> => {
  const logger = parent.child({ service: name });
  const tracing = await loadTracing();
  const security = securityOf(config);
  const connection = await connectNats({ url, role: name, log: logger, clock, refusedMs: REFUSED_MS, security });
  const ending = new AsyncDisposableStack();
  ending.defer(() => connection.drain());
  const failing = failingAppends(name, config.failpoint);
  const observed = new Observed({ service: name, connection, logger, clock });
  const stream = (which: keyof typeof STREAMS): Stream => {
    const stored = failing(jetStream(connection, STREAMS[which], { clock, log: logger }));
    // who holds a lease renews it for ever: that is no part of anybody's trace
    const own = observed.stream(which, which === 'lease' ? stored : tracedStream(stored, tracing));
    return which === 'log' && feed !== undefined ? withReads(own, readFor(name, feed), feed.appended) : own;
  };
  return { ending, connection, logger, observed, tracing, stream };
};

/** From now on it can be looked at. */
const begin = ({ observed, ending }: Opened, ...of: Parameters<Observed['begin']>): void => {
  observed.begin(...of);
  ending.defer(() => observed.close());
};

/** Lets NATS tools and `cnm status` find a service that answers no requests of its own. */
const register = (name: keyof typeof descriptions, opened: Opened, { config, clock }: ServiceDeps): void => {
  const service = serve(opened.connection, {
    name: `cnm-${name}`,
    version: packageVersion,
    description: descriptions[name],
    metadata: { realm: config.realm, host: config.host, pid: String(process.pid) },
    endpoints: [],
    clock,
    data: opened.observed.health,
  });
  opened.ending.defer(() => service.stop());
};

/** `failed`: rejects when it cannot go on. Everything that it takes it adds to `ending`. */
type Starter = (deps: ServiceDeps, opened: Opened) => Promise<Pick<Part, 'failed'>>;

const startController: Starter = async (deps, opened) => {
  const { createController } = await import('../controller/controller.ts');
  const { controllerMeter, observeController } = await import('../controller/meter.ts');
  const { fairRateOf } = await import('../controller/options.ts');
  const { drivers } = await import('../../drivers/registry.ts');
  const { config, clock } = deps;
  const { ending, connection, logger, observed, tracing, stream } = opened;
  const log = stream('log');
  const controller = createController({
    realm: config.realm,
    log,
    commands: stream('commands'),
    drivers,
    publish: failingReplies('controller', config.failpoint, (subject, body) => connection.publish(subject, body)),
    clock,
    logger,
    quarantineMs: config.quarantineMs,
    realmPools: config.realmPools,
    actorProof: config.actorsProven ? 'nats' : 'claim',
    fairRate: fairRateOf(config.fairRate),
    memoryMs: config.memoryMs,
    operators: config.operators && new Set(config.operators),
    meter: controllerMeter(observed.metrics),
    tracing,
  });
  ending.defer(() => controller.stop());
  await controller.start();
  observeController(observed.metrics, () => controller.look());
  begin(
    opened,
    () => controller.look(),
    () => log.last(),
  );
  // a lease that is lost and won again at once must not start the next round before the last one has ended
  let turn = Promise.resolve();
  const then = (step: () => Promise<void> | void): void => {
    turn = turn.then(step);
  };
  const holder = `${config.host}/${processMark()}/${clock.randomId(8)}`;
  // one that was killed cannot let go of its lease: whoever follows it on its machine need not wait
  const isDead = (other: string): boolean => isDeadProcess(other.split('/')[1] ?? '');
  const held = lease(
    stream('lease'),
    'controller',
    holder,
    {
      onAcquired: (term) => {
        logger.info({ term }, 'deciding');
        then(() => controller.activate());
      },
      onLost: (reason) => {
        logger.warn({ reason }, 'not deciding any more');
        then(() => controller.deactivate());
      },
    },
    { clock, isDead },
  );
  // nothing is decided any more before another one may
  ending.defer(async () => {
    await turn;
    await controller.deactivate();
    await held.stop().catch(() => undefined);
  });
  register('controller', opened, deps);
  return { failed: Promise.race([controller.failed, onlyFailure(held.closed)]) };
};

const startWorker: Starter = async (deps, opened) => {
  const { linuxKernel } = await import('../../drivers/kernel/kernel.ts');
  const { drivers } = await import('../../drivers/registry.ts');
  const { createWorker } = await import('../worker/worker.ts');
  const { meteredKernel, observeWorker, workerMeter } = await import('../worker/meter.ts');
  const { keepWorker } = await import('../worker/parked.ts');
  const { fileJournal } = await import('../worker/journal.ts');
  const { readSecret } = await import('../worker/tunnel-secret.ts');
  const { holdHost } = await import('../worker/tenure.ts');
  const { hostServers: watchServers } = await import('../dns/upstreams.ts');
  const { meteredPlugins } = await import('../plugins/meter.ts');
  const { createPlugins } = await import('../plugins/plugins.ts');
  const { config, clock } = deps;
  const { realm, host, pools, ula, netnsRoots } = config;
  const runDir = hostRunDir(config);
  const { ending, connection, logger, observed, tracing, stream } = opened;
  const { metrics } = observed;
  // before anything of this machine is touched
  const tenure = await holdHost(stream('lease'), host, { lockPath: `${runDir}.lock`, clock, logger });
  ending.defer(() => tenure.stop());
  const { underlay, failpoint } = config;
  const place = { realm, host, runDir };
  const linux = await linuxKernel({ ...place, resolverPort: RESOLVER_PORT, underlay, failpoint });
  ending.defer(() => linux.close());
  const kernel = meteredKernel(linux, metrics, clock);
  const [log, commands, hostServers] = [stream('log'), stream('commands'), watchServers()];
  ending.defer(() => hostServers.close());
  const secret = readSecret(config.overlaySecretFile);
  if (!secret.ok && config.overlaySecretFile !== null) logger.warn({ why: secret.why }, 'no encrypted overlays here');
  const { pluginSockets: sockets, pluginSpecs: specs, pluginTimeoutMs: timeoutMs } = config;
  const asked = createPlugins({ sockets, specs, timeoutMs, clock, logger, failpoint });
  ending.defer(() => asked.close());
  const plugins = meteredPlugins(asked, metrics, clock);
  const drift = { everyMs: config.driftMs };
  const settings = { ...place, pools, ula, netnsRoots, secret: secret.ok ? secret.bytes : null, drift };
  const meter = workerMeter(metrics);
  const journal = fileJournal(`${runDir}.journal`);
  const create = () =>
    createWorker({
      ...settings,
      journal,
      log,
      commands,
      kernel,
      drivers,
      plugins,
      hostServers,
      clock,
      logger,
      meter,
      tracing,
    });
  const worker = await keepWorker({ create, log, logger });
  ending.defer(() => worker.stop());
  linkOf(connection).watch({ restored: () => worker.lookAround() });
  observeWorker(metrics, worker);
  // What is decided for this host is all that it has to read up to.
  begin(
    opened,
    () => worker.look(),
    async () => (await log.lastOn(subjects.host(host)))?.position ?? 0,
  );
  register('worker', opened, deps);
  return { failed: Promise.race([worker.failed, onlyFailure(tenure.closed)]) };
};

const startCollector: Starter = async (deps, opened) => {
  const { createCollector } = await import('../collector/collector.ts');
  const { readSigningKey } = await import('../audit/keys.ts');
  const { sealKeys } = await import('../nats/seal-keys.ts');
  const { config, clock } = deps;
  const { checkpointKeyFile, checkpointFile: file, checkpointMs: everyMs } = config;
  const key = checkpointKeyFile === null ? null : await readSigningKey(checkpointKeyFile);
  const { ending, connection, logger, stream } = opened;
  const log = stream('log');
  const collector = createCollector({
    realm: config.realm,
    log,
    commands: stream('commands'),
    leases: stream('lease'),
    keys: sealKeys(connection, stream('key'), clock),
    clock,
    logger,
    confirmMs: config.confirmMs,
    ...(key ? { checkpoints: { stream: stream('checkpoint'), key, file, everyMs } } : {}),
  });
  ending.defer(() => collector.stop());
  await Promise.race([collector.start(), collector.failed]);
  begin(
    opened,
    () => collector.look(),
    () => log.last(),
  );
  register('collector', opened, deps);
  return { failed: collector.failed };
};

const startProjector: Starter = async (deps, opened) => {
  const { createProjector } = await import('../projector/projector.ts');
  const { meteredProjector, observeProjector } = await import('../projector/meter.ts');
  const { serveRebuild } = await import('../projector/serve-rebuild.ts');
  const { serveQueries } = await import('../projector/serve.ts');
  const { config, clock } = deps;
  const { ending, connection, logger, observed, stream } = opened;
  const log = stream('log');
  const projector = createProjector(
    { log, clock, logger },
    { snapshots: { directory: join(config.dataDir, 'snapshots'), everyEvents: config.snapshotEvents } },
  );
  ending.defer(() => projector.stop());
  begin(
    opened,
    () => projector.look(),
    () => log.last(),
  );
  observeProjector(observed.metrics, projector);
  const about = { version: packageVersion, realm: config.realm, host: config.host, health: observed.health };
  const service = serveQueries(connection, meteredProjector(projector, observed.metrics, clock), logger, about);
  const rebuilding = serveRebuild(connection, service.id, { projector, clock, logger });
  ending.defer(() => rebuilding.stop());
  ending.defer(() => service.stop());
  ending.defer(() => projector.letGo());
  const failed = onlyFailure(projector.closed);
  await Promise.race([projector.caughtUp, failed]);
  return { failed };
};

/** Rejects when the other does, and else never ends. */
const onlyFailure = (promise: Promise<unknown>): Promise<never> => promise.then(() => neverFails);

const starters: Readonly<Record<ServiceName, Starter>> = {
  worker: startWorker,
  projector: startProjector,
  controller: startController,
  collector: startCollector,
};

/** A start that fails says why after this at the latest: the server that it would take leave of may be away. */
const GIVE_UP_MS = 5_000;

/** Starts one service; resolves when it serves. Of a start that fails nothing is left. */
export const startService = async (name: ServiceName, deps: ServiceDeps): Promise<Part> => {
  const opened = await open(name, deps);
  const { ending, observed, logger } = opened;
  try {
    const { failed } = await starters[name](deps, opened);
    // whoever looks at it later still sees it; whoever never does must not be ended by it
    failed.catch(() => undefined);
    const { inspect } = observed;
    return { name, failed, inspect, stopping: () => observed.stopping(), stop: () => ending.disposeAsync() };
  } catch (error) {
    const late = Promise.withResolvers<void>();
    const cancel = deps.clock.after(GIVE_UP_MS, late.resolve);
    await Promise.race([ending.disposeAsync(), late.promise]).catch((err) =>
      logger.warn({ err }, 'could not be stopped in order'),
    );
    cancel();
    throw error;
  }
};
