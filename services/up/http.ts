/** Metrics and health of a process over HTTP, for Prometheus and for whoever supervises the process. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Clock } from '../lib/clock.ts';
import type { HttpAddress } from '../lib/config.ts';
import type { Health } from '../lib/health.ts';
import { contentType, expose } from '../lib/metrics/exposition.ts';
import type { Sample } from '../lib/metrics/metrics.ts';
import { processMetrics } from '../lib/metrics/process.ts';
import { packageVersion } from './package-root.ts';
import { neverFails, type Part } from './part.ts';
import { Unusable } from './server.ts';
import type { ServiceName } from './service-names.ts';

/** A thread that does not answer within this is one whose loop does not turn. */
const ANSWER_MS = 2_000;

export interface HttpOptions {
  readonly address: HttpAddress;
  readonly clock: Clock;
  /** Which services are to run here. */
  readonly services: readonly ServiceName[];
  /** What runs at this moment. */
  readonly parts: () => readonly Part[];
  readonly isStopping: () => boolean;
}

/** A service as /ready tells of it; `health` is null while it starts, or when it does not answer. */
interface Told {
  readonly service: ServiceName;
  readonly health: Health | null;
  readonly why: 'STARTING' | 'STOPPING' | 'UNANSWERED' | null;
  readonly samples: readonly Sample[];
}

export interface HttpPart extends Part {
  readonly url: string;
}

const inTime = async <T>(clock: Clock, work: Promise<T>): Promise<T> => {
  const late = Promise.withResolvers<never>();
  const cancel = clock.after(ANSWER_MS, () => late.reject(new Error('no answer in time')));
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    cancel();
  }
};

const ask = async ({ clock, parts, isStopping }: HttpOptions, service: ServiceName): Promise<Told> => {
  const inspect = parts().find(({ name }) => name === service)?.inspect;
  if (!inspect) return { service, health: null, why: isStopping() ? 'STOPPING' : 'STARTING', samples: [] };
  try {
    const { health, samples } = await inTime(clock, inspect());
    return { service, health, why: null, samples };
  } catch {
    return { service, health: null, why: 'UNANSWERED', samples: [] };
  }
};

const notReady = ({ service, health, why }: Told): readonly object[] =>
  why === null ? (health?.reasons ?? []).map((reason) => ({ service, ...reason })) : [{ service, code: why }];

const unusable = ({ host, port }: HttpAddress, error: unknown): Unusable =>
  new Unusable([
    {
      code: 'HTTP_UNUSABLE',
      text: `CNM_HTTP=${host}:${port}: ${error instanceof Error ? error.message : String(error)}`,
      remedy: 'Name an address of this machine and a free port, or port 0 for any.',
    },
  ]);

/** Serves until it is stopped. @throws Unusable where the address cannot be had */
export const serveHttp = async (options: HttpOptions): Promise<HttpPart> => {
  const own = processMetrics(packageVersion, options.clock);
  const askAll = (): Promise<readonly Told[]> => Promise.all(options.services.map((service) => ask(options, service)));
  const sendJson = (response: ServerResponse, status: number, body: object): void => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
  };
  const answer = async ({ url, method }: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = url?.split('?')[0];
    if (method !== 'GET' && method !== 'HEAD') sendJson(response, 405, { error: 'GET alone' });
    else if (path === '/metrics') {
      const told = await askAll();
      const text = expose([...own.metrics.samples(), ...told.flatMap(({ samples }) => samples)]);
      response.writeHead(200, { 'content-type': contentType }).end(text);
    } else if (path === '/live') {
      // this loop turns, or nobody would be answered; the loops of threads are asked
      const silent = (await askAll()).filter(({ why }) => why === 'UNANSWERED').map(({ service }) => service);
      sendJson(response, silent.length === 0 ? 200 : 503, { live: silent.length === 0, silent });
    } else if (path === '/ready') {
      const told = await askAll();
      const reasons = told.flatMap(notReady);
      const ready = reasons.length === 0;
      sendJson(response, ready ? 200 : 503, {
        ready,
        reasons,
        services: told.map(({ service, health }) => health ?? { service }),
      });
    } else sendJson(response, 404, { paths: ['/metrics', '/live', '/ready'] });
  };
  const server = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  try {
    server.listen(options.address);
    await once(server, 'listening');
  } catch (error) {
    own.close();
    throw unusable(options.address, error);
  }
  const { address, port, family } = server.address() as AddressInfo;
  return {
    name: 'http',
    url: `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`,
    failed: neverFails,
    stop: async () => {
      own.close();
      server.close();
      server.closeAllConnections();
    },
  };
};
