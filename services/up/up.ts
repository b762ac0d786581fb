/** `cnm up`: server and all services in one process; `cnm serve X`: one of them against an external server. */
import { abortable } from '../client/abortable.ts';
import { type Clock, systemClock } from '../lib/clock.ts';
import { type Config, redacted } from '../lib/config.ts';
import type { Logger } from '../lib/logger.ts';
import { makeFolder } from '../lib/make-folder.ts';
import { describeError } from '../nats/fault.ts';
import { publicUrl } from '../nats/public-url.ts';
import { serveHttp } from './http.ts';
import { Running } from './part.ts';
import { putCollectorsFirst, putFirst } from './priority.ts';
import { embeddedServer, externalServer, prepareServer, Unusable } from './server.ts';
import { type ServiceName, serviceNames } from './service-names.ts';
import { startFeed, startService } from './services.ts';
import { announce } from './state-file.ts';
import { startOnThread } from './thread.ts';
import { keepThreadsSmall } from './young.ts';

export interface UpOptions {
  readonly config: Config;
  readonly logger: Logger;
  readonly clock?: Clock;
  /** Which services run in this process; all when left out. */
  readonly services?: readonly ServiceName[];
  /** Gives up the start; does not stop what has been started. */
  readonly signal?: AbortSignal;
}

export interface Up {
  /** With credentials, where it takes any. */
  readonly url: string;
  /** Where metrics and health are; null: nowhere. */
  readonly httpUrl: string | null;
  /** How long the start took, milliseconds. */
  readonly startedInMs: number;
  /** Rejects when a part cannot go on. */
  readonly failed: Promise<never>;
  /** Stops everything in reverse order, the server last. */
  stop(): Promise<void>;
}

/** Makes a folder of the settings. @throws Unusable where it cannot be had */
const place = (variable: string, path: string, mode: number): void => {
  try {
    makeFolder(path, mode);
  } catch (error) {
    const text = `${variable}=${path}: ${describeError(error)}`;
    const remedy = 'Name a folder that whoever runs this may make and write.';
    throw new Unusable([{ code: 'FOLDER_UNUSABLE', text, remedy }]);
  }
};

/**
 * Starts server and services; resolves when commands are decided and executed. When one of them cannot be started, those that run
 * already are stopped before this rejects.
 */
export const startUp = async (options: UpOptions): Promise<Up> => {
  const { config, logger, clock = systemClock, services = serviceNames, signal } = options;
  const startedMs = clock.monotonicMs();
  logger.info({ config: redacted(config) }, 'starting');
  keepThreadsSmall();
  if (config.rootless || config.throwaway) (await import('./loopback.ts')).loopbackUp();
  const running = new Running(logger, clock);
  let withdraw = () => {};
  try {
    // first, so that whoever waits for it is told what it waits for
    const http =
      config.http &&
      (await serveHttp({
        address: config.http,
        clock,
        services,
        parts: () => running.parts,
        isStopping: () => running.isStopping,
      }));
    if (http) running.add(http);
    if (config.natsUrl === null) place('CNM_DATA_DIR', config.dataDir, 0o700);
    if (services.includes('worker')) place('CNM_RUN_DIR', config.runDir, 0o755);
    const server =
      config.natsUrl === null ? await embeddedServer(config, logger, clock) : externalServer(config.natsUrl);
    running.add(server);
    putFirst('loop', logger);
    putCollectorsFirst(logger);
    const { url } = server;
    await abortable(prepareServer(url, config, logger, clock), signal);
    const feed = services.length > 1 ? await startFeed({ config, url, logger, clock }) : null;
    if (feed) running.add(feed.part);
    const deps = { config, url, logger, clock, ...(feed ? { feed: feed.feed } : {}) };
    for (const part of await abortable(startAll(services, deps), signal)) running.add(part);
    // a single service is told where the server is by its environment, and so are those who use it
    if (services.length === serviceNames.length) withdraw = announce(config, url);
    const startedInMs = Math.round(clock.monotonicMs() - startedMs);
    const httpUrl = http?.url ?? null;
    logger.info({ url: publicUrl(url), httpUrl, startedInMs, services }, 'serving');
    const stop = async (): Promise<void> => {
      withdraw();
      await running.stop();
    };
    return { url, httpUrl, startedInMs, failed: running.failed, stop };
  } catch (error) {
    withdraw();
    await running.stop();
    throw error;
  }
};

/**
 * The worker first: on a new log, commands that are waiting already must find its host. The others wait for each other through the log
 * alone, so they start at the same time.
 */
const startAll = async (names: readonly ServiceName[], deps: Parameters<typeof startService>[1]) => {
  const worker = names.includes('worker') ? [await startService('worker', deps)] : [];
  const others = names.filter((name) => name !== 'worker');
  const started = await Promise.allSettled(
    others.map((name) =>
      name === 'projector' && names.length > 1 ? startOnThread(name, deps) : startService(name, deps),
    ),
  );
  const parts = [...worker, ...started.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))];
  const failure = started.find((result) => result.status === 'rejected');
  if (failure === undefined) return parts;
  await Promise.allSettled(parts.map((part) => part.stop()));
  throw failure.reason;
};
